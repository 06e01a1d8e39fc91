"""What changes here is kept: first it is sure to outlive a kill, then it is told.

What an answer or a push tells of is in the store's ledger before it goes out, or else in its file.
So a restart, however sudden, brings nothing back that was ended and forgets nothing that was
promised.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable

from discoagent.core.chain import MEMBER_KEY, Chain
from discoagent.core.effects import Event, NodeState
from discoagent.core.entry import Entry, Key, Kind
from discoagent.core.replica import MemberView
from discoagent.local.entries.lifetimes import Lifetimes
from discoagent.local.host import owners
from discoagent.store import KnownPeer, Store, StoredEntry
from discoagent.store.rows import PEERS_KEPT

WRITE_AFTER = 0.1  # seconds from a change to its transaction, with what came meanwhile
PATIENCE = 0.25  # seconds; a disk that takes longer holds up nobody: the store is of use, no need

_log = logging.getLogger("discoagent")


class Keeping:
    """Hands this node's changes to the store, and holds back what tells of them."""

    def __init__(
        self,
        *,
        store: Store,
        lifetimes: Lifetimes,
        own: Chain,
        loop: asyncio.AbstractEventLoop,
        wall_ms: Callable[[], int],
    ) -> None:
        """`own` are this node's entries, `lifetimes` knows what ends them."""
        self._store = store
        self._lifetimes = lifetimes
        self._own = own
        self._find = own.get
        self._loop = loop
        self._wall_ms = wall_ms
        self._changed: dict[Key, StoredEntry | Entry | None] = {}
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._impatience: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._over = False

    def note(self, event: Event) -> None:
        """Take in a change of an entry of this node."""
        if self._over:
            return
        if event.entry is not None:
            self._changed[event.entry.key] = event.entry
        elif event.before is not None:
            self._changed[event.before.key] = None

    def then(self, work: Callable[[], None]) -> None:
        """Do this once all that was noted outlives a kill: now, as a rule."""
        number = self.secure()
        if not number and not self._waiting:
            work()
            return
        self._waiting.append((number or self._waiting[-1][0], work))
        if self._impatience is None:
            self._impatience = self._loop.call_later(PATIENCE, self._give_up)

    def written(self, number: int) -> None:
        """Do what waited for this number, for what it waits for is in the file."""
        while self._waiting and self._waiting[0][0] <= number:
            self._waiting.popleft()[1]()
        if not self._waiting and self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def release(self) -> None:
        """Hand over what was noted, and wait for nothing any more."""
        self.secure()
        self._hand_over()
        if self._waiting:
            self.written(self._waiting[-1][0])

    def know(self, members: Iterable[MemberView], own: str) -> None:
        """Keep where the others are, so that they are found again without any seed."""
        views = [view for view in members if view.replica.node != own]
        at = self._wall_ms()
        there = [
            KnownPeer(view.endpoint, view.replica.node, at)
            for view in views
            if view.state in (NodeState.ALIVE, NodeState.SUSPECT, NodeState.RESTARTING)
        ]
        gone = [view.endpoint for view in views if view.state is NodeState.LEFT]
        self._store.know_peers(there[:PEERS_KEPT], gone)

    def rows(self, entries: Iterable[Entry]) -> list[StoredEntry]:
        """Return these entries as they are kept, with the mark of where they stand."""
        shown = (self._row(entry) for entry in entries if entry.shown)
        return [mark(self._own.clock), *shown]

    def all_anew(self, entries: Iterable[Entry]) -> None:
        """Give the store all there is: it could not be written for a while."""
        self._changed.clear()
        self._store.replace_entries(self.rows(entries))

    def leave(self, entries: Iterable[Entry]) -> None:
        """Keep what is static for the next start; what goes after this is not noted."""
        self._over = True
        self._changed.clear()
        self._store.replace_entries(row for row in self.rows(entries) if _is_static(row))

    def secure(self) -> int:
        """See that what was noted outlives a kill; return 0, or the number that is to be written.

        It is written soon, in any case.
        """
        changed, leases = self._changed, self._lifetimes.leases
        if leases.renewed and not self._over:
            for key in leases.renewed:
                changed.setdefault(key, self._find(key))
            leases.renewed.clear()
        if changed:
            rows, self._changed = changed, {}
            for key in rows.keys() & self._lifetimes.keys():
                entry = self._find(key)
                if entry is not None:
                    rows[key] = self._row(entry)
            rows[MEMBER_KEY] = mark(self._own.clock)
            self._store.keep(rows, len(self._own))
        number = self._store.secure()
        if self._store.behind and self._writing is None:
            self._writing = self._loop.call_later(WRITE_AFTER, self._hand_over)
        return number

    def _hand_over(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        self._store.hand_over()

    def _row(self, entry: Entry) -> StoredEntry:
        assert isinstance(entry.body, bytes)
        key = entry.key
        lease = self._lifetimes.leases.get(key)
        if lease is not None:
            return StoredEntry(
                int(entry.kind),
                entry.name,
                entry.id,
                entry.owner,
                entry.body,
                round(lease.ttl * 1000),
                self._on_the_wall(lease.deadline),
            )
        wrapper = self._lifetimes.wrapper_of(key)
        if wrapper is None:
            return StoredEntry(int(entry.kind), entry.name, entry.id, entry.owner, entry.body)
        return StoredEntry(
            int(entry.kind),
            entry.name,
            entry.id,
            entry.owner,
            entry.body,
            wrapper_pid=wrapper.facts.pid,
            wrapper_start=wrapper.facts.start,
        )

    def _on_the_wall(self, deadline: float) -> int:
        return self._wall_ms() + round((deadline - self._loop.time()) * 1000)

    def _give_up(self) -> None:
        self._impatience = None
        _log.warning(
            "the state directory's disk takes more than %g s: what it is to keep is told before",
            PATIENCE,
        )
        self.release()


def _is_static(row: StoredEntry) -> bool:
    shown = row.kind != Kind.MEMBER
    return shown and row.ttl_ms is None and owners.process_of(row.owner) is None


def mark(clock: int) -> StoredEntry:
    """Return what is kept in place of the member record: the clock at which the entries stand."""
    return StoredEntry(*MEMBER_KEY, b"", clock.to_bytes(8, "big"))


def clock_of(rows: Iterable[StoredEntry]) -> int | None:
    """Return the clock at which kept entries stand; None if it was not kept."""
    marks = (row.body for row in rows if row.kind == Kind.MEMBER)
    return next((int.from_bytes(body, "big") for body in marks), None)
