"""The log of events of this life: where each watcher stands, and what it missed.

Events are numbered from 1 in each life. Beside the number a token tells the *vector*: at which
incarnation and clock each node is shown. It is kept up event by event, so it costs what moves.

The log begins with the *baseline*: what other nodes show when the first sync is complete was not
made in this life, and is not in it. Until then tokens name no number.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from discoagent.core.digest import name_hash
from discoagent.core.effects import Event
from discoagent.core.replica import Replica
from discoagent.local.requests.queries import body_of
from discoagent.store.events import LoggedEvent, Position
from discoagent.token import Giver, Vector, write

EVENTS_KEPT = 10_000  # in memory
BYTES_KEPT = 16 * 1024 * 1024  # of entries in them, nearly all of which nobody else holds


class History:
    """Numbers events as they are told, and knows after each where a watcher of it stands."""

    def __init__(
        self, replica: Replica, wall_ms: Callable[[], int], continues: Position | None = None
    ) -> None:
        """`continues`: where this node stood when its former life ended, if nothing was lost."""
        self._replica = replica
        self._wall_ms = wall_ms
        self._me = replica.id.node
        self.cluster = name_hash(replica.cluster)
        self.lost = write(self.cluster, None, None)  # the token in the midst of a present
        self.number = 0
        self.continues = continues
        self.baseline: dict[str, Position] | None = None
        self.begun_after = 0  # the number of the last event before the log began
        self.begun_ms = 0
        self.unwritten: list[LoggedEvent] = []  # whoever writes them takes them out
        self._vector = Vector()
        self._also: dict[str, Position | None] = {}  # moved, and not logged yet
        self._log: deque[LoggedEvent] = deque()
        self._bytes = 0

    def begin(self) -> None:
        """Take what is shown now as the baseline."""
        self._replica.moved()
        nodes = {replica.node for replica in self._replica.vector()}
        positions = {node: self._replica.position(node) for node in nodes}
        self.baseline = {node: it for node, it in positions.items() if it is not None}
        self._vector = Vector(self.baseline)
        self.baseline[self._me] = self.continues or (self._replica.id.incarnation, 0)
        self._also.clear()
        self.begun_after, self.begun_ms = self.number, self._wall_ms()

    @property
    def begun(self) -> bool:
        """Has the log begun?"""
        return self.baseline is not None

    def follow(self, events: Sequence[Event]) -> Iterator[LoggedEvent]:
        """Number what one call of the replica changed; yield each event when all stands after it.

        The replica is beyond all of them by now. So a node's last event here stands at the
        replica's position, those before it at their own clocks.
        """
        last = {event.node: event for event in events}
        seen = self._wall_ms()
        self._look(last)
        for event in events:
            node = event.node
            position = self._replica.position(node)
            if last[node] is not event:
                incarnation = position[0] if position else self._incarnation(node)
                position = (incarnation, event.clock)
            self._vector.move(node, position)
            at = event.cause.at or seen  # 0: nobody acted, this agent saw it
            if self.begun or node == self._me:
                yield self._log_it(event, at, position, seen)
            else:
                yield LoggedEvent(0, at, event, position)

    def look(self) -> bool:
        """Take in who moved without an event; did anybody since the last look?"""
        return self._look(())

    def token(self) -> str:
        """Return the token of a watcher who has seen all events that were told so far."""
        return write(self.cluster, self.giver(self.number), self._vector)

    @property
    def positions(self) -> dict[str, Position]:
        """Return where each node is shown, as of the last look."""
        return dict(self._vector.positions)

    def packed(self) -> bytes:
        """Return where each node is shown, as it is kept."""
        return self._vector.pack()

    @property
    def large(self) -> bool:
        """Are there too many nodes for a token with each event?"""
        return self._vector.large

    @property
    def tail(self) -> list[LoggedEvent]:
        """Return the events that are in memory, the last one of all at the end."""
        return list(self._log)

    def after(self, number: int) -> list[LoggedEvent] | None:
        """Return the events after that number; None where the log in memory does not reach."""
        missed = self.number - number
        if not 0 <= missed <= len(self._log):
            return None
        return list(islice(self._log, len(self._log) - missed, None))

    def giver(self, number: int) -> Giver | None:
        """Return who gives a token at that number; before the baseline, nobody."""
        return Giver(*self._replica.id, number) if self.begun else None

    def _incarnation(self, node: str) -> int:
        before = self._vector.positions.get(node)
        return before[0] if before else 0

    def _look(self, told: "Sequence[str] | dict[str, Event]") -> bool:
        """Move all that moved, but for those of whom events tell; was there any?"""
        nodes = self._replica.moved()
        if not nodes and self._me in told:
            return False
        positions = self._vector.positions
        found = False
        for node in (*nodes, self._me):
            if node in told:
                continue
            position = self._replica.position(node)
            if positions.get(node) != position:
                self._vector.move(node, position)
                self._also[node] = position
                found = True
        return found

    def _log_it(self, event: Event, at: int, position: Position | None, seen: int) -> LoggedEvent:
        also = None
        if self._also:
            also, self._also = self._also, {}
        self.number += 1
        logged = LoggedEvent(self.number, at, event, position, also, seen)
        self._log.append(logged)
        self.unwritten.append(logged)
        self._bytes += _bytes_of(event)
        while len(self._log) > EVENTS_KEPT or self._bytes > BYTES_KEPT:
            self._bytes -= _bytes_of(self._log.popleft().event)
        return logged


def _bytes_of(event: Event) -> int:
    entry, before = event.entry, event.before
    return (len(body_of(entry)) if entry else 0) + (len(body_of(before)) if before else 0)
