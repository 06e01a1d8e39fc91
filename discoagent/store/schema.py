"""The file of the store: its tables, how a batch is written in one transaction, and what is read.

Rows go in many at a time, with one statement: the interpreter is held only to bind them, and the
loop runs while SQLite writes. Blobs carry a checksum, for SQLite keeps none of its own.

Entries are a log: what changes is appended, and the last row of a key counts. In the order of keys
each row would touch a page of its own; to know where the former one is would take memory. When most
rows count no more, they are deleted together.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

import msgpack

from discoagent.store.events import LoggedEvent, pack_events, unpack_events
from discoagent.store.rows import (
    EVENTS_KEPT,
    PEERS_KEPT,
    Batch,
    Identity,
    Key,
    KnownPeer,
    Read,
    StoredEntry,
    StoredLife,
)

SCHEMA_VERSION = 1
APPLICATION_ID = 0x64697363  # "disc", in the file's header
EVENTS_TOGETHER = 100  # in one row
EVENTS_SLACK = 2_000  # so many more before the oldest go
ROWS_READ = 20  # of events, at a time: whoever writes waits no longer
ROWS_SLACK = 1_000  # of entries, beyond twice those that count
LIVES_KEPT = 64
ROWS_TOGETHER = 128  # in one statement; a power of two
EVENT_ROWS_TOGETHER = 8  # which are large
BUSY_SECONDS = 1.0  # somebody else may look at the file
CACHE_KIB = 512  # rows are appended: few pages are touched twice
WAL_BYTES_KEPT = 4 * 1024 * 1024
BROKEN_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE lives (
    incarnation INTEGER PRIMARY KEY, began_ms INTEGER, vector BLOB, baseline BLOB,
    number INTEGER);
CREATE TABLE entries (place INTEGER PRIMARY KEY, key BLOB, row BLOB, checksum INTEGER);
CREATE TABLE peers (endpoint TEXT PRIMARY KEY, node TEXT, seen_ms INTEGER) WITHOUT ROWID;
CREATE TABLE events (
    life INTEGER, first INTEGER, last INTEGER, events BLOB, checksum INTEGER,
    PRIMARY KEY (life, first)) WITHOUT ROWID;
"""


class BrokenStoreError(Exception):
    """The file is no store of ours, or not whole."""


