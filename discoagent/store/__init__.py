"""The store: what makes a restart invisible, in one SQLite file that one thread writes.

    loop    keep, know_peers, append_events, ...  collect one batch; `hand_over` at a turn's end
    writer  one transaction a batch, or for several that came meanwhile; then `on_written(number)`

Nothing in it is needed to be right. A file that is broken or not ours is set aside. Where nothing
can be written (a full disk, a directory that is read-only), the store is *away*: what is handed
over is dropped, and the file is tried again every 30 s; when it is back, `on_returned` asks for all
entries anew. As long as the file lacks a change a mark lies beside it, so that the next life does
not take it for the whole truth.
"""

import contextlib
import logging
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from discoagent.core.entry import Entry
from discoagent.store import directory
from discoagent.store.rows import (
    Batch,
    Identity,
    Key,
    KnownPeer,
    Read,
    StoredEntry,
    StoredEvent,
    StoredLife,
)
from discoagent.store.schema import BrokenStoreError, Database

FILE_NAME = "agent.db"
BROKEN_KEPT = 3
RETRY_SECONDS = 30.0
GATHER_SECONDS = 0.02  # what nobody waits for is written so much later, together with more
CLOSE_SECONDS = 5.0  # then the process ends without the disk's consent

__all__ = [
    "Identity",
    "Key",
    "KnownPeer",
    "Recalled",
    "Store",
    "StoredEntry",
    "StoredEvent",
    "StoredLife",
]

