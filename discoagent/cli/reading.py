"""The queries: `list services resolve get`. The agent on this host answers them by itself."""

from collections.abc import Callable
from functools import partial

import click

from discoagent.cli import output
from discoagent.cli.command import (
    DURATION,
    PAIR,
    PARTIAL,
    Session,
    among,
    completes,
    filter_option,
    finish,
    usage,
    verb,
)
from discoagent.cli.output import Printer
from discoagent.cli.views import INSTANCES, SERVICES, span
from discoagent.errors import NoInstance
from discoagent.instance import Instance

SORT_KEYS: dict[str, Callable[[Instance], str | int]] = {
    "service": lambda it: it.service,
    "id": lambda it: it.id,
    "node": lambda it: it.node,
    "address": lambda it: it.address,
    "port": lambda it: it.port or 0,
    "state": lambda it: it.state,
    "registered_at": lambda it: it.registered_at,
    "updated_at": lambda it: it.updated_at,
}


@verb(
    "list",
    example="discoctl list web --tag v2\ndiscoctl list --all -o json\n"
    "discoctl list -f 'meta.zone != \"a\" and port > 8000'\n"
    "discoctl list --sort -updated_at --limit 5",
)
@click.argument("services", nargs=-1, metavar="[SERVICE]...", shell_complete=completes("services"))
@click.option(
    "--tag", "tags", multiple=True, metavar="T", help="Only with this tag; repeated: all of them."
)
@click.option("--node", metavar="N", help="Only of this node.", shell_complete=completes("nodes"))
@filter_option
@click.option("--all", "everything", is_flag=True, help="Also those that are not usable.")
@click.option(
    "--sort",
    metavar="K",
    help=f"By {', '.join(SORT_KEYS)}; -K: the other way round.",
    shell_complete=among([*SORT_KEYS, *(f"-{key}" for key in SORT_KEYS)]),
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most N.")
def list_command(
    session: Session,
    *,
    services: tuple[str, ...],
    tags: tuple[str, ...],
    node: str | None,
    filter: str | None,  # noqa: A002
    everything: bool,
    sort: str | None,
    limit: int | None,
) -> int:
    """List the usable instances, of all services or of some.

    Usable are passing, warning, suspect and restarting. With a SERVICE, --tag, --node or -f the
    exit code is 1 when nothing fits.

    EXPR compares the JSON fields of an instance (== != < <= > >= in, not in), joined by and, or,
    not and parentheses. What is missing is null.
    """
    printer = session.printer(output.INSTANCE)
    order = None if sort is None else _order(sort)
    with session.disco() as disco:
        asked_for = disco.list if session.moment is None else partial(disco.at, session.moment)
        found = asked_for(
            *services, tag=list(tags) or None, node=node, all=everything, filter=filter
        )
        if order:
            key, backwards = order
            found = sorted(found, key=key, reverse=backwards)
        printer.many(found[:limit], INSTANCES)
        asked = bool(services or tags or node is not None or filter is not None)
        return finish(printer, disco, 1 if asked and not found else 0)


def _order(sort: str) -> tuple[Callable[[Instance], str | int], bool]:
    """Return the key of `--sort` and whether it runs backwards."""
    name = sort.removeprefix("-")
    if name not in SORT_KEYS:
        usage(f"--sort: no such key: {name!r}; there are {', '.join(SORT_KEYS)}", "sort")
    return SORT_KEYS[name], sort.startswith("-")


@verb("services", example="discoctl services\ndiscoctl services -o name")
def services(session: Session) -> int:
    """Show the services there are, with counts by state."""
    printer = session.printer(output.NAMED)
    with session.disco() as disco:
        printer.many(disco.services(), SERVICES)
        return finish(printer, disco)


@verb(
    "resolve",
    example="discoctl resolve db\ndiscoctl resolve db --prefer zone=a --prefer rack=7\n"
    "curl $(discoctl resolve web --one --wait 10s -o url)\n"
    'eval "$(discoctl resolve db -o env)"; psql -h "$DB_HOST" -p "$DB_PORT"',
)
@click.argument("service", shell_complete=completes("services"))
@click.option(
    "--one", is_flag=True, help="One of them; with -o json the value alone, without an array."
)
@click.option(
    "--wait", type=DURATION, help="Wait for the first so long; 1 when there is still none."
)
@click.option(
    "--prefer",
    type=PAIR,
    multiple=True,
    help="First those with this in their meta or their node's labels; repeated: the more fit.",
)
@click.option(
    "--stale-ok", is_flag=True, help="0 also while the agent may be cut off from most others."
)
def resolve(
    session: Session,
    *,
    service: str,
    one: bool,
    wait: float | None,
    prefer: tuple[tuple[str, str], ...],
    stale_ok: bool,
) -> int:
    """Print addresses to connect to: one HOST:PORT a line.

    Only usable instances that have a port; 1 when there are none. With --prefer those of the best
    state come first, and of these those that fit. While most other nodes are silent
    the agent may be cut off: it answers what it knows with 5, and says how old that may be.
    """
    from discoagent.client.choice import choose, in_order, resolvable

    printer = session.printer(output.RESOLVE, "host:port")
    with session.disco(waits=wait is not None) as disco:
        if wait is not None:
            from discoagent.cli.watching import wait_until

            wait_until(session, disco, service, lambda now: bool(resolvable(now)), patience=wait)
        members = disco.members() if prefer else ()
        found = resolvable(disco.list(service))
        if one and found:
            printer.one(choose(found, prefer, members), INSTANCES)
        elif found or (printer.format == "json" and not one):
            printer.many(in_order(found, prefer, members) if prefer else found, INSTANCES)
        if not found and not disco.partial and (disco.stale is None or stale_ok):
            raise NoInstance(
                f"no usable instance of {service} with a port; "
                f"discoctl list {service} --all shows all there are"
            )
        return finish(printer, disco, _staleness(printer, disco.stale, stale_ok=stale_ok))


def _staleness(printer: Printer, stale: float | None, *, stale_ok: bool) -> int:
    """Say how old an answer may be; return the exit code that this makes."""
    if stale is None:
        return 0
    printer.talk(
        "most other nodes are silent, so the agent may be cut off: "
        f"what it knows may be {span(1000 * stale)} old"
    )
    return 0 if stale_ok else PARTIAL


@verb("get", example="discoctl get web/web-8080@a\ndiscoctl get web-8080 -o json")
@click.argument("id", metavar="ID", shell_complete=completes("instances"))
def get(session: Session, id: str) -> int:  # noqa: A002
    """Show one instance whole.

    ID is SERVICE/INSTANCE@NODE, or a part of it that fits exactly one: SERVICE/INSTANCE or
    INSTANCE, this node's own preferred. 1 when there is none.
    """
    printer = session.printer(output.INSTANCE)
    with session.disco() as disco:
        printer.instance(disco.get(id))
        return finish(printer, disco)
