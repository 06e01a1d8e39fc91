"""One replica's chain: clocks 1, 2, 3 …, held as what is alive now and a ring of the last changes.

Only the agent where an entry was registered ever changes it, so a replica's history is a single
sequence of steps. Each step takes the next clock and adds an entry version (its *dot* is that
clock), removes one, or both. The state at clock c is a function of the first c steps; joining two
states is taking the longer chain. Hence joins commute, associate and repeat without harm, and no
tombstones are needed. (Delta-state CRDTs with the causal delta-merging condition: Almeida, Shoker,
Baquero, "Delta state replicated data types", JPDC 2018.)
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from typing import cast

from discoagent.core.digest import mix
from discoagent.core.entry import UNKNOWN, Cause, Entry, Key, Kind, MemberRecord, ReplicaId
from discoagent.core.limits import CHUNK_BYTES_MAX, CHUNK_ENTRIES_MAX, TAIL_MAX
from discoagent.core.messages import Delta, Page, Removal
from discoagent.core.ring import STEP_WEIGHT, Ring, Segment, weight_of

Group = tuple[Kind, str]  # all instances of one service, all keys of one topic
UNKNOWN_REMOVAL = Removal(UNKNOWN, 0)
MEMBER_KEY: Key = (Kind.MEMBER, "", "")
FORGOTTEN_GROUP: Group = (Kind.FORGOTTEN, "")  # the verdicts on other nodes, by their names


class Chain:
    """The state of one replica at `clock`, what led to it lately, and what arrived beyond a gap.

    `_dots` and `_born` are parallel, in order of birth; a dead place holds None until the lists are
    packed. That order is what a scan reads, costs 16 bytes an entry, and makes a lookup by dot a
    bisection.
    """

    __slots__ = (
        "_born",
        "_dead",
        "_dots",
        "_ring",
        "_tail",
        "clock",
        "hash",
        "index",
        "record",
        "replica",
    )

    def __init__(self, replica: ReplicaId) -> None:
        self.replica = replica
        self.clock = 0
        self.hash = 0
        self.index: dict[Group, dict[str, int]] = {}
        self.record: MemberRecord | None = None
        self._dots: list[int] = []
        self._born: list[Entry | None] = []
        self._dead = 0
        self._ring = Ring()
        self._tail: list[tuple[int, int, Delta]] = []

    # ---- reading

    def __len__(self) -> int:
        return len(self._dots) - self._dead

    def __iter__(self) -> Iterator[Entry]:
        return (entry for entry in self._born if entry is not None)

    def live(self) -> Iterator[tuple[int, Entry]]:
        """Yield (dot, entry) of all that is alive, in order of birth."""
        return (
            (dot, entry)
            for dot, entry in zip(self._dots, self._born, strict=True)
            if entry is not None
        )

    def at(self, dot: int) -> Entry | None:
        """Return the live entry born at `dot`."""
        place = bisect_left(self._dots, dot)
        return self._born[place] if place < len(self._dots) and self._dots[place] == dot else None

    def get(self, key: Key) -> Entry | None:
        """Return the live entry of that key."""
        dot = self.dot_of(key)
        return None if dot is None else self.at(dot)

    def dot_of(self, key: Key) -> int | None:
        """Return the dot of the live entry of that key."""
        kind, name, instance = key
        group = self.index.get((kind, name))
        return None if group is None else group.get(instance)

    def group(self, group: Group) -> list[tuple[str, Entry]]:
        """Return (id, entry) of one service's instances or one topic's keys, in no order."""
        ids, dots, born = self.index.get(group), self._dots, self._born
        if ids is None:
            return []
        found = [(instance, born[bisect_left(dots, dot)]) for instance, dot in ids.items()]
        return cast("list[tuple[str, Entry]]", found)  # what the index names is alive

    @property
    def closed(self) -> bool:
        """Was the member record removed, the last step there is?"""
        return self.clock > 0 and self.record is None

    # ---- the owner's steps

    def put(self, entry: Entry, cause: Cause) -> Entry | None:
        """Add an entry, or replace that of its key, as the next step; return what it replaced."""
        before = None
        old = self.dot_of(entry.key)
        segment = self._ring.open(self.clock, old)
        self.clock += 1
        if old is not None:
            before = self._remove(old)
            segment.gone[old] = (before, Removal(cause, self.clock))
        self._add(self.clock, entry)
        segment.added[self.clock] = (entry, cause)
        self._ring.grow(segment, self.clock, weight_of(entry))
        return before

    def withdraw(self, key: Key, cause: Cause) -> Entry | None:
        """Remove the entry of that key as the next step; return it, or None if there is none."""
        dot = self.dot_of(key)
        if dot is None:
            return None
        segment = self._ring.open(self.clock, dot)
        self.clock += 1
        entry = self._remove(dot)
        segment.gone[dot] = (entry, Removal(cause, self.clock))
        self._ring.grow(segment, self.clock, STEP_WEIGHT)
        return entry

    def deltas_after(self, clock: int) -> list[tuple[Delta, ...]]:
        """Return all that came after `clock`, in batches: what its owner pushes."""
        return self._ring.made_after(clock, self.replica)

    # ---- joining

    def join(self, delta: Delta) -> "list[Segment] | None":
        """Merge a delta, then the tail; return what really changed, or None if there is a gap.

        It joins iff since <= our clock < until. Held dots in (since, our clock] that it does not
        name are gone, held dots that it says were removed are gone, named dots above our clock are
        new. A delta beyond a gap is kept.
        """
        if delta.until <= self.clock:
            return []
        if delta.since > self.clock:
            self._keep(delta)
            return None
        return [self._join(delta), *self._join_tail()]

    def _join_tail(self) -> list[Segment]:
        done = []
        while self._tail and self._tail[0][0] <= self.clock:
            beyond = self._tail.pop(0)[2]
            if beyond.until > self.clock:
                done.append(self._join(beyond))
        return done

    def _join(self, delta: Delta) -> Segment:
        segment = Segment(self.clock, delta.until)
        first, last = bisect_right(self._dots, delta.since), bisect_right(self._dots, self.clock)
        for place in range(first, last):
            entry, dot = self._born[place], self._dots[place]
            if entry is not None and dot not in delta.added:
                segment.gone[dot] = (entry, delta.removed.get(dot, UNKNOWN_REMOVAL))
        for dot, removal in delta.removed.items():
            entry = self.at(dot)
            if entry is not None and dot not in delta.added:
                segment.gone[dot] = (entry, removal)
        new = ((dot, *delta.added[dot]) for dot in sorted(delta.added) if dot > self.clock)
        self._apply(segment, new)
        return segment

    def _apply(self, segment: Segment, new: "Iterator[tuple[int, Entry, Cause | None]]") -> None:
        """Carry out a segment: what is gone goes, what is new comes; the ring remembers both."""
        for dot in segment.gone:
            self._remove(dot)
        for dot, entry, cause in new:
            twin = self.dot_of(entry.key)
            if (
                twin is not None
            ):  # an owner that names two live versions of one key: the younger is meant
                segment.gone[twin] = (self._remove(twin), Removal(cause or UNKNOWN, dot))
                segment.added.pop(twin, None)
            self._add(dot, entry)
            segment.added[dot] = (entry, cause)
            segment.weight += weight_of(entry)
        self.clock = segment.until
        segment.weight += STEP_WEIGHT * len(segment.gone)
        self._ring.push(segment)

    def _keep(self, delta: Delta) -> None:
        item = (delta.since, delta.until, delta)
        if any(kept[:2] == item[:2] for kept in self._tail):
            return
        insort(self._tail, item, key=lambda kept: kept[:2])
        if len(self._tail) > TAIL_MAX:
            self._tail.pop()  # the youngest: what is near the gap is of use first

    @property
    def gap(self) -> int:
        """Return the highest clock that the tail tells of; our own clock if there is no gap."""
        return max((until for _, until, _ in self._tail), default=self.clock)

    # ---- serving others

    def delta_since(self, clock: int) -> Delta | None:
        """Return the net change after `clock`, a chunk at most; None where the ring ends."""
        return self._ring.since(clock, self.replica)

    def segments_after(self, clock: int) -> list[Segment] | None:
        """Return the segments with what really changed after `clock`; None where the ring ends."""
        return self._ring.after(clock)

    def page(self, after: int) -> Page:
        """Return the entries born after dot `after` that fit; the last page names all alive."""
        entries: dict[int, Entry] = {}
        weight = 0
        place = bisect_right(self._dots, after)
        while place < len(self._dots):
            entry = self._born[place]
            if entry is not None:
                weight += weight_of(entry)
                if entries and (weight > CHUNK_BYTES_MAX or len(entries) >= CHUNK_ENTRIES_MAX):
                    return Page(self.replica, after, self.clock, entries)
                entries[self._dots[place]] = entry
            place += 1
        return Page(self.replica, after, self.clock, entries, self.runs())

    def runs(self) -> tuple[tuple[int, int], ...]:
        """Return all live dots as ascending (first, count) runs."""
        runs: list[tuple[int, int]] = []
        first = count = 0
        for dot, _ in self.live():
            if count and dot == first + count:
                count += 1
                continue
            if count:
                runs.append((first, count))
            first, count = dot, 1
        if count:
            runs.append((first, count))
        return tuple(runs)

    # ---- a finished scan

    def install(self, clock: int, entries: Mapping[int, Entry]) -> list[Segment]:
        """Take the state that a finished scan read, then join the tail; return what really changed.

        Nothing happens unless it is ahead of us. `entries` holds exactly what is alive at `clock`.
        """
        if clock <= self.clock:
            return []
        segment = Segment(self.clock, clock)
        for dot, entry in self.live():
            if dot not in entries:
                segment.gone[dot] = (entry, UNKNOWN_REMOVAL)
        held = self.clock
        self._apply(segment, ((dot, entries[dot], None) for dot in sorted(entries) if dot > held))
        if segment.weight > CHUNK_BYTES_MAX:
            self._ring.clear()  # too large for one message: whoever lacks it scans
        return [segment, *self._join_tail()]

    # ---- places

    def _add(self, dot: int, entry: Entry) -> None:
        assert not self._dots or dot > self._dots[-1], "dots are born in order"
        self._dots.append(dot)
        self._born.append(entry)
        self.index.setdefault((entry.kind, entry.name), {})[entry.id] = dot
        self.hash ^= mix(dot)
        if entry.kind is Kind.MEMBER:
            assert isinstance(entry.body, MemberRecord)
            self.record = entry.body

    def _remove(self, dot: int) -> Entry:
        place = bisect_left(self._dots, dot)
        entry = self._born[place]
        assert entry is not None
        self._born[place] = None
        self._dead += 1
        group = self.index[entry.kind, entry.name]
        del group[entry.id]
        if not group:
            del self.index[entry.kind, entry.name]
        self.hash ^= mix(dot)
        if entry.kind is Kind.MEMBER:
            self.record = None
        if self._dead > 64 and self._dead * 2 > len(self._dots):
            self._pack()
        return entry

    def _pack(self) -> None:
        alive = list(self.live())
        self._dots = [dot for dot, _ in alive]
        self._born = [entry for _, entry in alive]
        self._dead = 0
