"""The record: what this agent has shown and seen, out of its log, over its lives.

It is read in a thread of its own. `Now` is what the loop gives it: what is shown, and the events
that memory holds; all others are on disk.

What was shown at one moment is a *state*. It follows from another one and the events between the
two, in both directions: from the present of this life, from a checkpoint of a former one. Moments
are those of this agent's clock; where that was set back, so that it showed one moment twice, the
later one counts.

While no agent was here nobody saw what changed. A later life knows that something did: it is told
with the cause `unknown`, as seen when the log of that life began, or, of what was missing, when the
agent had caught up with what it knew before.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from discoagent.core.effects import Event, EventKind
from discoagent.core.entry import UNKNOWN, Entry, Key, Kind
from discoagent.rules import Target
from discoagent.store import Shelf, StoredLife, checkpoints
from discoagent.store.events import LoggedEvent
from discoagent.store.log import DAY_MS, Chunk
from discoagent.store.reading import Reading

Name = tuple[str, Key]
"""The node and key of an entry."""
State = dict[Name, Entry]


class Missing(NamedTuple):
    """Between which moments nothing was seen: from that on (None: from ever), until this one."""

    since_ms: int | None
    until_ms: int


class Wanted(NamedTuple):
    """Which instances are asked for: of these services (none: all), this node, this id."""

    services: frozenset[str] = frozenset()
    node: str | None = None
    id: str | None = None

    @classmethod
    def of(cls, target: Target) -> "Wanted":
        """Return what a user's ID may mean."""
        services = frozenset() if target.service is None else frozenset({target.service})
        return cls(services, target.node, target.id)

    def fits(self, node: str, entry: Entry) -> bool:
        """Is this entry of a node asked for?"""
        return (
            entry.kind is Kind.SERVICE
            and (self.id is None or entry.id == self.id)
            and (not self.services or entry.name in self.services)
            and (self.node is None or node == self.node)
        )

    @property
    def needle(self) -> bytes:
        """Bytes that every event of them holds."""
        names = (self.id, self.node, *(self.services if len(self.services) == 1 else ()))
        return next((name.encode() for name in names if name is not None), b"")


class Now(NamedTuple):
    """The present of this life: what is shown after its last event, and the latest of its events.

    `lives`: this one at the end. `since_ms`: what was before that moment is not told any more.
    """

    lives: Sequence[StoredLife]
    shown: Sequence[tuple[str, Entry]]
    tail: Sequence[LoggedEvent]
    since_ms: int


class Then(NamedTuple):
    """What was shown at a moment, in no order; `missing` if that is not sure."""

    shown: list[tuple[str, Entry]]
    missing: Missing | None


@dataclass
class Told:
    """What happened, oldest first, and when the record begins. What nobody saw has no number."""

    events: list[LoggedEvent] = field(default_factory=list)
    begins_ms: int = 0


class Span:
    """One life, as far as it is known what was shown in it: after the events `low` to `high`."""

    def __init__(self, life: StoredLife, shelf: Shelf, now: Now | None) -> None:
        """`now`: of the present life alone."""
        self.life = life
        self.now = now
        self.chunks = shelf.chunks
        tail = now.tail if now else ()
        if now is not None:
            self.anchor: int | None = life.number
        else:
            self.anchor = shelf.checkpoints[-1] if shelf.checkpoints else None
        self.low = self.high = self.anchor or 0
        self.low_ms = life.begun_ms
        pieces = list(shelf.chunks)
        if tail:
            self.disk_ends = tail[0].number - 1
            pieces = [it for it in pieces if it.first <= self.disk_ends]
            seen = [it.seen_ms for it in tail]
            pieces.append(Chunk(tail[0].number, tail[-1].number, min(seen), max(seen)))
        else:
            self.disk_ends = life.number
        for piece in reversed(pieces):
            if piece.first <= self.low <= piece.last:
                self.low, self.low_ms = piece.first - 1, piece.earliest
        for piece in pieces:
            if piece.first <= self.high + 1 <= piece.last:
                self.high = piece.last
        if self.low <= life.begun:
            self.low, self.low_ms = life.begun, life.begun_ms

    @property
    def known(self) -> bool:
        """Is it known what was shown at any moment of it?"""
        return self.anchor is not None and bool(self.life.begun_ms)

    def before(self, ms: int) -> int:
        """Return the number up to which all events on disk were seen before a moment."""
        number = 0
        for chunk in self.chunks:
            if chunk.latest >= ms or chunk.last > min(self.high, self.disk_ends):
                break
            number = chunk.last
        return number


