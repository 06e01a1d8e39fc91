"""The log over the lives of this agent: written as it grows, read for whoever missed more.

A later life goes on with a node exactly where it found it as the life before had left it. Others
have changed while no agent was here: they are *lost* to whoever watched, or *fresh* if they were
not there before.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from discoagent.core.entry import Entry
from discoagent.local.events.history import History
from discoagent.store import Checkpoint, Recalled, Store, StoredLife, checkpoints
from discoagent.store.events import LoggedEvent, Position
from discoagent.store.rows import EVENTS_LEAST
from discoagent.token import Giver, Vector

WRITE_AFTER = 0.1  # seconds from an event until it is handed over
WRITE_AFTER_NODE = 0.0002  # more of it for each node: the vector is written, too
CHECKPOINT_AFTER = 1.0  # seconds from the begin of the log
CHECKPOINT_EVENTS = EVENTS_LEAST // 2  # from one to the next: of what is kept, some hold one
CHECKPOINT_SHARE = 100  # each is followed by so many times the time that it took

Positions = Mapping[str, Position]
NOWHERE: Positions = MappingProxyType({})


class Stretch(NamedTuple):
    """What one life logged. `begins`: where it found the nodes that it goes on with.

    `lost` and `fresh` are those with which neither it nor a life before it goes on.
    """

    incarnation: int
    events: list[LoggedEvent]
    begins: Positions = NOWHERE
    lost: frozenset[str] = frozenset()
    fresh: frozenset[str] = frozenset()


class Past:
    """Writes this life's log, and reads it together with those of former lives."""

    def __init__(
        self,
        *,
        life: StoredLife,
        history: History,
        store: Store,
        former: Iterable[StoredLife],
        shown: Callable[[], list[tuple[str, Entry]]],
        secure: Callable[[], object],
        wall_ms: Callable[[], int],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`shown` is all that is shown, with its nodes.

        `secure` keeps the entries: no event is kept whose entry is not.
        """
        self._life = life
        self._history = history
        self._store = store
        self._former = list(former)
        self._shown = shown
        self._secure = secure
        self._wall_ms = wall_ms
        self._loop = loop
        self._writing: asyncio.TimerHandle | None = None
        self._checkpoint_after: int | None = None  # the event of the last one; None: none is due
        self._checkpoint_at = 0.0
        self._checkpointing: asyncio.Handle | asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin the log: the first sync is complete."""
        self._history.begin()
        self.write_anew()

    def write_anew(self) -> None:
        """Have written where the log began, too; the events that the store has missed are lost."""
        self._note_life()
        self._write()
        self._checkpoint_later(CHECKPOINT_AFTER)

    def catch_up(self) -> None:
        """Note that what is not known again by now is gone."""
        life = self._life
        if life.caught_up is None:
            self._life = life._replace(caught_up=self._history.number, caught_up_ms=self._wall_ms())
            self._note_life()
            self.write_soon()

    def write_soon(self) -> None:
        """Have written what was logged since, and where all stand with that."""
        if self._writing is None:
            seconds = WRITE_AFTER + WRITE_AFTER_NODE * len(self._history.positions)
            self._writing = self._loop.call_later(seconds, self._write)

    def close(self) -> None:
        """Write what is left."""
        if self._checkpointing is not None:
            self._checkpointing.cancel()
        self._checkpoint_after = None  # what comes now is the next life's
        self._write()

    def lives(self) -> list[StoredLife]:
        """Return the lives that the next one finds, this one included."""
        self._history.look()
        return [*self._former, self._present_life()]

    async def since(self, giver: Giver) -> list[Stretch] | None:
        """Return what was logged since; None where the log does not reach."""
        life = self._life.incarnation
        if giver.incarnation == life:
            events = await self._present(giver.number)
            return None if events is None else [Stretch(life, events)]
        lives = [it for it in self._former if it.incarnation >= giver.incarnation]
        if not lives or lives[0].incarnation != giver.incarnation or not self._history.begun:
            return None
        return await self._over(lives, giver.number)

    async def _over(self, lives: list[StoredLife], number: int) -> list[Stretch] | None:
        stretches: list[Stretch] = []
        ended: Positions | None = None
        for life in lives:
            events = await asyncio.to_thread(self._store.events_after, life.incarnation, number)
            if events is None:
                return None
            stretches.append(_next(stretches, ended, _positions(life.baseline), life, events))
            ended, number = _positions(life.vector), 0
        events = await self._present(0)
        if events is None:
            return None
        baseline = self._history.baseline or {}
        return [*stretches, _next(stretches, ended, baseline, self._life, events)]

    async def _present(self, number: int) -> list[LoggedEvent] | None:
        events = self._history.after(number)
        if events is not None or number > self._history.number:
            return events
        life = self._life.incarnation
        stored = await asyncio.to_thread(self._store.events_after, life, number)
        if stored is None:
            return None
        rest = self._history.after(stored[-1].number if stored else number)
        return None if rest is None else [*stored, *rest]

    async def checkpoint(self) -> None:
        """Keep all that is shown now: what a later life begins with when it looks back."""
        began = self._loop.time()
        number, seen, shown = self._history.number, self._wall_ms(), self._shown()
        packed = await asyncio.to_thread(checkpoints.pack, shown)
        self._store.keep_checkpoint(Checkpoint(number, seen, packed))
        self._checkpoint_after, self._checkpointing = number, None
        ended = self._loop.time()
        self._checkpoint_at = ended + CHECKPOINT_SHARE * (ended - began)
        self._write()  # of no use without the events before it

    def _checkpoint_later(self, seconds: float) -> None:
        if self._checkpointing is None:
            self._checkpointing = self._loop.call_later(seconds, self._begin_checkpoint)

    def _begin_checkpoint(self) -> None:
        self._checkpointing = self._loop.create_task(self.checkpoint())

    def _look_at_checkpoint(self) -> None:
        if self._checkpoint_after is None or self._checkpointing is not None:
            return
        if self._history.number - self._checkpoint_after >= CHECKPOINT_EVENTS:
            self._checkpoint_later(max(self._checkpoint_at - self._loop.time(), 0.0))

    def _present_life(self) -> StoredLife:
        history = self._history
        return self._life._replace(
            number=history.number,
            vector=history.packed(),
            baseline=b"" if history.baseline is None else Vector(history.baseline).pack(),
            begun=history.begun_after,
            begun_ms=history.begun_ms,
            seen_ms=self._wall_ms(),
        )

    def _note_life(self) -> None:
        fields = self._present_life()._asdict()
        for fixed in ("incarnation", "began_ms", "number"):
            del fields[fixed]
        self._store.note(**fields)

    def _write(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        self._history.look()
        events, self._history.unwritten = self._history.unwritten, []
        self._store.append_events(events)
        self._store.note(vector=self._history.packed(), seen_ms=self._wall_ms())
        self._secure()
        self._look_at_checkpoint()


def _next(
    before: list[Stretch],
    ended: Positions | None,
    begins: Positions,
    life: StoredLife,
    events: list[LoggedEvent],
) -> Stretch:
    """Return a life's stretch, after those of the lives before it, the last of which ended so."""
    if ended is None:
        return Stretch(life.incarnation, events)
    same = {node: it for node, it in ended.items() if it[1] and begins.get(node) == it}
    lost = before[-1].lost | (ended.keys() - same.keys())
    fresh = before[-1].fresh | (begins.keys() - ended.keys() - lost)
    same = {node: it for node, it in same.items() if node not in lost and node not in fresh}
    return Stretch(life.incarnation, events, same, lost, fresh)


def _positions(packed: bytes) -> Positions:
    """Read positions that were kept; what is wrong with them says nothing."""
    try:
        return Vector.unpack(packed).positions
    except ValueError:
        return {}


def continued(former: Recalled, node: str, clock: int | None) -> Position | None:
    """Return where this node stood when its former life ended; None if its log lacks something.

    `clock` is that of the entries that were kept. No entry is newer than the log, then.
    """
    if not former.good or not former.lives or clock is None:
        return None
    last = former.lives[-1]
    position = _positions(last.vector).get(node)
    if position is None or position[0] != last.incarnation or position[1] < clock:
        return None
    return position
