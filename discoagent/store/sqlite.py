"""How the store speaks to SQLite: rows go in many at a time, and some errors say "broken".

Rows go in with one statement: the interpreter is held only to bind them, and the loop runs while
SQLite writes.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

ROWS_TOGETHER = 128  # in one statement; a power of two
BROKEN_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})


class BrokenStoreError(Exception):
    """The file is no store of ours, or not whole."""


@contextmanager
def breaks() -> Iterator[None]:
    """Turn what SQLite says of a file that is not whole into BrokenStoreError."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None or code & 0xFF in BROKEN_CODES:
            raise BrokenStoreError(str(error)) from error
        raise


def insert(
    db: sqlite3.Connection,
    table: str,
    rows: Sequence[Sequence[Any]],
    together: int = ROWS_TOGETHER,
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
        db.execute(sql, list(chain.from_iterable(part)))
        first += together