_log = logging.getLogger("discoagent")


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the former life left. `good`: these entries are all that it had, none is missing.

    Of another node or cluster nothing is recalled but the incarnation; of another node of the same
    cluster the peers, too.
    """

    incarnation: int = 0
    entries: list[StoredEntry] = field(default_factory=list)
    peers: list[KnownPeer] = field(default_factory=list)
    good: bool = False


class Store:
    """The store of one agent, over all its lives in this process.

    All methods but `events_after` and `lives` are the loop's; those two may be called from any
    thread, and wait for the disk.
    """

    def __init__(
        self,
        directory: Path | None,
        identity: Identity,
        *,
        wall_ms: Callable[[], int],
        on_written: Callable[[int], None] = lambda _: None,
        on_returned: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the file in this directory, which is locked by us, and read it; None: keep nothing.

        `on_written` and `on_returned` are called in the writer's thread. Nothing is raised.
        """
        self._directory = directory
        self._identity = identity
        self._wall_ms = wall_ms
        self._on_written = on_written
        self._on_returned = on_returned
        self._db: Database | None = None
        self._using = threading.Lock()  # of `_db`
        self._changed = threading.Condition()  # of all below
        self._queue: list[Batch] = []
        self._handed = 0
        self._written = 0
        self._closing = False
        self._urgent = False  # does anybody wait for what is in the queue?
        self._gathering = False  # is the writer awake, and gives more the time to come?
        self._life = StoredLife(0, 0)
        self._batch = Batch()
        self._empty = True
        self.recalled = Recalled()
        if directory is not None:
            self.recalled = self._recall()
        self._writer = threading.Thread(target=self._run, name="store", daemon=True)
        self._writer.start()

    @property
    def away(self) -> bool:
        """Is there no file to write to (now)?"""
        return self._db is None

    # ---- the loop's side

    def begin(self, life: StoredLife, entries: Iterable[StoredEntry], seconds: float) -> None:
        """Begin a life that has these entries and no others; wait so long at most for the disk."""
        self.hand_over()
        self._life = life
        self._batch.life = life
        self._batch.identity = self._identity
        self.replace_entries(entries)
        self.flush(seconds)

    def keep(self, changed: "dict[Any, StoredEntry | Entry | None]") -> None:
        """Keep these versions of entries, and those that are None no longer.

        An entry that ends with its owner, or never, stands for itself; a lease and what is wrapped
        needs its row. The dict is the store's from now on.
        """
        if self._batch.entries or self._batch.whole:
            self._batch.entries.update(changed)
        else:
            self._batch.entries = changed
        self._empty = False

    def replace_entries(self, rows: Iterable[StoredEntry]) -> None:
        """Keep these entries and no others."""
        self._batch.whole = True
        self._batch.entries = {row.key: row for row in rows}
        self._empty = False

    def know_peers(self, peers: Iterable[KnownPeer], gone: Iterable[str] = ()) -> None:
        """Note where peers are, and at which endpoints nobody is to be looked for any more."""
        self._batch.peers.update((peer.endpoint, peer) for peer in peers)
        self._batch.gone_peers.update(gone)
        self._empty = False

    def append_events(self, rows: Iterable[StoredEvent]) -> None:
        """Append to this life's log; numbers go up by one."""
        self._batch.events.extend(rows)
        self._empty = False

    def note_vector(self, vector: bytes) -> None:
        """Keep this as the vector of the present life's last event."""
        self._batch.vector = vector
        self._empty = False

    def note_baseline(self, baseline: bytes) -> None:
        """Keep this as the vector at which the present life's log began."""
        self._batch.baseline = baseline
        self._empty = False

    def hand_over(self, *, urgent: bool = True) -> int:
        """Have what was collected written; `urgent`: somebody waits for it.

        Returns the number of what was handed over last if it is not written yet, else 0.
        """
        if self._empty and not urgent:
            return 0
        batch, self._batch, was_empty, self._empty = self._batch, Batch(), self._empty, True
        with self._changed:
            if not was_empty:
                self._handed += 1
                if self._queue and batch.life is None:
                    self._queue[-1].merge(batch)
                else:
                    self._queue.append(batch)
            if self._queue and (urgent or not self._gathering):
                self._urgent |= urgent
                self._changed.notify_all()
            return self._handed if self._written < self._handed else 0

    def flush(self, seconds: float) -> bool:
        """Hand over, and wait at most so long until all is written; is it?"""
        number = self.hand_over()
        with self._changed:
            return self._changed.wait_for(lambda: self._written >= number, seconds)

    def close(self) -> None:
        """Write what is left, and close the file; a disk that hangs is not waited for long."""
        self.hand_over()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._writer.join(CLOSE_SECONDS)

    # ---- any thread's

    def events_after(self, life: int, seq: int) -> list[StoredEvent] | None:
        """Return the events of a life after that number; None where the log does not reach."""
        with self._using:
            try:
                return self._db.events_after(life, seq) if self._db is not None else None
            except (BrokenStoreError, sqlite3.Error) as error:
                _log.warning("%s: cannot read the events: %s", self._path, error)
                return None

    def lives(self) -> list[StoredLife]:
        """Return the lives that are remembered, oldest first; the present one is the last."""
        with self._using:
            try:
                return self._db.lives() if self._db is not None else []
            except (BrokenStoreError, sqlite3.Error) as error:
                _log.warning("%s: cannot read the lives: %s", self._path, error)
                return []

    # ---- the writer's side

    def _run(self) -> None:
        while True:
            with self._changed:
                due = self._changed.wait_for(
                    lambda: bool(self._queue) or self._closing,
                    RETRY_SECONDS if self._db is None and self._directory else None,
                )
                self._gathering = True
                if due:
                    self._changed.wait_for(lambda: self._urgent or self._closing, GATHER_SECONDS)
                self._gathering = self._urgent = False
                batches, self._queue = self._queue, []
                number, closing = self._handed, self._closing
            if not due:
                self._return()
            for batch in batches:
                self._write(batch)
            with self._changed:
                self._written = number
                self._changed.notify_all()
            if batches:
                self._on_written(number)
            elif closing:
                break
        with self._using, contextlib.suppress(sqlite3.Error):
            if self._db is not None:
                self._db.close()

    def _write(self, batch: Batch) -> None:
        with self._using:
            if self._db is None:
                self._dropped(batch)
                return
            try:
                self._db.write(batch)
            except (BrokenStoreError, sqlite3.Error) as error:
                self._leave_off(error)
                self._dropped(batch)
                broken = isinstance(error, BrokenStoreError)
            else:
                if batch.whole:
                    self._mark.unlink(missing_ok=True)
                return
        if broken:
            self._return()

    def _leave_off(self, error: Exception) -> None:
        """Go away; a file that turned out to be broken is set aside."""
        assert self._db is not None
        with contextlib.suppress(sqlite3.Error):
            self._db.abandon()
        self._db = None
        try:
            if isinstance(error, BrokenStoreError):
                self._set_aside(error)
                return
        except OSError as another:
            error = another
        self._say_away(error)

    def _dropped(self, batch: Batch) -> None:
        """Leave a mark if the file now lacks something; an empty file fits on a full disk."""
        if self._directory is not None and batch.changes_entries:
            with contextlib.suppress(OSError):
                self._mark.touch(mode=0o600)

    def _return(self) -> None:
        """Try the file again; if it can be written, ask for all entries."""
        if self._directory is None:
            return
        again = Batch()
        again.life, again.identity = self._life, self._identity
        try:
            db, _ = self._opened()
            db.write(again)
        except (OSError, sqlite3.Error, BrokenStoreError) as error:
            _log.debug("%s: still not to be had: %s", self._path, error)
            return
        with self._using:
            self._db = db
        _log.info("%s is written again", self._path)
        self._on_returned()

    # ---- the file

    @property
    def _path(self) -> Path:
        assert self._directory is not None
        return self._directory / FILE_NAME

    @property
    def _mark(self) -> Path:
        return self._path.with_name(f"{FILE_NAME}.behind")

    def _opened(self) -> tuple[Database, Read]:
        """Open the file, a new one if it is broken, and read it."""
        directory.make(self._path.parent)
        try:
            return self._open()
        except BrokenStoreError as error:
            self._set_aside(error)
            return self._open()

    def _open(self) -> tuple[Database, Read]:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = Database(self._path)
        try:
            return db, db.read()
        except BaseException:
            db.abandon()
            raise

    def _recall(self) -> Recalled:
        try:
            self._db, read = self._opened()
        except (OSError, sqlite3.Error, BrokenStoreError) as error:
            self._say_away(error)
            read = _read_copy(self._path)
        whose = read.identity
        if whose is None or whose.cluster != self._identity.cluster:
            return Recalled(read.incarnation)
        if whose.node != self._identity.node:
            return Recalled(read.incarnation, peers=read.peers)
        return Recalled(read.incarnation, read.entries, read.peers, good=not self._mark.exists())

    def _say_away(self, error: Exception) -> None:
        _log.warning(
            "%s cannot be written (%s): state is kept in memory alone, and tried again every %g s",
            self._path,
            error,
            RETRY_SECONDS,
        )

    def _set_aside(self, error: Exception) -> None:
        """Rename a broken file; the last few of them are kept for whoever wants to know why."""
        now = datetime.fromtimestamp(self._wall_ms() // 1000, UTC)
        aside = self._path.with_name(f"{FILE_NAME}.broken-{now:%Y%m%dT%H%M%SZ}")
        for suffix in ("-wal", "-shm"):
            self._path.with_name(FILE_NAME + suffix).unlink(missing_ok=True)
        self._path.rename(aside)
        _log.warning("%s is broken (%s): set aside as %s", self._path, error, aside.name)
        for former in sorted(self._path.parent.glob(f"{FILE_NAME}.broken-*"))[:-BROKEN_KEPT]:
            former.unlink(missing_ok=True)


def _read_copy(path: Path) -> Read:
    """Read a file that cannot be written: SQLite would, to take in its log, so a copy is read."""
    try:
        with tempfile.TemporaryDirectory(prefix="discoagent-") as scratch:
            copy = Path(scratch) / FILE_NAME
            shutil.copyfile(path, copy)
            wal = path.with_name(f"{FILE_NAME}-wal")
            if wal.exists():
                shutil.copyfile(wal, copy.with_name(wal.name))
            db = Database(copy)
            try:
                return db.read()
            finally:
                db.abandon()
    except (OSError, sqlite3.Error, BrokenStoreError):
        return Read(None, 0, [], [])
