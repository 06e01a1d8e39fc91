"""The log of events in the store's file, and the checkpoints beside it: written, bounded and read.

A *chunk* is a row of some events that follow each other in one life. It tells between which moments
of this agent's clock they were seen, so that a moment is found without unpacking them. A
*checkpoint* is all that was shown after one event; what was shown before and after it, the events
tell.

The log is bounded by rows and by days, but the last `EVENTS_LEAST` events stay whatever their age:
tokens reach as far.
"""

import sqlite3
from typing import Any, NamedTuple
from zlib import crc32

from discoagent.store.events import LoggedEvent, pack_events, unpack_events
from discoagent.store.rows import EVENTS_LEAST, Bounds, Checkpoint
from discoagent.store.sqlite import BrokenStoreError, breaks, insert

EVENTS_TOGETHER = 100  # in one chunk
EVENTS_SLACK = 2_000  # so many more before the oldest go
CHUNKS_READ = 20  # at a time: whoever writes waits no longer
CHUNKS_TOGETHER = 8  # in one statement: they are large
CHECKPOINT_BYTES_KEPT = 64 * 1024 * 1024  # of all of them
DAY_MS = 86_400_000

TABLES = """
CREATE TABLE events (
    life INTEGER, first INTEGER, last INTEGER, earliest INTEGER, latest INTEGER, checksum INTEGER,
    events BLOB, PRIMARY KEY (life, first)) WITHOUT ROWID;
CREATE TABLE checkpoints (
    life INTEGER, number INTEGER, seen_ms INTEGER, checksum INTEGER, entries BLOB,
    PRIMARY KEY (life, number)) WITHOUT ROWID;
"""


class Chunk(NamedTuple):
    """Which events are in one row, and between which moments they were seen."""

    first: int
    last: int
    earliest: int
    latest: int


class Shelf(NamedTuple):
    """What there is of one life: chunks and the numbers of checkpoints, in order."""

    chunks: list[Chunk]
    checkpoints: list[int]


class Log:
    """The tables of one open file."""

    def __init__(self, db: sqlite3.Connection, bounds: Bounds) -> None:
        self._db = db
        self._bounds = bounds
        self._appended = EVENTS_SLACK

    # ---- reading

    def events_after(
        self, life: int, number: int, *, upto: int | None = None, needle: bytes = b""
    ) -> tuple[list[LoggedEvent], int]:
        """Return the next events of a life after that number, and up to which there are no others.

        They are some hundreds, in order, perhaps with holes; the number stays where it was if there
        are none left. With a `needle`, of chunks that hold these bytes.
        """
        with breaks():
            rows = self._db.execute(
                "SELECT last, events, checksum FROM events WHERE life = ? AND last > ? "
                "AND first <= ? AND (? = x'' OR instr(events, ?)) ORDER BY first LIMIT ?",
                (life, number, 2**62 if upto is None else upto, needle, needle, CHUNKS_READ),
            ).fetchall()
        found: list[LoggedEvent] = []
        reached = number
        for last, packed, checksum in rows:
            found += _events(packed, checksum)
            reached = last
        return [event for event in found if event.number > number], reached

    def shelves(self) -> dict[int, Shelf]:
        """Return what there is of each life."""
        shelves: dict[int, Shelf] = {}
        with breaks():
            for life, *chunk in self._db.execute(
                "SELECT life, first, last, earliest, latest FROM events ORDER BY life, first"
            ):
                shelves.setdefault(life, Shelf([], [])).chunks.append(Chunk(*chunk))
            for life, number in self._db.execute(
                "SELECT life, number FROM checkpoints ORDER BY life, number"
            ):
                shelves.setdefault(life, Shelf([], [])).checkpoints.append(number)
        return shelves

    def checkpoint(self, life: int, number: int) -> bytes | None:
        """Return the entries of a checkpoint as they were packed; None if it is gone by now."""
        with breaks():
            row = self._db.execute(
                "SELECT entries, checksum FROM checkpoints WHERE life = ? AND number = ?",
                (life, number),
            ).fetchone()
        if row is None:
            return None
        entries, checksum = row
        if not isinstance(entries, bytes) or crc32(entries) != checksum:
            raise BrokenStoreError("a checkpoint is not as it was written")
        return entries

    # ---- writing

    def append(self, life: int, events: list[LoggedEvent]) -> None:
        """Append events of a life."""
        rows = []
        for place in range(0, len(events), EVENTS_TOGETHER):
            part = events[place : place + EVENTS_TOGETHER]
            packed = pack_events(part)
            seen = [event.seen_ms for event in part]
            ends = part[0].number, part[-1].number
            rows.append((life, *ends, min(seen), max(seen), crc32(packed), packed))
        insert(self._db, "events", rows, CHUNKS_TOGETHER)
        self._appended += len(events)
        if self._appended >= EVENTS_SLACK:
            self._appended = 0
            self._trim(events[-1].seen_ms)

    def keep_checkpoint(self, life: int, it: Checkpoint) -> None:
        """Keep one more checkpoint, and of those before it as many as there is room for."""
        row = (life, it.number, it.seen_ms, crc32(it.entries), it.entries)
        insert(self._db, "checkpoints", [row])
        too_old = self._db.execute(
            "SELECT life, number FROM (SELECT life, number, sum(length(entries)) "
            "OVER (ORDER BY life DESC, number DESC) AS kept FROM checkpoints) "
            "WHERE kept > ? AND (life, number) < (?, ?) ORDER BY life DESC, number DESC LIMIT 1",
            (CHECKPOINT_BYTES_KEPT, life, it.number),
        ).fetchone()
        if too_old is not None:
            self._db.execute("DELETE FROM checkpoints WHERE (life, number) <= (?, ?)", too_old)

    def forget_before(self, life: int) -> None:
        """Forget the lives before that one."""
        self._db.execute("DELETE FROM events WHERE life < ?", (life,))
        self._db.execute("DELETE FROM checkpoints WHERE life < ?", (life,))

    def _trim(self, now_ms: int) -> None:
        """Let the oldest go, and the checkpoints from which no event leads on."""
        oldest = self._db.execute(
            "SELECT life, first FROM (SELECT life, first, latest, sum(last - first + 1) "
            "OVER (ORDER BY life DESC, first DESC) AS kept FROM events) "
            "WHERE kept >= ? OR (kept >= ? AND latest < ?) "
            "ORDER BY life DESC, first DESC LIMIT 1",
            (self._bounds.rows, EVENTS_LEAST, now_ms - self._bounds.days * DAY_MS),
        ).fetchone()
        if oldest is not None:
            self._db.execute("DELETE FROM events WHERE (life, first) < (?, ?)", oldest)
            life, first = oldest
            self._db.execute(
                "DELETE FROM checkpoints WHERE (life, number) < (?, ?)", (life, first - 1)
            )


def _events(packed: Any, checksum: Any) -> list[LoggedEvent]:
    if not isinstance(packed, bytes) or crc32(packed) != checksum:
        raise BrokenStoreError("events are not as they were written")
    try:
        return list(unpack_events(packed))
    except Exception as error:  # whatever shape the nonsense has
        raise BrokenStoreError("events of another shape") from error
