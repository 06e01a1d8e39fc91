"""Watches: the present, then every change, at the pace of each watcher and in bounded memory.

A watch is *behind* until it has been told the present: from the start, and again when more waited
for room than is kept. What is shown is taken the moment there is room to tell it, so nothing is
missed and nothing said twice between the present and the first event after it. A watch that goes on
from a token is told what it missed in place of the present.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from discoagent import api
from discoagent.errors import InvalidRequest
from discoagent.local.events.history import History
from discoagent.local.events.resuming import Resuming, Wish
from discoagent.local.requests import telling
from discoagent.local.requests.queries import Group, Scope
from discoagent.store.events import LoggedEvent

WATCHES_MAX = 10_000
PENDING_BYTES_MAX = 16 * 1024 * 1024
QUIET = 60.0  # seconds; a watch without events is then looked after
TOKEN_EVERY = 1.0  # seconds; in a large cluster only some events carry a token

Name = bytes
"""The routing id of a connection."""


class Watch:
    """One watch of one connection. `begun`: its wait for readiness is over.

    `marked`: it is told when the agent has caught up.
    """

    __slots__ = (
        "begun",
        "behind",
        "breath",
        "credit",
        "marked",
        "name",
        "number",
        "pending",
        "pending_bytes",
        "present",
        "reset",
        "scope",
        "token_at",
        "told",
    )

    def __init__(self, name: Name, number: int, scope: Scope, now: float, *, marked: bool) -> None:
        self.name = name
        self.number = number
        self.scope = scope
        self.marked = marked
        self.credit = api.WATCH_CREDIT
        self.begun = False
        self.breath = False  # others should have their turn
        self.behind = True
        self.reset = False
        self.present: Iterator[bytes] | None = None
        self.pending: deque[bytes] = deque()
        self.pending_bytes = 0
        self.told = now
        self.token_at = now

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
        shown: telling.Present,
        history: History,
        resuming: Resuming,
        wall_ms: Callable[[], int],
    ) -> None:
        """`send` says whether the connection is still there; `shown` is the present."""
        self._loop = loop
        self._send = send
        self._shown = shown
        self._history = history
        self._resuming = resuming
        self._tasks: set[asyncio.Task[None]] = set()
        self._wall_ms = wall_ms
        self._watches: dict[tuple[Name, int], Watch] = {}
        self._by_group: dict[Group, dict[Watch, None]] = {}
        self._caught_up = False
        self._due: dict[Watch, None] = {}
        self._turn: asyncio.Handle | None = None
        self._round: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._watches)

    def open(self, name: Name, number: int, scope: Scope, *, marked: bool = False) -> Watch:
        """Keep a new watch; nothing is told before `begin` or `go_on`."""
        if len(self._watches) >= WATCHES_MAX:
            raise InvalidRequest(f"watch: this agent keeps at most {WATCHES_MAX} at a time")
        if not scope.groups():
            raise InvalidRequest("services: a watch is of services or topics", field="services")
        if (name, number) in self._watches:
            raise InvalidRequest(f"number: {number} is an open watch already", field="number")
        watch = Watch(name, number, scope, self._loop.time(), marked=marked)
        self._watches[name, number] = watch
        for group in scope.groups():
            self._by_group.setdefault(group, {})[watch] = None
        if self._round is None:
            self._round = self._loop.call_later(QUIET, self._look_after)
        return watch

    def begin(self, watch: Watch) -> None:
        """Tell the present from now on, unless the watch was cancelled meanwhile."""
        if self._watches.get((watch.name, watch.number)) is watch:
            watch.begun = True
            self._schedule(watch)

    def go_on(self, watch: Watch, wish: Wish) -> None:
        """Tell what was missed in place of the present, then what happens from then on."""
        task = self._loop.create_task(self._go_on(watch, wish))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _go_on(self, watch: Watch, wish: Wish) -> None:
        missed = await self._resuming.missed(wish)
        watch.present = chain(missed, self._caught_up_mark(watch))
        watch.behind = False
        self.begin(watch)

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

    def publish(self, logged: LoggedEvent) -> None:
        """Tell an event, which is the last of the history now, at the end of the turn."""
        entry = logged.event.entry or logged.event.before
        assert entry is not None
        packed = None
        for group in ((entry.kind, None), (entry.kind, entry.name)):
            for watch in self._by_group.get(group, ()):
                if watch.behind:
                    continue
                if watch.scope.wanted is None and not self._history.large:
                    packed = packed or telling.event(logged, self._history.token())
                    watch.take(packed)
                elif (event := watch.scope.view(logged.event)) is not None:
                    watch.take(self._packed_for(watch, logged._replace(event=event)))
                else:
                    continue
                self._schedule(watch)

    def caught_up(self) -> None:
        """Tell that the agent knows by now what its former life knew."""
        self._caught_up = True
        for watch in self._watches.values():
            for mark in self._caught_up_mark(watch):
                watch.take(mark)
                self._schedule(watch)

    def close(self) -> None:
        """Send what there is room for, then nothing more."""
        self.flush()
        for handle in (self._turn, self._round, *self._tasks):
            if handle is not None:
                handle.cancel()
        self._watches.clear()
        self._by_group.clear()
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
                return
            if watch.breath:
                break
        if watch.breath:
            watch.breath = False
            self._loop.call_soon(self.begin, watch)

    def _forget(self, watch: Watch) -> None:
        del self._watches[watch.name, watch.number]
        self._due.pop(watch, None)
        for name in watch.scope.groups():
            group = self._by_group[name]
            del group[watch]
            if not group:
                del self._by_group[name]

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
            if event == telling.BREATH:
                watch.breath = True
                break
            batch.append(event)
            size += len(event)
        return batch

    def _present(self, watch: Watch) -> Iterator[bytes]:
        """Return the present of now as events; it is packed as it is sent."""
        self._history.look()
        present = telling.present(
            self._shown(watch.scope),
            at=self._wall_ms(),
            token=self._history.token(),
            lost=self._history.lost,
            reset=watch.reset,
        )
        return chain(present, self._caught_up_mark(watch))

    def _caught_up_mark(self, watch: Watch) -> list[bytes]:
        """Return the mark that the agent has caught up, if the watch is to be told it now."""
        if not (watch.marked and self._caught_up):
            return []
        return [telling.mark("caught-up", self._wall_ms(), None)]

    def _packed_for(self, watch: Watch, logged: LoggedEvent) -> bytes:
        """Pack an event for one watch; in a crowd with its number alone, now and then a token."""
        if not self._history.large:
            return telling.event(logged, self._history.token())
        now = self._loop.time()
        token: Any = logged.number or None
        if now - watch.token_at >= TOKEN_EVERY:
            watch.token_at = now
            token = self._history.token()
        return telling.event(logged, token)

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
