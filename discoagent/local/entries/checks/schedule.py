"""When which check is asked, and how many at once. Pure; time and luck are handed in.

The first asking comes within a moment, so that a new entry is not pending for long; the second
after a random part of the interval, so that a thousand checks that began together do not go on
together. More than `lanes` allows wait, and the next one is that of the user who has the fewest
under way: nobody's commands that hang hold up another's.
"""

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Generic, TypeVar

HEAP_SLACK = 64

T = TypeVar("T")


class Hurry(Enum):
    """Within how many seconds a check is asked for the first time; no later than an interval."""

    NOW = 0.0  # somebody waits for it
    SOON = 0.25  # nothing is known of it yet
    NONE = math.inf  # its state is known


class Slot(Generic[T]):
    """The place of one check in the schedule. `lane`: what it shares the bound with."""

    __slots__ = ("asked", "dropped", "due", "interval", "lane", "running", "user", "what")

    def __init__(self, what: T, lane: str, user: int, interval: float) -> None:
        self.what = what
        self.lane = lane
        self.user = user
        self.interval = interval
        self.due = 0.0
        self.asked = 0
        self.running = False
        self.dropped = False

    def __lt__(self, other: "Slot[T]") -> bool:
        return self.due < other.due


class Schedule(Generic[T]):
    """All checks that are asked again and again."""

    def __init__(self, lanes: Mapping[str, int], luck: Callable[[], float]) -> None:
        """`lanes`: how many of a lane may be under way at once; `luck` returns 0 to 1."""
        self._lanes = lanes
        self._luck = luck
        self._heap: list[tuple[float, Slot[T]]] = []
        self._count = 0
        self._running: Counter[str] = Counter()
        self._running_of: Counter[tuple[str, int]] = Counter()
        self._waiting: dict[str, dict[int, deque[Slot[T]]]] = {lane: {} for lane in lanes}

    def __len__(self) -> int:
        return self._count

    def add(
        self, what: T, lane: str, user: int, interval: float, now: float, *, hurry: Hurry
    ) -> Slot[T]:
        """Have a check asked."""
        slot = Slot(what, lane, user, interval)
        self._count += 1
        self._push(slot, now + self._luck() * min(interval, hurry.value))
        return slot

    def drop(self, slot: Slot[T]) -> None:
        """Ask it no more; it may be under way."""
        if not slot.dropped:
            slot.dropped = True
            self._count -= 1
            if len(self._heap) > 2 * self._count + HEAP_SLACK:
                self._heap = [item for item in self._heap if not item[1].dropped]
                heapq.heapify(self._heap)

    def start(self, now: float, most: int) -> list[Slot[T]]:
        """Return what is to be asked now, so many at most; each is under way until `finish`."""
        started: list[Slot[T]] = []
        while self._heap and self._heap[0][0] <= now and len(started) < most:
            slot = heapq.heappop(self._heap)[1]
            if slot.dropped:
                continue
            if self._running[slot.lane] < self._lanes[slot.lane]:
                started.append(self._begin(slot, now))
            else:
                self._waiting[slot.lane].setdefault(slot.user, deque()).append(slot)
        return started

    def finish(self, slot: Slot[T], now: float) -> list[Slot[T]]:
        """Take in that this one is not under way any more; return what is to be asked instead."""
        slot.running = False
        self._running[slot.lane] -= 1
        self._running_of[slot.lane, slot.user] -= 1
        if not slot.dropped:
            # Whoever waited, or took long, is asked again an interval after it was asked.
            share = self._luck() if slot.asked == 1 else 1.0
            self._push(slot, max(now, slot.due + slot.interval * share))
        waiting = self._next(slot.lane)
        return [] if waiting is None else [self._begin(waiting, now)]

    def deadline(self) -> float | None:
        """Return when `start` has something to do again."""
        while self._heap and self._heap[0][1].dropped:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _push(self, slot: Slot[T], due: float) -> None:
        slot.due = due
        heapq.heappush(self._heap, (due, slot))

    def _begin(self, slot: Slot[T], now: float) -> Slot[T]:
        slot.running = True
        slot.asked += 1
        slot.due = now
        self._running[slot.lane] += 1
        self._running_of[slot.lane, slot.user] += 1
        return slot

    def _next(self, lane: str) -> Slot[T] | None:
        """Take the first that waits, of the user with the fewest under way."""
        queues = self._waiting[lane]
        while queues:
            user = min(queues, key=lambda each: self._running_of[lane, each])
            queue = queues.pop(user)
            slot = queue.popleft()
            if queue:
                queues[user] = queue  # behind those who have as few under way
            if not slot.dropped:
                return slot
        return None
