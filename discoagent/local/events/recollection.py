"""What applications ask about the past, answered out of the record.

The record is read in another thread; the loop gives it what is shown now and the latest events.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

from discoagent.core.effects import EventKind
from discoagent.core.replica import Replica
from discoagent.errors import InvalidRequest, NoInstance
from discoagent.instance import rfc3339
from discoagent.local.events.history import History
from discoagent.local.events.past import Past
from discoagent.local.events.record import Missing, Name, Now, Record, Wanted, since_of
from discoagent.local.requests import operations, telling
from discoagent.local.requests.desk import Caller, Desk
from discoagent.local.requests.queries import Row, narrowed, pages_of, row_of
from discoagent.rules import Target
from discoagent.store.events import LoggedEvent
from discoagent.store.reading import Reading

EVENTS_PER_PAGE = 100
AHEAD_MS = 1_000  # that a moment may be, for whoever told it reads another clock

Answer = tuple[Iterator[list[Row]], Missing | None]
"""Pages of rows, and what is missing in them."""


class Recollection:
    """Does the operations `at` and `history`."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        replica: Replica,
        history: History,
        past: Past,
        store: Reading,
        wall_ms: Callable[[], int],
        days: int,
    ) -> None:
        """`days`: what is older is not told."""
        self._loop = loop
        self._replica = replica
        self._me = replica.id.node
        self._history = history
        self._past = past
        self._store = store
        self._wall_ms = wall_ms
        self._days = days
        self._tasks: set[asyncio.Task[None]] = set()

    def handlers(self, desk: Desk) -> Mapping[type, Callable[[Caller, Any], None]]:
        """Return what does each operation."""

        def at(caller: Caller, call: operations.At) -> None:
            wall_ms = self._wall_ms()
            if call.ms > wall_ms + AHEAD_MS:
                raise InvalidRequest(
                    f"ms: {rfc3339(call.ms)} is still to come, now it is {rfc3339(wall_ms)}",
                    field="ms",
                )
            answer(caller, call.list.wait_ms, lambda record: _at(record, call))

        def history(caller: Caller, call: operations.History) -> None:
            since = None if call.since_ms is None else self._wall_ms() - call.since_ms
            answer(caller, call.wait_ms, lambda record: _history(record, call, since, self._me))

        def answer(caller: Caller, wait_ms: int, read: Callable[[Record], Answer]) -> None:
            def begin() -> None:
                self._spawn(self._answer(desk, caller, read))

            desk.when_ready(caller, wait_ms, begin)

        return {operations.At: at, operations.History: history}

    def close(self) -> None:
        """Answer nobody any more."""
        for task in self._tasks:
            task.cancel()

    async def _answer(self, desk: Desk, caller: Caller, read: Callable[[Record], Answer]) -> None:
        lives, shown = self._past.lives(), self._replica.everything()
        since = since_of(self._days, self._wall_ms())
        now = Now(lives, shown, self._history.tail, since)
        try:
            pages, missing = await asyncio.to_thread(lambda: read(Record(self._store, now)))
        except Exception as error:  # noqa: BLE001 - what it raises is its answer
            desk.fail(caller, error)
        else:
            desk.pages(caller, pages, {**desk.quality(), "missing_ms": missing})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _at(record: Record, call: operations.At) -> Answer:
    asked = call.list
    found = record.at(call.ms, Wanted(frozenset(asked.services), asked.node))
    rows = [row_of(node, entry) for node, entry in found.shown]
    return pages_of(narrowed(sorted(rows), asked), asked), found.missing


def _history(record: Record, call: operations.History, since: int | None, me: str) -> Answer:
    wanted = Wanted() if call.id is None else Wanted.of(call.id)
    told = record.told(wanted, since, find=call.id is not None)
    events = told.events
    missing = since is not None and since < told.begins_ms
    if call.id is not None:
        name = _meant(events, call.id, me, required=call.last)
        events = [it for it in events if _name_of(it) == name]
        events = _latest(events) if call.last else events
        if since is None and events:
            missing = not _came(events[0], told.begins_ms)
    pages = _paged(events)
    return pages, Missing(None, told.begins_ms) if missing else None


def _meant(events: list[LoggedEvent], target: Target, me: str, *, required: bool) -> Name | None:
    """Return which instance a user's ID means: this node's own rather than others.

    None if nothing is known of such. Raises NoInstance where one is required, InvalidRequest that
    names all that it fits.
    """
    names = dict.fromkeys(map(_name_of, events))
    found = [name for name in names if name[0] == me] or list(names)
    if len(found) > 1:
        told = ", ".join(sorted(f"{key[1]}/{key[2]}@{node}" for node, key in found))
        raise InvalidRequest(
            f"id: {target} fits {len(found)} instances, say which: {told}",
            kind="ambiguous",
            field="id",
        )
    if required and not found:
        raise NoInstance(
            f"{target}: there is no such instance, and the record knows of none", field="id"
        )
    return found[0] if found else None


def _name_of(logged: LoggedEvent) -> Name:
    event = logged.event
    entry = event.entry or event.before
    assert entry is not None
    return event.node, entry.key


def _latest(events: list[LoggedEvent]) -> list[LoggedEvent]:
    """Return the events from the latest addition on."""
    added = [place for place, it in enumerate(events) if it.event.kind is EventKind.ADDED]
    return events[added[-1] :] if added else events


def _came(first: LoggedEvent, begins_ms: int) -> bool:
    """Did an instance, whose first event that is, come after the record began?"""
    found = not first.number and first.seen_ms <= begins_ms
    return first.event.kind is EventKind.ADDED and not found


def _paged(events: list[LoggedEvent]) -> Iterator[list[Row]]:
    for start in range(0, len(events), EVENTS_PER_PAGE):
        yield [telling.recorded(it) for it in events[start : start + EVENTS_PER_PAGE]]
