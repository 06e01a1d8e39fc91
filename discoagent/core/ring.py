"""A chain's ring: what its last changes really did, for pushes, repair and history."""

from collections import deque
from dataclasses import dataclass, field

from discoagent.core.entry import Cause, Entry, ReplicaId
from discoagent.core.limits import (
    CHUNK_BYTES_MAX,
    CHUNK_ENTRIES_MAX,
    DELTAS_MAX,
    RING_BYTES_MAX,
    RING_STEPS_MIN,
)
from discoagent.core.messages import Delta, Removal

STEP_WEIGHT = 96  # bytes that a step weighs beside its entry, on the wire and in memory, roughly


def weight_of(entry: Entry) -> int:
    """Return about how many bytes an entry takes on the wire."""
    body = len(entry.body) if isinstance(entry.body, bytes) else 512
    return STEP_WEIGHT + len(entry.name) + len(entry.id) + len(entry.owner) + body


@dataclass(slots=True)
class Segment:
    """What really happened to a chain between two clocks.

    `added` names every dot of (before, until] that is alive at `until`, `gone` what died in it,
    whole.
    """

    before: int
    until: int
    added: dict[int, tuple[Entry, Cause | None]] = field(default_factory=dict)
    gone: dict[int, tuple[Entry, Removal]] = field(default_factory=dict)
    weight: int = STEP_WEIGHT

    @property
    def full(self) -> bool:
        """Would one more step make too large a message?"""
        return self.weight >= CHUNK_BYTES_MAX or self.until - self.before >= CHUNK_ENTRIES_MAX

    @property
    def told(self) -> bool:
        """Can every step be told, is none lost in the net change?"""
        steps = {removal.clock for _, removal in self.gone.values()} | self.added.keys()
        return len(steps) == self.until - self.before and 0 not in steps


class Ring:
    """Contiguous segments, oldest first.

    At least `RING_STEPS_MIN` steps are kept, unless they weigh more than `RING_BYTES_MAX`; what
    falls out is repaired by a scan.
    """

    __slots__ = ("_segments", "_steps", "_weight")

    def __init__(self) -> None:
        self._segments: deque[Segment] = deque()
        self._steps = 0
        self._weight = 0

    def __len__(self) -> int:
        return len(self._segments)

    def open(self, clock: int, replaced: int | None) -> Segment:
        """Return the segment that the owner's next step belongs to; `grow` tells what it adds.

        A step that takes an entry of the same segment (its dot is `replaced`) begins another, for
        a segment is told as its net change, and no step shall be lost in one.
        """
        last = self._segments[-1] if self._segments else None
        if last is None or last.full or (replaced is not None and replaced > last.before):
            last = Segment(clock, clock)
            self.push(last)
        return last

    def grow(self, segment: Segment, clock: int, weight: int) -> None:
        """Count one more step, up to `clock`, into the open segment."""
        segment.until = clock
        segment.weight += weight
        self._steps += 1
        self._weight += weight
        self._trim()

    def push(self, segment: Segment) -> None:
        """Append a segment that begins where the last one ended."""
        assert not self._segments or self._segments[-1].until == segment.before, (
            "segments are contiguous"
        )
        self._segments.append(segment)
        self._steps += segment.until - segment.before
        self._weight += segment.weight
        self._trim()

    def clear(self) -> None:
        """Forget everything: what lies before the next segment is not known step by step."""
        self._segments.clear()
        self._steps = self._weight = 0

    def made_after(self, clock: int, replica: ReplicaId) -> list[tuple[Delta, ...]]:
        """Return what came after `clock`, a delta a segment, in batches of about a chunk.

        The next step begins a new segment: what one turn pushed is not told with the next.
        """
        newer: list[Segment] = []
        for segment in reversed(self._segments):
            if segment.before < clock:
                break
            if segment.until > segment.before:
                newer.append(segment)
        batches: list[list[Delta]] = []
        weight = CHUNK_BYTES_MAX
        for segment in reversed(newer):
            if weight + segment.weight > CHUNK_BYTES_MAX or len(batches[-1]) >= DELTAS_MAX:
                batches.append([])
                weight = 0
            batches[-1].append(_net([segment], replica, segment.before))
            weight += segment.weight
        if batches:
            end = self._segments[-1].until
            self.push(Segment(end, end))
        return [tuple(batch) for batch in batches]

    def since(self, clock: int, replica: ReplicaId) -> Delta | None:
        """Return the net change after `clock`, a chunk at most; None where this does not reach."""
        if (
            not self._segments
            or self._segments[0].before > clock
            or self._segments[-1].until <= clock
        ):
            return None
        newer: list[Segment] = []
        for segment in reversed(self._segments):
            newer.append(segment)
            if segment.before <= clock:
                break
        chosen = [newer.pop()]
        weight = chosen[0].weight
        while newer and (weight := weight + newer[-1].weight) <= CHUNK_BYTES_MAX:
            chosen.append(newer.pop())
        return _net(chosen, replica, clock)

    def after(self, clock: int) -> list[Segment] | None:
        """Return the segments that hold what came after `clock`; None where that is not known.

        The first may begin before `clock` if each of its steps can be told.
        """
        newer: list[Segment] = []
        for segment in reversed(self._segments):
            if segment.until <= clock:
                break
            newer.append(segment)
            if segment.before <= clock:
                return newer[::-1] if segment.before == clock or segment.told else None
        return None

    def _trim(self) -> None:
        while len(self._segments) > 1:
            first = self._segments[0]
            steps = self._steps - (first.until - first.before)
            if steps < RING_STEPS_MIN and self._weight <= RING_BYTES_MAX:
                return
            self._segments.popleft()
            self._steps = steps
            self._weight -= first.weight


def _net(segments: list[Segment], replica: ReplicaId, clock: int) -> Delta:
    """Return the net change of contiguous segments for a reader at `clock`, at or in the first.

    What was replaced, and its replacement then ended, is told with the cause of that end.
    """
    added: dict[int, tuple[Entry, Cause | None]] = {}
    removed: dict[int, Removal] = {}
    replaced: dict[int, int] = {}  # by the dot of what took its place: the dot that was removed
    for segment in segments:
        for dot, (_, removal) in sorted(segment.gone.items()):
            added.pop(dot, None)
            first = replaced.pop(dot, dot)
            if first <= clock:
                removed[first] = removal
                replaced[removal.clock] = first
        added.update(segment.added)
    return Delta(replica, segments[0].before, segments[-1].until, added, removed)
