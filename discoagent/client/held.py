"""The registrations that a client holds: what is to be said for them, and when. Pure.

A registration is said again to every new life of the agent, with its `ref` and time, so that it is
adopted without an event. A lease is renewed at a third of its time. One that was closed is
deregistered, again and again until an agent has said that it is: what was closed while the agent
was away must not come back with it.
"""

import heapq
from collections import deque
from dataclasses import dataclass
from enum import Enum
from itertools import count, islice
from typing import Any

from discoagent.client.lasting import Lasting, Row
from discoagent.client.session import Call
from discoagent.errors import DiscoError, NoInstance

HeldKey = tuple[str, ...]  # of an instance: service, id
RENEWALS_PER_TTL = 3
ERRANDS_MAX = 1_000


@dataclass(slots=True, eq=False, weakref_slot=True)
class Held:
    """One registration of this process: an instance or a meta.

    `said_to` is the incarnation that has it, `renewed` when it was last said or renewed (monotonic
    seconds), `due` when it will be renewed. `busy`: somebody speaks for it right now. `closing`: it
    was closed; `closed`: and the agent knows. `ended`: why the agent does not have it any more.
    `successor`: what this process registered in its place.
    """

    spec: Lasting
    row: Row
    said_to: int
    renewed: float
    due: float | None = None
    busy: bool = False
    closing: bool = False
    closed: bool = False
    lapsed: bool = False
    ended: DiscoError | None = None
    successor: "Held | None" = None

    @property
    def key(self) -> HeldKey:
        """What names it on its node."""
        return self.spec.key_of(self.row)

    @property
    def name(self) -> str:
        """What users know it by: `SERVICE/INSTANCE@NODE`."""
        return self.spec.name_of(self.row)

    @property
    def over(self) -> bool:
        """Is there nothing left to hold?"""
        return self.ended is not None or self.successor is not None

    def lapses(self, now: float) -> bool:
        """Has its lease ended by now, if the agent heard nothing since it was last renewed?"""
        ttl_ms = self.spec.ttl_ms
        return ttl_ms is not None and now - self.renewed > ttl_ms / 1000

    def newest(self) -> "Held":
        """Return the last registration of this id."""
        held = self
        while held.successor is not None:
            held = held.successor
        return held

    def again(self) -> Call[Row]:
        """Return what says it again, as it stands now."""
        return self.spec.again(self.row, lapsed=self.lapsed)

    def ending(self) -> Call[Row]:
        """Return what ends it."""
        return self.spec.ending(self.row)


class Verb(Enum):
    """What is done for a registration."""

    SAY = "say it again"
    RENEW = "renew its lease"
    END = "end it"


@dataclass(frozen=True, slots=True)
class Errand:
    """One thing to say for a held registration; `Holdings.done` must be told what became of it."""

    held: Held
    verb: Verb
    call: Call[Row]


