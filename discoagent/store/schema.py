"""The file of the store: its tables, how a batch is written in one transaction, and what is read.

Blobs carry a checksum, for SQLite keeps none of its own.

Entries are a log: what changes is appended, and the last row of a key counts. In the order of keys
each row would touch a page of its own; to know where the former one is would take memory. When most
rows count no more, they are deleted together.
"""

import sqlite3
from pathlib import Path
from zlib import crc32

import msgpack

from discoagent.store import log
from discoagent.store.rows import (
    BOUNDS,
    PEERS_KEPT,
    Batch,
    Bounds,
    Identity,
    Key,
    KnownPeer,
    Read,
    StoredEntry,
    StoredLife,
)
from discoagent.store.sqlite import BrokenStoreError, breaks, insert

SCHEMA_VERSION = 2
APPLICATION_ID = 0x64697363  # "disc", in the file's header
ROWS_SLACK = 1_000  # of entries, beyond twice those that count
LIVES_KEPT = 64
BUSY_SECONDS = 1.0  # somebody else may look at the file
CACHE_KIB = 512  # rows are appended: few pages are touched twice
WAL_BYTES_KEPT = 4 * 1024 * 1024

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE lives (
    incarnation INTEGER PRIMARY KEY, began_ms INTEGER, vector BLOB, baseline BLOB,
    number INTEGER, begun INTEGER, begun_ms INTEGER, caught_up INTEGER, caught_up_ms INTEGER,
    seen_ms INTEGER);
CREATE TABLE entries (place INTEGER PRIMARY KEY, key BLOB, row BLOB, checksum INTEGER);
CREATE TABLE peers (endpoint TEXT PRIMARY KEY, node TEXT, seen_ms INTEGER) WITHOUT ROWID;
"""


class Database:
    """One open file. Calls come one at a time, from any thread."""

    def __init__(self, path: Path, bounds: Bounds = BOUNDS) -> None:
        """Open the file, or make it; `bounds` are those of the log.

        Raises BrokenStoreError if it is none of ours, sqlite3.Error if it cannot be had.
        """
        self.path = path
        self.life = 0
        self._rows = 0  # of entries
        self._db = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self.log = log.Log(self._db, bounds)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        with breaks():
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
                for statement in filter(str.strip, (_TABLES + log.TABLES).split(";")):
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
        with breaks():
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
        with breaks():
            rows = self._db.execute("SELECT * FROM lives ORDER BY incarnation").fetchall()
        return [StoredLife(*row) for row in rows]

    def ends_with(self, life: int, number: int) -> bool:
        """Is that the number of the last event of a life?"""
        with breaks():
            row = self._db.execute(
                "SELECT number FROM lives WHERE incarnation = ?", (life,)
            ).fetchone()
        return bool(row == (number,))

    # ---- writing

    def write(self, batch: Batch) -> None:
        """Write a batch, whole or not at all."""
        with breaks():
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
            insert(self._db, "meta", list(batch.identity._asdict().items()))
        if batch.life is not None:
            life = batch.life.incarnation
            insert(self._db, "lives", [batch.life])
            self._trim_lives()
        if batch.life is not None or batch.changes_entries:
            insert(self._db, "meta", [("number", batch.number)])
        if batch.changes_entries:
            self._write_entries(batch)
            insert(self._db, "meta", [("rows", self._rows)])
        if batch.events:
            self.log.append(life, list(batch.events))
            batch.noted["number"] = batch.events[-1].number
        if batch.checkpoint is not None:
            self.log.keep_checkpoint(life, batch.checkpoint)
        for name, value in batch.noted.items():
            assert name in StoredLife._fields
            sql = f"UPDATE lives SET {name} = ? WHERE incarnation = ?"  # noqa: S608 - as asserted
            self._db.execute(sql, (value, life))
        self._write_peers(batch)

    def _write_entries(self, batch: Batch) -> None:
        if batch.whole:
            self._db.execute("DELETE FROM entries")
            self._rows = 0
        rows = [(key, row, _checksum(key, row)) for key, row in batch.entries.items()]
        insert(self._db, "entries (key, row, checksum)", rows)
        self._rows += len(rows)
        if self._rows > 2 * batch.live + ROWS_SLACK:
            self._drop_former_rows()

    def _drop_former_rows(self) -> None:
        self._db.execute(
            "DELETE FROM entries WHERE place NOT IN (SELECT max(place) FROM entries GROUP BY key)"
        )
        self._db.execute("DELETE FROM entries WHERE row IS NULL")
        (self._rows,) = self._db.execute("SELECT count(*) FROM entries").fetchone()

    def _write_peers(self, batch: Batch) -> None:
        if batch.gone_peers:
            gone = [(endpoint,) for endpoint in batch.gone_peers]
            self._db.executemany("DELETE FROM peers WHERE endpoint = ?", gone)
        if batch.peers:
            insert(self._db, "peers", list(batch.peers.values()))
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
        (oldest,) = self._db.execute("SELECT min(incarnation) FROM lives").fetchone()
        self.log.forget_before(oldest)


def _checksum(key: bytes, row: bytes | None) -> int:
    return crc32(row or b"", crc32(key))
