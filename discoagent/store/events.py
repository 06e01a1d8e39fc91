"""What a life's log of events is made of, and its packed form: what watchers missed, and history.

events   msgpack, one after the other: [number, at_ms, kind, node, entry | nil, before | nil,
         cause, actor, position | nil, {node: position | nil} | nil, seen_ms]
entry    [kind, name, id, owner, body]
position [incarnation, clock]
"""

from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any, NamedTuple

import msgpack

from discoagent.core.effects import Event, EventKind
from discoagent.core.entry import Cause, Entry, Kind

Position = tuple[int, int]
"""Incarnation and clock of a node; clock 0: it is shown as no state of one chain."""


class LoggedEvent(NamedTuple):
    """An event, its number in this life of the agent, and when it was made, in wall-clock ms.

    After it its node is shown at `position`, None if nothing of it is. `also`: other nodes that
    moved since the event before, without a change of what is shown of them. `seen_ms`: when this
    agent showed it, by its own clock.
    """

    number: int
    at_ms: int
    event: Event
    position: Position | None
    also: Mapping[str, Position | None] | None = None
    seen_ms: int = 0


def pack_events(logged: Iterable[LoggedEvent]) -> bytes:
    """Pack events, one after the other."""
    pack = msgpack.Packer().pack
    return b"".join([pack(_values(each)) for each in logged])


def unpack_events(packed: bytes) -> Iterator[LoggedEvent]:
    """Read what `pack_events` has packed. Whatever is wrong with it raises one of many errors."""
    for values in msgpack.Unpacker(BytesIO(packed), use_list=False):
        number, at, kind, node, entry, before, word, actor, position, also, seen = values[:11]
        event = Event(EventKind(kind), node, _entry(entry), _entry(before), Cause(word, actor, at))
        yield LoggedEvent(number, at, event, position, also, seen)


def _values(logged: LoggedEvent) -> tuple[Any, ...]:
    number, at, event, position, also, seen = logged
    entry, before = event.entry, event.before
    return (
        number,
        at,
        event.kind.value,
        event.node,
        entry and (entry.kind, entry.name, entry.id, entry.owner, entry.body),
        before and (before.kind, before.name, before.id, before.owner, before.body),
        event.cause.word,
        event.cause.actor,
        position,
        also,
        seen,
    )


def _entry(values: Any) -> Entry | None:
    return values and Entry(Kind(values[0]), *values[1:5])
