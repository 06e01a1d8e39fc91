"""Watches: the present, then every change, at the pace of each watcher and in bounded memory.

A watch is *behind* until it has been told the present: from the start, and again when more waited
for room than is kept. What is shown is taken the moment there is room to tell it, so nothing is
missed and nothing said twice between the present and the first event after it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from discoagent import api
from discoagent.core.effects import Event
from discoagent.core.replica import Shown
from discoagent.errors import InvalidRequest
from discoagent.local.queries import row_of

WATCHES_MAX = 10_000
PENDING_BYTES_MAX = 16 * 1024 * 1024
QUIET = 60.0  # seconds; a watch without events is then looked after

Name = bytes
"""The routing id of a connection."""


class Watch:
    """One watch of one connection. `begun`: its wait for readiness is over.

    `marked`: it is told when the agent has caught up.
    """

    __slots__ = (
        "begun",
        "behind",
        "credit",
        "marked",
        "name",
        "number",
        "pending",
        "pending_bytes",
        "present",
        "reset",
        "services",
        "told",
    )

    def __init__(
        self, name: Name, number: int, services: Collection[str], now: float, *, marked: bool
    ) -> None:
        self.name = name
        self.number = number
        self.services = frozenset(services)
        self.marked = marked
        self.credit = api.WATCH_CREDIT
        self.begun = False
        self.behind = True
        self.reset = False
        self.present: Iterator[bytes] | None = None
        self.pending: deque[bytes] = deque()
        self.pending_bytes = 0
        self.told = now

    def take(self, event: bytes) -> None:
        """Keep an event until it is sent; too many, and the watch falls behind."""
        if self.behind:
            return
        self.pending.append(event)
        self.pending_bytes += len(event)
        if len(self.pending) > api.WATCH_PENDING_MAX or self.pending_bytes > PENDING_BYTES_MAX:
            self.pending.clear()
            self.pending_bytes = 0
            self.present = None
            self.behind = self.reset = True


class Watches:
    """All watches of this agent's clients."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        send: Callable[[Name, bytes], bool],
        shown: Callable[[Collection[str]], Iterable[Shown]],
        wall_ms: Callable[[], int],
    ) -> None:
        """`send` says whether the connection is still there; `shown` is the present of services."""
        self._loop = loop
        self._send = send
        self._shown = shown
        self._wall_ms = wall_ms
        self._watches: dict[tuple[Name, int], Watch] = {}
        self._by_service: dict[str | None, dict[Watch, None]] = {}  # None: of all services
        self._caught_up = False
        self._due: dict[Watch, None] = {}
        self._turn: asyncio.Handle | None = None
        self._round: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._watches)

    def open(
        self, name: Name, number: int, services: Collection[str], *, marked: bool = False
    ) -> Watch:
        """Keep a new watch; nothing is told before `begin`."""
        if len(self._watches) >= WATCHES_MAX:
            raise InvalidRequest(f"watch: this agent keeps at most {WATCHES_MAX} at a time")
        if (name, number) in self._watches:
            raise InvalidRequest(f"number: {number} is an open watch already", field="number")
        watch = Watch(name, number, services, self._loop.time(), marked=marked)
        self._watches[name, number] = watch
        for service in watch.services or (None,):
            self._by_service.setdefault(service, {})[watch] = None
        if self._round is None:
            self._round = self._loop.call_later(QUIET, self._look_after)
        return watch

    def begin(self, watch: Watch) -> None:
        """Tell the present from now on, unless the watch was cancelled meanwhile."""
        if self._watches.get((watch.name, watch.number)) is watch:
            watch.begun = True
            self._schedule(watch)

    def more(self, name: Name, number: int, batches: int) -> None:
        """Give a watch room for more batches; one that ended meanwhile is no mistake."""
        watch = self._watches.get((name, number))
        if watch is not None:
            watch.credit = min(watch.credit + batches, api.WATCH_CREDIT_MAX)
            self._schedule(watch)

    def cancel(self, name: Name, number: int) -> None:
        """End a watch, with a last answer if there is one."""
        watch = self._watches.get((name, number))
        if watch is not None:
            self._forget(watch)
            self._send(name, api.done(number, {}))

    def drop(self, name: Name) -> None:
        """Forget all watches of a connection that is gone."""
        for watch in [each for each in self._watches.values() if each.name == name]:
            self._forget(watch)

    def publish(self, event: Event) -> None:
        """Tell an event to whom it concerns, at the end of the turn."""
        entry = event.entry or event.before
        assert entry is not None
        packed = None
        for group in (None, entry.name):
            for watch in self._by_service.get(group, ()):
                if watch.behind:
                    continue
                packed = packed or self._packed(event)
                watch.take(packed)
                self._schedule(watch)

    def caught_up(self) -> None:
        """Tell that the agent knows by now what its former life knew."""
        self._caught_up = True
        for watch in self._watches.values():
            if watch.marked:
                watch.take(_mark("caught-up", self._wall_ms()))
                self._schedule(watch)

    def close(self) -> None:
        """Send what there is room for, then nothing more."""
        self.flush()
        for handle in (self._turn, self._round):
            if handle is not None:
                handle.cancel()
        self._watches.clear()
        self._by_service.clear()
        self._due.clear()

    def flush(self) -> None:
        """Send to each watch what it has room for; called once at the end of a turn."""
        self._turn = None
        due, self._due = self._due, {}
        for watch in due:
            self._serve(watch)

    def _serve(self, watch: Watch) -> None:
        while watch.credit and (batch := self._batch(watch)):
            watch.credit -= 1
            watch.told = self._loop.time()
            if not self._send(watch.name, api.batch(watch.number, batch)):
                self.drop(watch.name)
                break

    def _forget(self, watch: Watch) -> None:
        del self._watches[watch.name, watch.number]
        self._due.pop(watch, None)
        for service in watch.services or (None,):
            group = self._by_service[service]
            del group[watch]
            if not group:
                del self._by_service[service]

    def _schedule(self, watch: Watch) -> None:
        if watch.credit and watch.begun:
            self._due[watch] = None
            if self._turn is None:
                self._turn = self._loop.call_soon(self.flush)

    def _batch(self, watch: Watch) -> list[bytes]:
        """Take the next events: of the present, as long as that lasts, then of changes."""
        if watch.behind:
            watch.present = self._present(watch)
            watch.behind = watch.reset = False
        batch: list[bytes] = []
        size = 0
        while len(batch) < api.WATCH_BATCH_EVENTS and size < api.PAGE_BYTES_MAX:
            event = next(watch.present, None) if watch.present is not None else None
            if event is None:
                watch.present = None
                if not watch.pending:
                    break
                event = watch.pending.popleft()
                watch.pending_bytes -= len(event)
            batch.append(event)
            size += len(event)
        return batch

    def _present(self, watch: Watch) -> Iterator[bytes]:
        """Return the present of now as events; it is packed as it is sent."""
        at = self._wall_ms()
        shown = list(self._shown(watch.services))
        return _present(shown, at, reset=watch.reset, caught_up=watch.marked and self._caught_up)

    def _packed(self, event: Event) -> bytes:
        cause = event.cause
        return api.packed(
            (
                event.kind.value,
                cause.at or self._wall_ms(),  # 0: nobody acted, this agent saw it
                row_of(event.node, event.entry) if event.entry else None,
                row_of(event.node, event.before) if event.before else None,
                cause.word,
                cause.actor,
                None,
                None,
            )
        )

    def _look_after(self) -> None:
        """Send an empty batch to quiet watches, to learn whether anybody is still there."""
        self._round = None
        now = self._loop.time()
        for watch in list(self._watches.values()):
            if now - watch.told >= QUIET and not self._send(
                watch.name, api.batch(watch.number, [])
            ):
                self.drop(watch.name)
        if self._watches:
            self._round = self._loop.call_later(QUIET, self._look_after)


def _mark(kind: str, at: int) -> bytes:
    return api.packed((kind, at, None, None, None, b"", None, None))


def _present(shown: list[Shown], at: int, *, reset: bool, caught_up: bool) -> Iterator[bytes]:
    if reset:
        yield _mark("reset", at)
    for each in shown:
        row: Any = row_of(each.node, each.entry)
        yield api.packed(("added", at, row, None, None, b"", None, None))
    yield _mark("synced", at)
    if caught_up:
        yield _mark("caught-up", at)
