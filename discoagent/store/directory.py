"""The state directory: where an agent keeps what survives its restart, and whose it is.

    1. /var/lib/discoagent               the system's agent
    2. $XDG_STATE_HOME/discoagent        a user's agent, where the variable is set
    3. ~/.local/state/discoagent         neither can be had

Each belongs to one agent at a time: it holds a lock on the file `lock` in it. Where no directory
was named, the first is taken that can be made, written and locked; an agent that finds none keeps
nothing. A directory that was named must be free, but need not be writable (yet).
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from discoagent.errors import Conflict

SYSTEM_DIRECTORY = "/var/lib/discoagent"
LOCK_NAME = "lock"

_log = logging.getLogger("discoagent")


class StateDirectory:
    """A directory that is ours until `release`. `path` is None if there is none to be had."""

    def __init__(self, said: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        """Take the directory that was `said`, else the first default one that is free.

        Raises Conflict if another agent holds the one that was said.
        """
        self.path: Path | None = None
        self._lock: int | None = None
        if said is not None:
            self._take(Path(said))
            self.path = Path(said)
            return
        for path in default_paths(os.environ if environ is None else environ):
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(Conflict):
                if self._take(path) and os.access(path, os.W_OK | os.X_OK):
                    self.path = path
                    return
                self.release()
        _log.warning(
            "no state directory can be had (another agent may use it): nothing is kept over a "
            "restart; name one with --state-dir"
        )

    def _take(self, path: Path) -> bool:
        """Make and lock a directory; False where it cannot be written. Raises Conflict."""
        make(path)
        lock = path / LOCK_NAME
        try:
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            try:
                self._lock = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return False
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip()
            self.release()
            raise Conflict(
                f"state_dir: another agent (pid {holder or 'unknown'}) uses {path}; "
                "name another directory with --state-dir",
                field="state_dir",
            ) from None
        with contextlib.suppress(OSError):  # a full disk; the lock holds all the same
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        return True

    def release(self) -> None:
        """Let another agent have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def default_paths(environ: Mapping[str, str]) -> list[Path]:
    """Return the default directories, best first; nothing is looked at or made."""
    paths = [Path(SYSTEM_DIRECTORY)]
    if home := environ.get("XDG_STATE_HOME"):
        paths.append(Path(home) / "discoagent")
    if home := environ.get("HOME"):
        paths.append(Path(home) / ".local" / "state" / "discoagent")
    return [path for path in paths if path.is_absolute()]


def make(path: Path) -> None:
    """Make the directory, for us alone, if that can be done; its parent must be there."""
    with contextlib.suppress(OSError):
        path.mkdir(mode=0o700)
