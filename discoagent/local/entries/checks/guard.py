"""Sees to it that what check commands run ends with this process, however it ends.

Under systemd the control group does that; elsewhere a command that hangs would stay when the agent
is killed. PR_SET_PDEATHSIG reaches no grandchildren, and takes code of ours between fork and exec,
which has the kernel copy this process's page tables for each run: 16 ms at 300 MB where vfork takes
0.2. So a small process (`warden.py`) is told of each group over a pipe, and kills those that are
left when the pipe ends.
"""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

PROGRAM = Path(__file__).with_name("warden.py")

_log = logging.getLogger("discoagent")


class Guard:
    """Begun before the first command, and anew if it was ended; safe over threads."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._warden: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._warned = False

    def begin(self) -> None:
        """Be ready to `watch`: what is started next shall be known as soon as it is."""
        with self._lock:
            if self._warden is None:
                self._begin()

    def watch(self, group: int) -> None:
        """Have this process group killed if we end before `forget`."""
        with self._lock:
            self._groups.add(group)
            self._tell(group)

    def forget(self, group: int) -> None:
        """Leave this group alone: call it before its leader is reaped, for then it is nobody's."""
        with self._lock:
            self._groups.discard(group)
            self._tell(-group)

    def close(self) -> None:
        """Watch nothing any more, and kill nobody."""
        with self._lock:
            self._end()

    def _begin(self) -> None:
        try:
            self._warden = subprocess.Popen(
                [sys.executable, "-I", "-S", str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
            )
        except OSError as error:
            if not self._warned:
                _log.warning("check commands may outlive this agent, if it is killed: %s", error)
            self._warned = True
            return
        assert self._warden.stdin is not None
        os.set_blocking(self._warden.stdin.fileno(), False)
        for group in self._groups:
            self._tell(group)

    def _tell(self, number: int) -> None:
        if self._warden is None:
            return
        assert self._warden.stdin is not None
        try:
            os.write(self._warden.stdin.fileno(), b"%d\n" % number)
        except OSError:  # somebody ended it, or stopped it for long: what it knows is not true
            self._end()

    def _end(self) -> None:
        if self._warden is not None:
            self._warden.kill()
            self._warden.communicate()
            self._warden = None
