"""The ledger: changes that SQLite has not committed yet, where a sudden end leaves them.

    loop    append     one `pwrite` of some microseconds: from then on they are the kernel's
    writer  commits the same to the file, off the loop, many together
    start   read       what the file lacks: each record that continues what is there

It is a file of two halves. Each is filled from its beginning once the file has all that it held, so
it takes no more than is on its way. A record tells of the change that it continues, and carries a
checksum: what was torn, or belongs to another life, continues nothing and ends the reading.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from zlib import crc32

from discoagent.store.rows import Key, PackedRows, StoredEntry, pack_rows, unpack_rows

HALF_BYTES = 2 * 1024 * 1024
SLOW_SECONDS = 0.05  # for one write: the kernel waits for the disk, and the loop with it
REST_SECONDS = 30.0  # then nothing is appended for so long

_HEADER = Struct(">IIQQQ")  # checksum of all that follows, bytes of rows, life, number, after
_CHECKED = 4  # from here on


class Ledger:
    """What one life writes ahead of its file."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises OSError."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._half = 0
        self._place = 0
        self._rests_until = 0.0
        self._last = [0, 0]  # the number that each half ends with

    def append(
        self, life: int, number: int, after: int, rows: PackedRows, *, committed: int
    ) -> bool:
        """Take in the change of that number, which continues the one `after`.

        `committed`: the file has all up to this number. False: there is no room, the disk is full
        or slow, or the like.
        """
        began = time.monotonic()
        if began < self._rests_until:
            return False
        packed = pack_rows(rows)
        record = bytearray(_HEADER.size + len(packed))
        _HEADER.pack_into(record, 0, 0, len(packed), life, number, after)
        record[_HEADER.size :] = packed
        checksum = crc32(memoryview(record)[_CHECKED:])
        record[:_CHECKED] = checksum.to_bytes(_CHECKED, "big")
        half, place = self._half, self._place
        if self._last[half] <= committed:
            place = 0
        if place + len(record) > HALF_BYTES:
            half, place = 1 - half, 0
            if self._last[half] > committed or len(record) > HALF_BYTES:
                return False
        try:
            if os.pwrite(self._fd, record, half * HALF_BYTES + place) < len(record):
                return False
        except OSError:
            return False
        ended = time.monotonic()
        if ended - began > SLOW_SECONDS:
            self._rests_until = ended + REST_SECONDS
        self._half, self._place = half, place + len(record)
        self._last[half] = number
        return True

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def read(path: Path, life: int, number: int) -> dict[Key, StoredEntry | None]:
    """Return what that life changed after that number; None of a key that has ended."""
    records: dict[int, tuple[int, bytes]] = {}
    with contextlib.suppress(OSError), path.open("rb") as file:
        raw = file.read(2 * HALF_BYTES)
        for half in (raw[:HALF_BYTES], raw[HALF_BYTES:]):
            for of_life, at, after, packed in _records(half):
                if of_life == life:
                    records[at] = after, packed
    changed: dict[Key, StoredEntry | None] = {}
    for at in sorted(records):
        after, packed = records[at]
        if at > number:
            if after > number:
                break
            changed.update(unpack_rows(packed))
            number = at
    return changed


def _records(half: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield life, number, after and packed rows of the records up to one that is not whole."""
    view, place = memoryview(half), 0
    while place + _HEADER.size <= len(view):
        checksum, size, life, number, after = _HEADER.unpack_from(view, place)
        end = place + _HEADER.size + size
        if end > len(view) or crc32(view[place + _CHECKED : end]) != checksum:
            return
        yield life, number, after, bytes(view[place + _HEADER.size : end])
        place = end