class Record:
    """Reads the log of all lives."""

    def __init__(self, store: Reading, now: Now) -> None:
        self._store = store
        self._now = now
        shelves = store.shelves()
        *former, present = now.lives
        nothing = Shelf([], [])
        self._spans = [Span(it, shelves.get(it.incarnation, nothing), None) for it in former]
        self._spans.append(Span(present, shelves.get(present.incarnation, nothing), now))

    # -- at a moment

    def at(self, ms: int, wanted: Wanted) -> Then:
        """Return what was shown at a moment of this agent's clock.

        From before the record: what was shown when it began. From between two lives: what was shown
        when the former one ended.
        """
        sought = max(ms, self._now.since_ms)
        known = [span for span in self._spans if span.known]
        later: Span | None = None
        for span in reversed(known):
            number = self._number_at(span, sought)
            if number is not None:
                return Then(self._shown(span, number, wanted), _missing(span, later, ms, sought))
            later = span
        if later is None:
            return Then([], Missing(None, self._now.lives[-1].began_ms))
        return Then(self._shown(later, later.low, wanted), Missing(None, later.low_ms))

    def _shown(self, span: Span, number: int, wanted: Wanted) -> list[tuple[str, Entry]]:
        state = self._state(span, number, wanted)
        return [(node, entry) for (node, _), entry in state.items()]

    def _number_at(self, span: Span, ms: int) -> int | None:
        """Return the number of the last event seen by then; None if the span begins later."""
        number = self._last_seen(span, ms)
        if number is None or number < span.low:
            return span.low if span.low_ms <= ms else None
        return min(number, span.high)

    def _last_seen(self, span: Span, ms: int) -> int | None:
        for each in reversed(span.now.tail if span.now else ()):
            if each.seen_ms <= ms:
                return each.number
        for chunk in reversed(span.chunks):
            if chunk.earliest <= ms and chunk.first <= span.disk_ends:
                events = self._store.logged(
                    span.life.incarnation, chunk.first - 1, upto=min(chunk.last, span.disk_ends)
                )
                seen = [each.number for each in events if each.seen_ms <= ms]
                return seen[-1] if seen else None
        return None

    def _state(self, span: Span, number: int, wanted: Wanted) -> State:
        """Return what was shown after an event of a span."""
        assert span.anchor is not None
        state = {
            (node, entry.key): entry
            for node, entry in self._anchored(span)
            if wanted.fits(node, entry)
        }
        if number >= span.anchor:
            for each in self._events(span, span.anchor, number, wanted):
                _apply(state, each.event)
        else:
            for each in reversed(list(self._events(span, number, span.anchor, wanted))):
                _undo(state, each.event)
        return state

    def _anchored(self, span: Span) -> Iterable[tuple[str, Entry]]:
        if span.now is not None:
            return span.now.shown
        packed = self._store.checkpoint(span.life.incarnation, span.anchor or 0)
        return () if packed is None else checkpoints.unpack(packed)

    def _events(self, span: Span, after: int, upto: int, wanted: Wanted) -> Iterator[LoggedEvent]:
        """Yield the events after one number up to another, of what is wanted."""
        on_disk = self._store.logged(
            span.life.incarnation, after, upto=min(upto, span.disk_ends), needle=wanted.needle
        )
        for each in on_disk:
            if _concerns(each.event, wanted):
                yield each
        for each in span.now.tail if span.now else ():
            if after < each.number <= upto and _concerns(each.event, wanted):
                yield each

    # -- over time

    def told(self, wanted: Wanted, since_ms: int | None, *, find: bool) -> Told:
        """Return what happened to what is wanted, since a moment or as far as the record reaches.

        `find`: what was there already when the record began is told as found then.
        """
        since = max(since_ms or 0, self._now.since_ms)
        spans = self._spans
        begun = [n for n, it in enumerate(spans) if it.known and it.low_ms < since]
        told = _Telling(since, find=find)
        for place, span in enumerate(spans[begun[-1] if begun else 0 :]):
            after = 0 if place else span.before(since)
            self._tell(told, span, wanted, after, diffs=find or len(spans) > 1)
        known = next((span for span in spans if span.known), None)
        begins = known.low_ms if known else self._now.lives[-1].began_ms
        told.told.begins_ms = max(begins, self._now.since_ms)
        return told.told

    def _tell(
        self, told: "_Telling", span: Span, wanted: Wanted, after: int, *, diffs: bool
    ) -> None:
        """Tell of one life, after those before it; of this one from an event on."""
        life, low = span.life, max(span.low, after)
        begun = not (diffs and span.known)
        for each in self._events(span, after, max(life.number, span.high), wanted):
            if not begun and each.number > low:
                begun = True
                told.begin(self._state(span, low, wanted), span)
            if life.caught_up is not None and each.number > life.caught_up:
                told.catch_up(life)
            told.take(each)
        if not begun:
            told.begin(self._state(span, low, wanted), span)
        if life.caught_up is not None:
            told.catch_up(life)


