"""The directory that `discoctl dev` keeps its sockets, logs and states in, for as long as it runs.

It goes with its maker. What a killed one left is removed by the next: nobody holds its lock.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

PREFIX = "discoagent-dev-"
LOCK = "lock"
FALLBACK = "/tmp"  # noqa: S108 - by mkdtemp; where the temporary directory's path is too long
PATH_BYTES_MAX = 107  # of a socket


class Scratch:
    """A directory of our own, with a lock in it that says that we live."""

    def __init__(self, longest: str) -> None:
        """Make it, under a path short enough for a socket of this name."""
        for place in {tempfile.gettempdir(), FALLBACK}:
            _sweep(Path(place))
        self.path = _made(longest)
        self._lock = os.open(self.path / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove it with all that is in it, and the lock last."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _made(longest: str) -> Path:
    directory = tempfile.mkdtemp(prefix=PREFIX)
    if len(os.fsencode(directory)) + len(f"/{longest}") > PATH_BYTES_MAX:
        Path(directory).rmdir()
        directory = tempfile.mkdtemp(prefix=PREFIX, dir=FALLBACK)
    return Path(directory)


def _sweep(place: Path) -> None:
    """Remove what the killed have left; what has no lock is not theirs, or is being made."""
    with contextlib.suppress(OSError):
        for directory in place.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                _remove_if_left(directory)


def _remove_if_left(directory: Path) -> None:
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return
    lock = os.open(directory / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory)
    finally:
        os.close(lock)
