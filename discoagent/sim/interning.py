"""Entries that many hosts hold are kept once: a thousand replicas hold each of them a thousand
times.
"""

from collections.abc import Mapping
from dataclasses import replace

from discoagent.core.entry import Cause, Entry, ReplicaId
from discoagent.core.messages import (
    Delta,
    DeltaMessage,
    Envelope,
    Farewell,
    Message,
    Page,
    Part,
    SyncChunk,
)

Born = tuple[Entry, Cause | None]


class Interning:
    """Puts what was decoded before in the place of what equals it, whatever frame it came in.

    Entries and causes never change, so nobody can tell; but they are compared at every step, and
    the same object is equal at once.
    """

    def __init__(self) -> None:
        self._born: dict[tuple[ReplicaId, int], Born] = {}

    def interned(self, envelope: Envelope) -> Envelope:
        """Return the same message, made of what is known where it is."""
        message = self._message(envelope.message)
        return envelope if message is envelope.message else envelope._replace(message=message)

    def _message(self, message: Message) -> Message:
        match message:
            case DeltaMessage(deltas):
                return DeltaMessage(tuple(map(self._delta, deltas)))
            case Farewell(_, Delta() as delta):
                return replace(message, delta=self._delta(delta))
            case SyncChunk(_, _, parts):
                return replace(message, parts=tuple(map(self._part, parts)))
            case _:
                return message

    def _part(self, part: Part) -> Part:
        match part:
            case Delta():
                return self._delta(part)
            case Page(replica, _, _, entries):
                known = {dot: self._entry(replica, dot, it) for dot, it in entries.items()}
                return replace(part, entries=known)
            case _:
                return part

    def _delta(self, delta: Delta) -> Delta:
        return replace(delta, added=self._added(delta.replica, delta.added))

    def _added(self, replica: ReplicaId, added: Mapping[int, Born]) -> dict[int, Born]:
        known: dict[int, Born] = {}
        for dot, born in added.items():
            first = self._born.setdefault((replica, dot), born)
            known[dot] = first if first == born else born
        return known

    def _entry(self, replica: ReplicaId, dot: int, entry: Entry) -> Entry:
        first = self._born.get((replica, dot))
        return first[0] if first is not None and first[0] == entry else entry
