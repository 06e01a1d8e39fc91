"""The store: what makes a restart invisible, in one SQLite file that one thread writes.

    loop    keep, know_peers, append_events, ...  collect one batch
            secure     at a turn's end: entries that changed are in the ledger, a kill takes nothing
            hand_over  now and then: all that was collected is to be written
    writer  one transaction a batch, or for several that came meanwhile; then `on_written(number)`

Where the ledger has no room, what changed is handed over at once, and whoever tells of it waits.

Nothing in it is needed to be right. A file that is broken or not ours is set aside. Where nothing
can be written (a full disk, a directory that is read-only), the store is *away*: what is handed
over is dropped, and the file is tried again every 30 s; when it is back, `on_returned` asks for all
entries anew. As long as the file lacks a change a mark lies beside it, so that the next life does
not take it for the whole truth.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discoagent.core.entry import Entry
from discoagent.store.events import LoggedEvent
from discoagent.store.files import Files
from discoagent.store.ledger import Ledger
from discoagent.store.log import Shelf
from discoagent.store.reading import Reading
from discoagent.store.rows import (
    BOUNDS,
    Batch,
    Bounds,
    Checkpoint,
    Identity,
    Key,
    KnownPeer,
    PackedRows,
    StoredEntry,
    StoredLife,
    pack_key,
    pack_row,
)
from discoagent.store.sqlite import BrokenStoreError

RETRY_SECONDS = 30.0
CLOSE_SECONDS = 5.0  # then the process ends without the disk's consent

__all__ = [
    "Bounds",
    "Checkpoint",
    "Identity",
    "Key",
    "KnownPeer",
    "Recalled",
    "Shelf",
    "Store",
    "StoredEntry",
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
    lives: list[StoredLife] = field(default_factory=list)


class Store(Reading):
    """The store of one agent, over all its lives in this process.

    All methods are the loop's, but for those of `Reading`.
    """

    def __init__(
        self,
        directory: Path | None,
        identity: Identity,
        *,
        wall_ms: Callable[[], int],
        bounds: Bounds = BOUNDS,
        on_written: Callable[[int], None] = lambda _: None,
        on_returned: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the file in this directory, which is locked by us, and read it; None: keep nothing.

        `bounds` are those of the log of events.
        `on_written` tells of what somebody waits for, see `secure`. It and `on_returned` are called
        in the writer's thread. Nothing is raised.
        """
        self._files = Files(directory, wall_ms, bounds) if directory is not None else None
        self._identity = identity
        self._on_written = on_written
        self._on_returned = on_returned
        super().__init__()
        self._changed = threading.Condition()  # of `_queue`, `_written` and `_closing`
        self._queue: list[Batch] = []
        self._written = 0
        self._closing = False
        self._life = StoredLife(0, 0)
        self._ledger: Ledger | None = None
        self._number = 0  # the last one given
        self._last_change = 0  # of an entry
        self._insecure = 0  # the last that only the file can keep
        self._fresh: PackedRows = {}  # changed, not secured yet
        self._batch = Batch()
        self._empty = True
        self.trouble: str | None = None  # what keeps the file from being written
        self.recalled = Recalled()
        if self._files is not None:
            self.recalled = self._recall()
            self._ledger = self._files.open_ledger()
        self._writer = threading.Thread(target=self._run, name="store", daemon=True)
        self._writer.start()

    @property
    def directory(self) -> Path | None:
        """The state directory; None: nothing is kept."""
        return self._files.path.parent if self._files is not None else None

    @property
    def away(self) -> bool:
        """Is there no file to write to (now)?"""
        return self._db is None

    @property
    def behind(self) -> bool:
        """Was something collected that was not handed over yet?"""
        return not self._empty

    # ---- the loop's side

    def begin(self, life: StoredLife, entries: Iterable[StoredEntry], seconds: float) -> None:
        """Begin a life that has these entries and no others; wait so long at most for the disk."""
        self.hand_over()
        self._life = life
        self._batch.life = life
        self._batch.identity = self._identity
        self.replace_entries(entries)
        self.flush(seconds)

    def keep(self, changed: Mapping[Any, StoredEntry | Entry | None], live: int) -> None:
        """Keep these versions of entries, and those that are None no longer: `live` in all.

        An entry that ends with its owner, or never, stands for itself; a lease and what is wrapped
        needs its row.
        """
        for key, entry in changed.items():
            self._fresh[pack_key(key)] = None if entry is None else pack_row(entry)
        self._batch.live = live

    def replace_entries(self, rows: Iterable[StoredEntry]) -> None:
        """Keep these entries and no others; only the file can keep that."""
        self._fresh.clear()
        self._batch.whole = True
        self._batch.entries = {pack_key(row.key): pack_row(row) for row in rows}
        self._batch.live = len(self._batch.entries)
        self._empty = False
        self._insecure = self._last_change = self._next_number()

    def know_peers(self, peers: Iterable[KnownPeer], gone: Iterable[str] = ()) -> None:
        """Note where peers are, and at which endpoints nobody is to be looked for any more."""
        self._batch.peers.update((peer.endpoint, peer) for peer in peers)
        self._batch.gone_peers.update(gone)
        self._empty = False

    def append_events(self, events: Iterable[LoggedEvent]) -> None:
        """Append to this life's log; numbers go up by one."""
        self._batch.events.extend(events)
        self._empty = False

    def note(self, **fields: bytes | int | None) -> None:
        """Keep these fields of the present life, by their names in `StoredLife`."""
        self._batch.noted.update(fields)
        self._empty = False

    def keep_checkpoint(self, it: Checkpoint) -> None:
        """Keep what was shown after an event of the present life."""
        self._batch.checkpoint = it
        self._empty = False

    def secure(self) -> int:
        """See that every change of an entry so far outlives this process.

        Returns 0 if it does; else it was handed over, and does once this number is written.
        """
        if self._fresh:
            self._secure_fresh()
        if self._written >= self._insecure:
            return 0
        self.hand_over()
        return self._insecure

    def _secure_fresh(self) -> None:
        fresh, self._fresh = self._fresh, {}
        after, self._last_change = self._last_change, self._next_number()
        if not self._ledgered(after, fresh):
            self._insecure = self._last_change
        self._batch.entries.update(fresh)
        self._empty = False

    def _ledgered(self, after: int, fresh: PackedRows) -> bool:
        if self._ledger is None or self._db is None or self._written < self._insecure:
            return False
        return self._ledger.append(
            self._life.incarnation, self._last_change, after, fresh, committed=self._written
        )

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def hand_over(self) -> None:
        """Have what was collected written."""
        if self._fresh:
            self._secure_fresh()
        if self._empty:
            return
        batch, self._batch, self._empty = self._batch, Batch(), True
        batch.number = self._next_number()
        with self._changed:
            if self._queue and batch.life is None:
                self._queue[-1].merge(batch)
            else:
                self._queue.append(batch)
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Hand over, and wait at most so long until all is written; is it?"""
        self.hand_over()
        with self._changed:
            return self._changed.wait_for(lambda: self._written >= self._number, seconds)

    def close(self) -> None:
        """Write what is left, and close the file; a disk that hangs is not waited for long."""
        self.hand_over()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._writer.join(CLOSE_SECONDS)
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    # ---- the writer's side

    def _run(self) -> None:
        while True:
            with self._changed:
                due = self._changed.wait_for(
                    lambda: bool(self._queue) or self._closing,
                    RETRY_SECONDS if self._db is None and self._files else None,
                )
                some = bool(self._queue)
                closing = self._closing
            if some:
                self._write_queue()
            elif closing:
                break
            elif not due:
                self._return()
        with self._using, contextlib.suppress(sqlite3.Error):
            if self._db is not None:
                self._db.close()

    def _write_queue(self) -> None:
        with self._changed:
            batches, self._queue = self._queue, []
        for batch in batches:  # none is kept beyond this call: one may be large
            self._write(batch)
            awaited = self._written < self._insecure
            with self._changed:
                self._written = batch.number
                self._changed.notify_all()
            if awaited:
                self._on_written(batch.number)

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
                if batch.whole and self._files is not None:
                    self._files.mark_whole()
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
            if isinstance(error, BrokenStoreError) and self._files is not None:
                self._files.set_aside(error)
                return
        except OSError as another:
            error = another
        self._say_away(error)

    def _dropped(self, batch: Batch) -> None:
        """Leave a mark if the file now lacks something."""
        if self._files is not None and batch.changes_entries:
            self._files.mark_behind()

    def _return(self) -> None:
        """Try the file again; if it can be written, ask for all entries."""
        if self._files is None:
            return
        again = Batch()
        again.life, again.identity = self._life, self._identity
        try:
            db, _ = self._files.open()
            db.write(again)
        except (OSError, sqlite3.Error, BrokenStoreError) as error:
            _log.debug("%s: still not to be had: %s", self._path, error)
            return
        with self._using:
            self._db = db
        self.trouble = None
        _log.info("%s is written again", self._path)
        self._on_returned()

    # ---- the file

    @property
    def _path(self) -> Path:
        assert self._files is not None
        return self._files.path

    def _recall(self) -> Recalled:
        assert self._files is not None
        try:
            self._db, read = self._files.open()
        except (OSError, sqlite3.Error, BrokenStoreError) as error:
            self._say_away(error)
            read = self._files.read_copy()
        whose = read.identity
        if whose is None or whose.cluster != self._identity.cluster:
            return Recalled(read.incarnation)
        if whose.node != self._identity.node:
            return Recalled(read.incarnation, peers=read.peers)
        entries = list(read.entries.values())
        good = not self._files.behind
        return Recalled(read.incarnation, entries, read.peers, good, read.lives)

    def _say_away(self, error: Exception) -> None:
        self.trouble = str(error)
        _log.warning(
            "%s cannot be written (%s): state is kept in memory alone, and tried again every %g s",
            self._path,
            error,
            RETRY_SECONDS,
        )