class Holdings:
    """All registrations that one client holds. Verbs take `now`, monotonic seconds."""

    def __init__(self) -> None:
        self._held: dict[HeldKey, Held] = {}
        self._closing: dict[HeldKey, Held] = {}
        self._leases: list[tuple[float, int, Held]] = []  # a heap by the time of renewal
        self._sequence = count()
        self._incarnation: int | None = None  # the agent's life that is spoken to
        self._queue: deque[Held] = deque()  # what that life was not told yet

    @property
    def idle(self) -> bool:
        """Is nothing held, and nothing left to say?"""
        return not (self._held or self._closing)

    @property
    def unsettled(self) -> bool:
        """Is there one left to speak for, because somebody else speaks for it right now?"""
        return bool(self._queue or self._closing)

    def find(self, key: HeldKey) -> Held | None:
        """Return the registration of this id, if it is held."""
        return self._held.get(key)

    def instance(self, service: str | None, name: str) -> Held | None:
        """Return the held instance of this id, of that service or any; None: not just one."""
        found = [
            held
            for key, held in self._held.items()
            if key[1:] == (name,) and service in (None, key[0])
        ]
        return found[0] if len(found) == 1 else None

    def add(self, held: Held) -> None:
        """Hold a registration that the agent has just confirmed."""
        self._held[held.key] = held
        if held.said_to != self._incarnation:
            self._queue.append(held)
        self._plan(held)

    def remove(self, held: Held) -> None:
        """Hold it no longer."""
        for table in (self._held, self._closing):
            if table.get(held.key) is held:
                del table[held.key]

    def _holds(self, held: Held) -> bool:
        return self._held.get(held.key) is held

    def close(self, held: Held) -> None:
        """Hold it no longer, and have it deregistered at the next errand."""
        self.remove(held)
        held.closing = True
        self._closing[held.key] = held

    def close_all(self) -> None:
        """Close what ends with its `Disco`, and hold nothing any more."""
        for held in list(self._held.values()):
            if held.spec.transient:
                self.close(held)
            else:
                self.remove(held)

    def next_renewal(self) -> float | None:
        """Return when the next lease is to be renewed."""
        while self._leases:
            due, _, held = self._leases[0]
            if held.due == due and self._holds(held):
                return due
            heapq.heappop(self._leases)
        return None

    def errands(self, incarnation: int, now: float) -> list[Errand]:
        """Return what is to be said next to the agent's present life; each is `busy` from now on.

        There may be more: ask again when these are done. Leases come first, and are not kept
        waiting by what is said for thousands of others.
        """
        if self._incarnation != incarnation:
            self._incarnation = incarnation
            self._queue = deque(self._held.values())
        found = self._unended(now)
        found += self._due(now)
        found += self._unsaid()
        for errand in found:
            errand.held.busy = True
        return found

    def forget(self, now: float) -> None:
        """Leave alone what was closed and ended by itself meanwhile, or was registered anew."""
        for held in list(self._closing.values()):
            if held.over or held.lapses(now):
                self.remove(held)

    def _unended(self, now: float) -> list[Errand]:
        self.forget(now)
        waiting = (held for held in self._closing.values() if not held.busy)
        return [Errand(held, Verb.END, held.ending()) for held in islice(waiting, ERRANDS_MAX)]

    def _unsaid(self) -> list[Errand]:
        found = []
        for _ in range(min(len(self._queue), ERRANDS_MAX)):
            held = self._queue.popleft()
            if held.over:
                self.remove(held)
            elif not self._holds(held) or held.closing or held.said_to == self._incarnation:
                continue
            elif held.busy:
                self._queue.append(held)
            else:
                found.append(Errand(held, Verb.SAY, held.again()))
        return found

    def _due(self, now: float) -> list[Errand]:
        found = []
        while (due := self.next_renewal()) is not None and due <= now:
            held = self._leases[0][2]
            self._plan(held, after=now)
            if not (held.busy or held.closing or held.over) and held.said_to == self._incarnation:
                found.append(Errand(held, Verb.RENEW, held.spec.renewal(held.row)))
        return found

    def _plan(self, held: Held, after: float | None = None) -> None:
        ttl_ms = held.spec.ttl_ms
        if ttl_ms is not None and not held.over:
            start = held.renewed if after is None else after
            held.due = start + ttl_ms / 1000 / RENEWALS_PER_TTL
            heapq.heappush(self._leases, (held.due, next(self._sequence), held))

    def done(
        self, errand: Errand, row: Any, error: DiscoError | None, incarnation: int, asked: float
    ) -> None:
        """Take in what became of an errand that was `asked` then: the row, or its error.

        Afterwards `held.ended` tells if the registration is lost, and why.
        """
        held = errand.held
        held.busy = False
        match errand.verb:
            case Verb.END:
                held.closed = True
                self.remove(held)
            case Verb.RENEW if isinstance(error, NoInstance):
                self._missed(held, error, asked)
            case _ if error is None:
                held.row, held.said_to, held.renewed, held.lapsed = row, incarnation, asked, False
                self._plan(held)
            case Verb.RENEW:
                pass  # it is tried again at its time
            case _:
                held.ended = error
                self.remove(held)

    def _missed(self, held: Held, error: NoInstance, asked: float) -> None:
        """Decide on a lease that the agent does not know: did it lapse, or did somebody end it?

        Only a lapse is made good (this process slept over it); what somebody ended stays ended.
        """
        if held.lapses(asked):
            held.lapsed, held.said_to = True, 0
            self._queue.append(held)
        else:
            held.ended = error
            self.remove(held)

    def undone(self, errands: list[Errand]) -> None:
        """Take back errands that nothing came of: the agent went away."""
        if errands:
            self._incarnation = None
        for errand in errands:
            errand.held.busy = False