class Database:
    """One open file. Calls come one at a time, from any thread."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises BrokenStoreError if it is none of ours, sqlite3.Error if it cannot be had.
        """
        self.path = path
        self.life = 0
        self._appended = EVENTS_SLACK
        self._rows = 0  # of entries
        self._db = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        with _breaks():
            for pragma in (
                "locking_mode = EXCLUSIVE",  # no shared memory, which a cut-off file takes away
                "journal_mode = WAL",
                "synchronous = NORMAL",
                f"cache_size = -{CACHE_KIB}",
                f"journal_size_limit = {WAL_BYTES_KEPT}",
            ):
                self._db.execute(f"PRAGMA {pragma}").fetchall()
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if not version and not tables:
                self._db.execute("BEGIN IMMEDIATE")
                for statement in filter(str.strip, _TABLES.split(";")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                self._db.execute("COMMIT")
                return
            (application,) = self._db.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION_ID or version != SCHEMA_VERSION:
                raise BrokenStoreError(f"it is no store of version {SCHEMA_VERSION}")

    def close(self) -> None:
        """Write the log back into the file, and close it."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._db.close()

    def abandon(self) -> None:
        """Close it as it is."""
        self._db.close()

    # ---- reading

    def read(self) -> Read:
        """Return all but the events. Raises BrokenStoreError if anything of it is not whole."""
        with _breaks():
            meta = dict(self._db.execute("SELECT name, value FROM meta"))
            (last,) = self._db.execute("SELECT max(incarnation) FROM lives").fetchone()
            entries = self._entries()
            if self._rows != meta.get("rows", 0):
                raise BrokenStoreError("it has not as many entries as were written")
            peers = [
                KnownPeer(*row)
                for row in self._db.execute("SELECT * FROM peers ORDER BY seen_ms DESC, endpoint")
            ]
        whose = [meta.get(name) for name in Identity._fields]
        if not all(isinstance(word, str) for word in whose):
            whose = []
        us = Identity(*map(str, whose)) if whose else None
        return Read(us, last or 0, meta.get("number", 0), entries, peers, self.lives())

    def _entries(self) -> dict[Key, StoredEntry]:
        entries: dict[Key, StoredEntry] = {}
        self._rows = 0
        for packed, row, checksum in self._db.execute(
            "SELECT key, row, checksum FROM entries ORDER BY place"
        ):
            if not isinstance(packed, bytes) or not isinstance(row, bytes | None):
                raise BrokenStoreError("an entry is of another type")
            if _checksum(packed, row) != checksum:
                raise BrokenStoreError("an entry is not as it was written")
            self._rows += 1
            key = tuple(msgpack.unpackb(packed))
            entries.pop(key, None)
            if row is not None:
                entries[key] = StoredEntry(*key, *msgpack.unpackb(row))
        return entries

    def lives(self) -> list[StoredLife]:
        """Return the lives that are remembered, oldest first."""
        with _breaks():
            rows = self._db.execute("SELECT * FROM lives ORDER BY incarnation").fetchall()
        return [StoredLife(*row) for row in rows]

    def events_after(self, life: int, number: int) -> list[LoggedEvent] | None:
        """Return the next events of a life after that number; None where the log does not reach.

        They are some hundreds, or all that are left; none if that number is the last one.
        """
        with _breaks():
            rows = self._db.execute(
                "SELECT first, events, checksum FROM events WHERE life = ? AND last > ? "
                "ORDER BY first LIMIT ?",
                (life, number, ROWS_READ),
            ).fetchall()
            (last,) = self._db.execute(
                "SELECT sum(number) FROM lives WHERE incarnation = ?", (life,)
            ).fetchone()
        found: list[LoggedEvent] = []
        reached = number
        for first, packed, checksum in rows:
            if first > reached + 1:
                break
            found += _events(packed, checksum)
            reached = found[-1].number
        if not found and number != last:
            return None
        return [event for event in found if event.number > number]

    # ---- writing

    def write(self, batch: Batch) -> None:
        """Write a batch, whole or not at all."""
        with _breaks():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._write(batch)
                self._db.execute("COMMIT")
            except BaseException:
                # Counts are wrong from here on: whoever meets an error opens the file anew.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        if batch.life is not None:
            self.life = batch.life.incarnation

    def _write(self, batch: Batch) -> None:
        life = self.life
        if batch.identity is not None:
            self._insert("meta", list(batch.identity._asdict().items()))
        if batch.life is not None:
            life = batch.life.incarnation
            self._insert("lives", [batch.life])
            self._trim_lives()
        if batch.life is not None or batch.changes_entries:
            self._insert("meta", [("number", batch.number)])
        if batch.changes_entries:
            self._write_entries(batch)
            self._insert("meta", [("rows", self._rows)])
        if batch.vector is not None:
            self._db.execute(
                "UPDATE lives SET vector = ? WHERE incarnation = ?", (batch.vector, life)
            )
        if batch.baseline is not None:
            self._db.execute(
                "UPDATE lives SET baseline = ? WHERE incarnation = ?", (batch.baseline, life)
            )
        if batch.events:
            self._write_events(life, list(batch.events))
        self._write_peers(batch)

    def _write_entries(self, batch: Batch) -> None:
        if batch.whole:
            self._db.execute("DELETE FROM entries")
            self._rows = 0
        rows = [(key, row, _checksum(key, row)) for key, row in batch.entries.items()]
        self._insert("entries (key, row, checksum)", rows)
        self._rows += len(rows)
        if self._rows > 2 * batch.live + ROWS_SLACK:
            self._drop_former_rows()

    def _drop_former_rows(self) -> None:
        self._db.execute(
            "DELETE FROM entries WHERE place NOT IN (SELECT max(place) FROM entries GROUP BY key)"
        )
        self._db.execute("DELETE FROM entries WHERE row IS NULL")
        (self._rows,) = self._db.execute("SELECT count(*) FROM entries").fetchone()

    def _write_events(self, life: int, events: list[LoggedEvent]) -> None:
        rows = []
        for place in range(0, len(events), EVENTS_TOGETHER):
            part = events[place : place + EVENTS_TOGETHER]
            packed = pack_events(part)
            rows.append((life, part[0].number, part[-1].number, packed, crc32(packed)))
        self._insert("events", rows, EVENT_ROWS_TOGETHER)
        self._db.execute(
            "UPDATE lives SET number = ? WHERE incarnation = ?", (events[-1].number, life)
        )
        self._trim_events(len(events))

    def _write_peers(self, batch: Batch) -> None:
        if batch.gone_peers:
            gone = [(endpoint,) for endpoint in batch.gone_peers]
            self._db.executemany("DELETE FROM peers WHERE endpoint = ?", gone)
        if batch.peers:
            self._insert("peers", list(batch.peers.values()))
            self._db.execute(
                "DELETE FROM peers WHERE endpoint NOT IN "
                "(SELECT endpoint FROM peers ORDER BY seen_ms DESC, endpoint LIMIT ?)",
                (PEERS_KEPT,),
            )

    def _trim_lives(self) -> None:
        self._db.execute(
            "DELETE FROM lives WHERE incarnation NOT IN "
            "(SELECT incarnation FROM lives ORDER BY incarnation DESC LIMIT ?)",
            (LIVES_KEPT,),
        )
        self._db.execute("DELETE FROM events WHERE life < (SELECT min(incarnation) FROM lives)")

    def _trim_events(self, appended: int) -> None:
        self._appended += appended
        if self._appended < EVENTS_SLACK:
            return
        self._appended = 0
        oldest = self._db.execute(
            "SELECT life, first FROM (SELECT life, first, sum(last - first + 1) "
            "OVER (ORDER BY life DESC, first DESC) AS kept FROM events) "
            "WHERE kept >= ? ORDER BY life DESC, first DESC LIMIT 1",
            (EVENTS_KEPT,),
        ).fetchone()
        if oldest is not None:
            self._db.execute("DELETE FROM events WHERE (life, first) < (?, ?)", oldest)

    def _insert(
        self, table: str, rows: Sequence[Sequence[Any]], together: int = ROWS_TOGETHER
    ) -> None:
        """Insert rows by few statements, for each waits until the loop lets the interpreter go.

        Their sizes are powers of two: each that was used is kept, with the values it had last.
        """
        first = 0
        while first < len(rows):
            while together > len(rows) - first:
                together //= 2
            part = rows[first : first + together]
            marks = f"({', '.join('?' * len(part[0]))})"
            sql = f"INSERT OR REPLACE INTO {table} VALUES {', '.join([marks] * together)}"  # noqa: S608 - all words are ours
            self._db.execute(sql, list(chain.from_iterable(part)))
            first += together


@contextmanager
def _breaks() -> Iterator[None]:
    """Turn what SQLite says of a file that is not whole into BrokenStoreError."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None or code & 0xFF in BROKEN_CODES:
            raise BrokenStoreError(str(error)) from error
        raise


def _events(packed: Any, checksum: Any) -> list[LoggedEvent]:
    if not isinstance(packed, bytes) or crc32(packed) != checksum:
        raise BrokenStoreError("events are not as they were written")
    try:
        return list(unpack_events(packed))
    except Exception as error:  # whatever shape the nonsense has
        raise BrokenStoreError("events of another shape") from error


def _checksum(key: bytes, row: bytes | None) -> int:
    return crc32(row or b"", crc32(key))
