"""Reading the log of events while it is written."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from discoagent.store.events import LoggedEvent
from discoagent.store.log import Shelf
from discoagent.store.schema import Database
from discoagent.store.sqlite import BrokenStoreError

T = TypeVar("T")

_log = logging.getLogger("discoagent")


class Reading:
    """The part of a store that any thread may call; it waits for the disk, and raises nothing.

    Where there is no file (now), there is nothing.
    """

    def __init__(self) -> None:
        self._db: Database | None = None
        self._using = threading.Lock()  # of `_db`

    def events_after(self, life: int, number: int) -> list[LoggedEvent] | None:
        """Return the events of a life after that number; None where the log does not reach."""
        found: list[LoggedEvent] = []
        while not self._ends_with(life, number):
            before = len(found)
            for event in self.logged(life, number):
                if event.number != number + 1:
                    return None
                found.append(event)
                number = event.number
            if len(found) == before:
                return None
        return found

    def logged(
        self, life: int, number: int, *, upto: int | None = None, needle: bytes = b""
    ) -> Iterator[LoggedEvent]:
        """Yield the events of a life after that number, perhaps with holes.

        With a `needle` some that are not near to these bytes are left out. They are read some
        hundreds at a time, so that whoever writes does not wait for long.
        """
        while True:
            found, reached = self._some(life, number, upto, needle)
            yield from (it for it in found if upto is None or it.number <= upto)
            if reached == number:
                return
            number = reached

    def shelves(self) -> dict[int, Shelf]:
        """Return what there is in the log, by life."""
        return self._read(lambda db: db.log.shelves(), {})

    def checkpoint(self, life: int, number: int) -> bytes | None:
        """Return the entries of a checkpoint, packed; None if there is none (any more)."""
        return self._read(lambda db: db.log.checkpoint(life, number), None)

    def _ends_with(self, life: int, number: int) -> bool:
        return self._read(lambda db: db.ends_with(life, number), nothing=False)

    def _some(
        self, life: int, number: int, upto: int | None, needle: bytes
    ) -> tuple[list[LoggedEvent], int]:
        nothing: tuple[list[LoggedEvent], int] = ([], number)
        return self._read(
            lambda db: db.log.events_after(life, number, upto=upto, needle=needle), nothing
        )

    def _read(self, read: Callable[[Database], T], nothing: T) -> T:
        with self._using:
            if self._db is None:
                return nothing
            try:
                return read(self._db)
            except (BrokenStoreError, sqlite3.Error) as error:
                _log.warning("%s: cannot read the events: %s", self._db.path, error)
                return nothing
