"""The commands that change this node's instances: `register update renew deregister`."""

import time
from typing import TYPE_CHECKING, Any

import click

from discoagent.cli import output
from discoagent.cli.command import (
    DURATION,
    NODES,
    PAIR,
    PARTIAL,
    PORT,
    F,
    Session,
    completes,
    merged,
    usage,
    verb,
)
from discoagent.cli.output import Printer
from discoagent.instance import Instance, Json

if TYPE_CHECKING:  # loaded when used
    from discoagent.checks import Check


class HealthCheck(click.ParamType):  # type: ignore[type-arg]
    """A check as users write it."""

    name = "check"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Check":
        """Read the text."""
        from discoagent.checks.bounds import read_one
        from discoagent.checks.words import parse

        return read_one(parse(str(value)).packed(), "check")

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return what stands for the value in `--help`."""
        return "CHECK"


CHECK = HealthCheck()


def instance_options(function: F) -> F:
    """Add the flags that say what is registered; `register` and `run` share them."""
    for option in reversed(
        (
            click.option(
                "--port",
                type=PORT,
                metavar="P",
                help="Where it listens; none: listed, not resolved.",
            ),
            click.option(
                "--address", metavar="A", help="Host name or IP.  [default: the agent's address]"
            ),
            click.option(
                "--id", metavar="I", help="Instance.  [default: NAME-PORT, else NAME-PID or NAME]"
            ),
            click.option(
                "--tag", "tags", multiple=True, metavar="T", help="A tag; repeated: several."
            ),
            click.option("--meta", type=PAIR, multiple=True, help="A pair; repeated: several."),
            click.option(
                "--check",
                "check",
                type=CHECK,
                multiple=True,
                help="http:/health, tcp, exec:CMD or ttl:10s; then ,interval=5s,timeout=2s,rise=1,"
                "fall=2; repeated: several.",
            ),
            click.option(
                "--verify", is_flag=True, help="Only if the process listens on --port; else 6."
            ),
            click.option(
                "--replace", is_flag=True, help="Take over from a living owner of the same user."
            ),
        )
    ):
        function = option(function)
    return function


@verb(
    "register",
    example="discoctl register web --port 8080 --tag v2 --meta zone=a --pid $$\n"
    "discoctl register backup --ttl 1h\n"
    "discoctl register api --port 80 --static --check http:/health,interval=1s,fall=3\n"
    "discoctl register db --address db.internal --port 5432 --static\n"
    "discoctl register web --port 8080 --pid $$ --wait-seen all --timeout 5s",
)
@click.argument("name")
@instance_options
@click.option("--pid", type=click.IntRange(1), metavar="P", help="Ends with this process.")
@click.option("--ttl", type=DURATION, help="A lease: ends unless renewed within this time.")
@click.option("--static", is_flag=True, help="Until it is deregistered.")
@click.option(
    "--wait-seen",
    type=NODES,
    help="Wait until all other nodes, or N, have seen it; 5 when --timeout is over, or N are not.",
)
def register(
    session: Session,
    *,
    name: str,
    pid: int | None,
    ttl: float | None,
    static: bool,
    wait_seen: str | int | None,
    meta: tuple[tuple[str, str], ...],
    **what: Any,
) -> int:
    """Register an instance, and print SERVICE/INSTANCE@NODE.

    What ends it is said with exactly one of --pid, --ttl and --static. 6 when somebody who lives
    has the id.
    """
    printer = session.printer(output.INSTANCE)
    if (pid is not None) + (ttl is not None) + static != 1:
        usage("say what ends it: exactly one of --pid, --ttl and --static", "lifetime")
    began = time.monotonic()
    with session.disco(waits=wait_seen is not None) as disco:
        registration = disco.register(
            name, pid=pid, ttl=ttl, static=static, meta=merged(meta), hold=False, **what
        )
        if wait_seen is None:
            printer.changed([registration.instance])
            return 0
        left = None if session.timeout is None else session.timeout - (time.monotonic() - began)
        seen = disco.wait_seen(wait_seen, left)
    return _told_who_has_seen(printer, registration.instance, seen, wait_seen)


def _told_who_has_seen(printer: Printer, instance: Instance, seen: Json, wanted: str | int) -> int:
    """Print what was registered and who has seen it; return the exit code."""
    if printer.in_json:
        printer.value({"instance": instance.to_json(), **seen}, ())
    else:
        printer.changed([instance])
    number, missing = len(seen["seen"]), seen["missing"]
    there = number + len(missing)
    needed = there if wanted == "all" else int(wanted)
    if number >= needed:
        return 0
    if needed > there:
        what = f"{needed} other nodes were to see it, there are {there}"
    else:
        what = f"seen by {number} of {there} other nodes, missing: {', '.join(missing)}"
    printer.talk(f"{instance.name} is registered; {what}")
    return PARTIAL


@verb(
    "update", example="discoctl update web-8080 --tag canary --untag v1 --set zone=b --unset note"
)
@click.argument("id", metavar="ID", shell_complete=completes("own instances"))
@click.option("--port", type=PORT, metavar="P", help="The new port.")
@click.option("--address", metavar="A", help="The new address.")
@click.option("--tag", multiple=True, metavar="T", help="Add a tag.")
@click.option("--untag", multiple=True, metavar="T", help="Remove a tag.")
@click.option("--set", type=PAIR, multiple=True, help="Set a pair of the meta.")
@click.option("--unset", multiple=True, metavar="K", help="Remove a key of the meta.")
@click.option("--check", type=CHECK, multiple=True, help="Check this from now on, and no other.")
@click.option("--no-check", is_flag=True, help="Check nothing any more.")
def update(
    session: Session,
    *,
    id: str,  # noqa: A002
    set: tuple[tuple[str, str], ...],  # noqa: A002
    check: "tuple[Check, ...]",
    no_check: bool,
    **changes: Any,
) -> int:
    """Change an instance of this node.

    What is named changes, the rest stays.
    """
    printer = session.printer(output.INSTANCE)
    if check and no_check:
        usage("--check and --no-check contradict each other", "check")
    if not (set or check or no_check or any(changes.values())):
        usage(
            "nothing to change: give --port, --address, --tag, --untag, --set, --unset or --check"
        )
    checks = check if check or no_check else None
    with session.disco() as disco:
        printer.changed([disco.update(id, set=merged(set), check=checks, **changes)])
        return 0


@verb("renew", example="while sleep 20; do discoctl renew backup -q; done")
@click.argument("id", metavar="ID", shell_complete=completes("own instances"))
def renew(session: Session, id: str) -> int:  # noqa: A002
    """Give a lease of this node its whole time anew."""
    printer = session.printer(output.INSTANCE)
    with session.disco() as disco:
        printer.changed([disco.renew(id)])
        return 0


@verb("deregister", example="discoctl deregister web-8080")
@click.argument("id", metavar="ID", shell_complete=completes("own instances"))
def deregister(session: Session, id: str) -> int:  # noqa: A002
    """End an instance of this node; it does not come back."""
    printer = session.printer(output.INSTANCE)
    with session.disco() as disco:
        printer.changed([disco.deregister(id)])
        return 0