class _Telling:
    """What is told, life after life: each event follows from what was told before it."""

    def __init__(self, since_ms: int, *, find: bool) -> None:
        self._since_ms = since_ms
        self._find = find
        self._state: State | None = None
        self._absent: dict[Name, None] = {}  # not known again yet
        self.told = Told()

    def take(self, logged: LoggedEvent) -> None:
        """Tell an event of the log."""
        event = logged.event
        entry = event.entry or event.before
        assert entry is not None
        name = (event.node, entry.key)
        if self._state is not None:
            held = self._state.get(name)
            self._absent.pop(name, None)
            if event.kind is EventKind.ADDED and held is not None:
                if held == event.entry:
                    return  # known again, and nothing has changed
                event = event._replace(kind=EventKind.UPDATED, before=held)
                logged = logged._replace(event=event)
            elif event.before is not None:
                self._bridge(event.node, held, event.before, logged.seen_ms)
            _apply(self._state, event)
        self._say(logged)

    def begin(self, state: State, span: Span) -> None:
        """Go on to a life in which this was shown when its log began."""
        ms = span.low_ms
        if self._state is None:
            self._state = state
            for name in sorted(state) if self._find else ():
                self._unseen(Event(EventKind.ADDED, name[0], state[name], None, UNKNOWN), ms)
            return
        for name in sorted(state):
            self._bridge(name[0], self._state.get(name), state[name], ms)
        self._absent = dict.fromkeys(sorted(self._state.keys() - state.keys()))
        self._state.update(state)

    def catch_up(self, life: StoredLife) -> None:
        """Tell that what is not known again by now is gone."""
        absent, self._absent = self._absent, {}
        for name in absent:
            assert self._state is not None
            before = self._state.pop(name, None)
            if before is not None:
                event = Event(EventKind.REMOVED, name[0], None, before, UNKNOWN)
                self._unseen(event, life.caught_up_ms)

    def _bridge(self, node: str, held: Entry | None, entry: Entry, ms: int) -> None:
        """Tell how an entry has become this one, if it has: nobody saw it."""
        if held != entry:
            kind = EventKind.UPDATED if held else EventKind.ADDED
            self._unseen(Event(kind, node, entry, held, UNKNOWN), ms)

    def _unseen(self, event: Event, ms: int) -> None:
        self._say(LoggedEvent(0, ms, event, None, seen_ms=ms))

    def _say(self, logged: LoggedEvent) -> None:
        if logged.seen_ms >= self._since_ms:
            self.told.events.append(logged)


def _missing(span: Span, later: Span | None, ms: int, sought: int) -> Missing | None:
    if ms < sought:
        return Missing(None, sought)
    if later is not None and ms > span.life.seen_ms:
        return Missing(span.life.seen_ms, later.low_ms)
    return None


def _concerns(event: Event, wanted: Wanted) -> bool:
    entry = event.entry or event.before
    return entry is not None and wanted.fits(event.node, entry)


def _apply(state: State, event: Event) -> None:
    if event.entry is not None:
        state[event.node, event.entry.key] = event.entry
    elif event.before is not None:
        state.pop((event.node, event.before.key), None)


def _undo(state: State, event: Event) -> None:
    if event.before is not None:
        state[event.node, event.before.key] = event.before
    elif event.entry is not None:
        state.pop((event.node, event.entry.key), None)


def since_of(days: int, now_ms: int) -> int:
    """Return the moment before which nothing is told any more."""
    return now_ms - days * DAY_MS
