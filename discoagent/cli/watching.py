"""The commands that wait for changes: `watch` and `wait`. Both outlive a restart of their agent."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from discoagent.cli import output
from discoagent.cli.command import Session, completes, files, filter_option, usage, verb
from discoagent.cli.output import talk
from discoagent.cli.views import INSTANCES
from discoagent.errors import TimeoutExpired
from discoagent.instance import Instance

if TYPE_CHECKING:
    from discoagent.cli.hooks import Hook, TokenFile
    from discoagent.client import Disco
    from discoagent.client.watch import Following
    from discoagent.presence import AnyEvent

E = TypeVar("E")


@verb(
    "watch",
    example="discoctl watch\ndiscoctl watch web db -o jsonl | while read -r event; do ...; done\n"
    "discoctl watch -f 'meta.zone == \"a\"' --count 0\ndiscoctl watch --topic room:1\n"
    "discoctl watch web --save-token at -- ./reload\n"
    'discoctl watch web --from "$(cat at)" --save-token at -- ./reload',
    takes_command="[-- CMD...]",
)
@click.argument("services", nargs=-1, metavar="[SERVICE]...", shell_complete=completes("services"))
@click.option(
    "--count",
    type=click.IntRange(0),
    metavar="N",
    help="End after N events that follow the present; 0: print the present and end.",
)
@click.option(
    "--topic",
    "topics",
    multiple=True,
    metavar="T",
    help="Who is there, instead of services if none is named; repeated: several.",
    shell_complete=completes("topics"),
)
@click.option(
    "--from",
    "from_token",
    metavar="TOKEN",
    help="Begin with what happened since this event, in place of the present.",
)
@click.option(
    "--save-token",
    metavar="FILE",
    help="Keep the token of the last event there, once it was printed or CMD has succeeded.",
    shell_complete=files,
)
@filter_option
@click.pass_context
def watch(
    ctx: click.Context,
    /,
    session: Session,
    *,
    count: int | None,
    from_token: str | None,
    save_token: str | None,
    **what: Any,
) -> int:
    """Print the present, then every change as it happens.

    What there is comes as added, then synced: every visible instance, usable or not. Lines on a
    terminal, jsonl otherwise. A restart of the agent is outlived. With -f what comes to fit is
    added, and what ceases to fit is removed.

    CMD is run once for the present and then for what came since, with the events as jsonl on its
    stdin and the last token as DISCO_TOKEN.
    """
    from discoagent.cli.hooks import Hook, TokenFile, batches  # `wait` has no use for them

    if what["filter"] is not None and what["topics"] and not what["services"]:
        usage("-f is for instances: name a SERVICE, too", "filter")
    command = ctx.meta["command"]
    if command == ():
        usage("-- must be followed by CMD", "command")
    saved = None if save_token is None else TokenFile(save_token)
    with session.disco(waits=True) as disco:
        begin = partial(_beginning(disco, **what), from_token=from_token)
        if command is None:
            _print(session.stream_printer(), outlived(session, begin), count, saved)
        else:
            hook = Hook(command, quiet=session.quiet)
            events = outlived(session, lambda **how: batches(begin(**how)))
            _run(hook, events, count, saved)
    return 0


def _print(
    printer: output.Printer,
    events: "Iterable[AnyEvent]",
    count: int | None,
    saved: "TokenFile | None",
) -> None:
    """Print events until so many followed the present."""
    synced = False
    for event in events:
        printer.event(event)
        if saved is not None:
            saved.save(event.token)
        if synced and count is not None:
            count -= 1
        synced = synced or event.kind == "synced"
        if synced and count == 0:
            break


def _run(
    hook: "Hook",
    batches: "Iterable[Sequence[AnyEvent]]",
    count: int | None,
    saved: "TokenFile | None",
) -> None:
    """Run CMD for the present and for what follows, until that were so many."""
    for number, batch in enumerate(batches):
        events = batch[:count] if number else batch
        if hook.run(events) and saved is not None:
            saved.save(events[-1].token)
        if number and count is not None:
            count -= len(events)
        if count == 0:
            break


@verb(
    "wait", example="discoctl wait db --timeout 30s && start-my-service\ndiscoctl wait web --gone"
)
@click.argument("service", shell_complete=completes("services"))
@click.option(
    "--count", type=click.IntRange(1), metavar="N", help="Until N are usable.  [default: 1]"
)
@click.option("--gone", is_flag=True, help="Until none is visible, usable or not.")
def wait(session: Session, *, service: str, count: int | None, gone: bool) -> int:
    """Wait until a service is there, or gone.

    It is there when one instance, or --count, is usable. Prints nothing unless -o asks for the
    instances. --timeout bounds the wait: 124 when it is over.
    """
    if gone and count is not None:
        usage("--gone and --count exclude each other", "gone")
    printer = session.printer(output.INSTANCE)
    enough = count or 1

    def met(present: list[Instance]) -> bool:
        return not present if gone else sum(it.usable for it in present) >= enough

    with session.disco(waits=True) as disco:
        present = wait_until(session, disco, service, met)
    if session.format is not None:
        printer.many([it for it in present if it.usable], INSTANCES)
    return 0


def wait_until(
    session: Session,
    disco: "Disco",
    service: str,
    met: Callable[[list[Instance]], bool],
    *,
    patience: float | None = None,
) -> list[Instance]:
    """Return what is visible of a service once it meets a condition, or when `patience` is over.

    `--timeout` bounds the wait too, and raises TimeoutExpired.
    """
    present: dict[str, Instance] = {}
    synced = False
    try:
        for event in outlived(session, partial(disco.watch, service), patience):
            synced = synced or event.kind == "synced"
            if event.instance is not None:
                present[event.instance.name] = event.instance
            elif event.before is not None:
                present.pop(event.before.name, None)
            if synced and met(in_order(present)):
                break
    except PatienceOverError:
        pass
    return in_order(present)


def in_order(present: dict[str, Instance]) -> list[Instance]:
    """Return instances as lists show them: by service, id, node."""
    return sorted(present.values(), key=lambda it: (it.service, it.id, it.node))


class PatienceOverError(Exception):
    """A command's own time is over, as opposed to `--timeout`."""


def _beginning(
    disco: "Disco",
    services: tuple[str, ...],
    topics: tuple[str, ...],
    filter: str | None,  # noqa: A002 - the contract's word
) -> "Callable[..., Following[Any]]":
    if not topics:
        return partial(disco.watch, *services, filter=filter)
    if not services:
        return partial(disco.watch_presence, *topics)
    return partial(disco.watch_mixed, services, topics, filter=filter)


def outlived(
    session: Session, begin: "Callable[..., Iterable[E]]", patience: float | None = None
) -> Iterator[E]:
    """Yield the present, `synced`, and every change; say so on stderr when the agent goes and
    comes.

    `begin` begins the watch. Raises TimeoutExpired when `--timeout` is over, PatienceOverError when
    `patience` is.
    """
    started = time.monotonic()

    def link(up: bool) -> None:  # noqa: FBT001 - the client's call
        said = "the agent is back" if up else "the agent went away; waiting for it"
        talk(said, quiet=session.quiet)

    bound = min((it for it in (patience, session.timeout) if it is not None), default=None)
    try:
        yield from begin(timeout=bound, on_link=link)
    except TimeoutExpired as error:
        over = time.monotonic() - started
        if bound is None or over < bound:
            raise
        if patience is not None and patience == bound:
            raise PatienceOverError from error
        raise TimeoutExpired(f"--timeout of {session.timeout:g} s is over") from error
