"""`discoctl why`: what the state of a node is founded on, and what led to that of an instance."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from discoagent.cli import output
from discoagent.cli.command import Session, completes, finish, verb
from discoagent.cli.output import Printer
from discoagent.cli.views import owner, plain, span
from discoagent.errors import NoInstance
from discoagent.instance import Event, Json

if TYPE_CHECKING:
    from discoagent.client import Disco

STOOD_STILL = 1_000  # ms by which silence is shorter than the last sign is old: we slept
NEXT = {"suspect": "down", "restarting": "down", "down": "forgotten", "left": "forgotten"}
PORTS = {
    "open": "it answers",
    "refused": "nobody listens, so its host lives",
    "mute": "it accepts and says nothing, so its process is stopped or hangs",
    "silent": "nothing came back",
}


@verb(
    "why",
    example="discoctl why web/web-8080@a        # an instance, there or gone\n"
    "discoctl why web-8080 -o json\ndiscoctl why web-3                 # a node",
)
@click.argument("what", metavar="ID|NODE", shell_complete=completes("nodes and instances"))
def why(session: Session, what: str) -> int:
    """Show why an instance or a node is as it is, or is gone.

    Of an instance: its events since it was last added, oldest first, each with its time, cause and
    actor, out of what this node's agent saw, over its restarts. Of a node, which is meant before an
    instance of the same name: who heard what of it, when and by which path, what would clear that,
    and how its state changed: also of a node that is forgotten. 1 when the agent knows neither; 5
    where its record begins later than the instance.
    """
    printer = session.printer(output.COMMON)
    with session.disco() as disco:
        found = None if is_instance(what) else _node(disco, what)
        if found is None:
            return _why_instance(printer, disco, what)
    printer.value(found, _summary(found), found["state"])
    if printer.format in ("table", "wide"):
        for change in found["changes"]:
            _tell(printer, change)
    return 0


def is_instance(what: str) -> bool:
    """Can this be the name of an instance alone?"""
    return "/" in what or "@" in what


def _node(disco: "Disco", name: str) -> Json | None:
    """Return what the state of a node is founded on; None if there is no such node."""
    try:
        return disco.why(name)
    except NoInstance:
        return None


def _why_instance(printer: Printer, disco: "Disco", name: str) -> int:
    try:
        events = disco.why_instance(name)
    except NoInstance:
        if is_instance(name):
            raise
        raise NoInstance(
            f"{name}: this agent knows neither a node nor an instance of that name", field="id"
        ) from None
    if printer.format in ("table", "wide"):
        last = events[-1]
        state = last.instance.state if last.instance else "removed"
        printer.block(_because(last), state)
    printer.events(events)
    return finish(printer, disco)


def _because(last: Event) -> Iterator[tuple[str, str]]:
    """What the last event of an instance made of it, as (label, text)."""
    about = last.instance or last.before
    assert about is not None
    yield "", f"{about.name} is {about.state if last.instance else 'gone'} since {last.at}"
    yield "Because", f"{last.kind}, {last.cause}"
    if last.actor:
        yield "By", owner(last.actor)
    if last.seen_at:
        yield "Seen here", last.seen_at


def _summary(it: Json) -> Iterator[tuple[str, str]]:
    """What is so now, as (label, text)."""
    since = f" since {it['since']}" if it["since"] else ""
    yield "", f"{it['node']} is {it['state']}{since}"
    if it["reason"]:
        yield "Because", plain(it["reason"])
    for sentence in sentences(it["evidence"], "ago") if it["evidence"] else ():
        yield "Known", plain(sentence)
    if it["clears"]:
        yield "Cleared by", it["clears"]
    if it["due_ms"] is not None:
        yield "Else", f"{NEXT[it['state']]} in {span(it['due_ms'])}"
    yield "Incarnation", str(it["incarnation"])


def _tell(printer: Printer, change: Json) -> None:
    """Write one change of its state, with the evidence of its time."""
    before = change["before"] or "unknown"
    because = f": {plain(change['reason'])}" if change["reason"] else ""
    printer.line(f"{change['at']} {before} -> {change['after']}{because}")
    for sentence in sentences(change["evidence"], "before"):
        printer.line(f"    {plain(sentence)}")


def sentences(it: Json, then: str) -> Iterator[str]:
    """Say what was known; `then` is "ago" or "before"."""
    yield from _signs(it, then)
    for witness in it["witnesses"]:
        yield (
            f"{witness['node']}, asked {span(witness['asked_ms'])} {then}, had heard it "
            f"{span(witness['heard_ms'])} {then}{_number(witness['beat'])}"
        )
    if it["port"] is not None:
        yield f"its port was dialled {span(it['dialled_ms'])} {then}: {PORTS[it['port']]}"
    if it["refused_by"]:
        yield f"{it['refused_by']} saw its port refuse {span(it['refused_ms'])} {then}"
    if it["farewell"]:
        yield "it said that it stops"
    if it["silent"]:
        yield f"{it['silent']} of {it['present']} nodes are silent: this agent may be cut off"


def _number(beat: int) -> str:
    """Say which heartbeat is the latest that somebody knows of."""
    return f", its latest heartbeat known is {beat}" if beat else ""


def _signs(it: Json, then: str) -> Iterator[str]:
    """Say which signs of life there were, by which path."""
    if it["spoke_ms"] is None:
        yield "it never spoke to this agent itself"
    else:
        yield f"its last own word came here {span(it['spoke_ms'])} {then}{_number(it['beat'])}"
    if it["answered_ms"] is not None:
        yield f"it answered a question of {span(it['answered_ms'])} {then}"
    if it["told_by"]:
        yield f"{it['told_by']} heard it {span(it['told_ms'])} {then}"
    known = [ms for ms in (it["spoke_ms"], it["answered_ms"], it["told_ms"]) if ms is not None]
    if known and it["silence_ms"] is not None and min(known) > it["silence_ms"] + STOOD_STILL:
        yield f"only {span(it['silence_ms'])} of that count: this agent itself stood still"
