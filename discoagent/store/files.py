"""What lies in the state directory for the store, and how each file is opened or set aside."""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from discoagent.store import directory as state_directory
from discoagent.store import ledger
from discoagent.store.rows import BOUNDS, Bounds, Read
from discoagent.store.schema import Database
from discoagent.store.sqlite import BrokenStoreError

FILE_NAME = "agent.db"
LEDGER_NAME = "agent.ledger"
BROKEN_KEPT = 3

_log = logging.getLogger("discoagent")


class Files:
    """The file, the ledger beside it, and the mark that says that the file lacks something."""

    def __init__(
        self, directory: Path, wall_ms: Callable[[], int], bounds: Bounds = BOUNDS
    ) -> None:
        """`wall_ms` names what is set aside, `bounds` are the log's; nothing is touched yet."""
        self.path = directory / FILE_NAME
        self._ledger = directory / LEDGER_NAME
        self._mark = directory / f"{FILE_NAME}.behind"
        self._wall_ms = wall_ms
        self._bounds = bounds

    @property
    def behind(self) -> bool:
        """Does the file lack something?"""
        return self._mark.exists()

    def mark_behind(self) -> None:
        """Note that the file lacks something; an empty file fits on a full disk."""
        with contextlib.suppress(OSError):
            self._mark.touch(mode=0o600)

    def mark_whole(self) -> None:
        """Note that the file lacks nothing."""
        with contextlib.suppress(OSError):
            self._mark.unlink(missing_ok=True)

    def open(self) -> tuple[Database, Read]:
        """Open the file, a new one if it is broken, and read it.

        Raises OSError, sqlite3.Error or BrokenStoreError if it cannot be had.
        """
        state_directory.make(self.path.parent)
        try:
            return self._open()
        except BrokenStoreError as error:
            self.set_aside(error)
            return self._open()

    def _open(self) -> tuple[Database, Read]:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = Database(self.path, self._bounds)
        try:
            return db, self._with_ledger(db.read())
        except BaseException:
            db.abandon()
            raise

    def open_ledger(self) -> ledger.Ledger | None:
        """Open the ledger; None if it cannot be written."""
        try:
            return ledger.Ledger(self._ledger)
        except OSError:
            return None

    def _with_ledger(self, read: Read) -> Read:
        """Add what the file lacks of its last life's last moments; what ended in them is gone."""
        changed = ledger.read(self._ledger, read.incarnation, read.number)
        both = {**read.entries, **changed}
        there = {key: entry for key, entry in both.items() if entry is not None}
        return read._replace(entries=there)

    def set_aside(self, error: Exception) -> None:
        """Rename a broken file; the last few of them are kept for whoever wants to know why.

        Raises OSError if that cannot be done.
        """
        now = datetime.fromtimestamp(self._wall_ms() // 1000, UTC)
        aside = self.path.with_name(f"{FILE_NAME}.broken-{now:%Y%m%dT%H%M%SZ}")
        for suffix in ("-wal", "-shm"):
            self.path.with_name(FILE_NAME + suffix).unlink(missing_ok=True)
        self.path.rename(aside)
        _log.warning("%s is broken (%s): set aside as %s", self.path, error, aside.name)
        for former in sorted(self.path.parent.glob(f"{FILE_NAME}.broken-*"))[:-BROKEN_KEPT]:
            former.unlink(missing_ok=True)

    def read_copy(self) -> Read:
        """Read a file that cannot be written: SQLite would, to take in its log, so a copy is read.

        Nothing is raised: what cannot be read holds nothing.
        """
        import shutil  # two modules that load much, for what hardly ever happens
        import tempfile

        try:
            with tempfile.TemporaryDirectory(prefix="discoagent-") as scratch:
                copy = Path(scratch) / FILE_NAME
                shutil.copyfile(self.path, copy)
                wal = self.path.with_name(f"{FILE_NAME}-wal")
                if wal.exists():
                    shutil.copyfile(wal, copy.with_name(wal.name))
                db = Database(copy)
                try:
                    return self._with_ledger(db.read())
                finally:
                    db.abandon()
        except (OSError, sqlite3.Error, BrokenStoreError):
            return Read(None, 0, 0, {}, [], [])
