"""A real process in a test: its lines as they come, one deadline, ended with the test."""

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from tests.house.project import ROOT

DEADLINE = 20.0  # seconds that anything may take before the test fails


class Running:
    """A started process whose output (both streams) is read line by line."""

    def __init__(
        self,
        argv: Sequence[str],
        environ: Mapping[str, str] | None = None,
        stdin: int | None = None,
    ) -> None:
        self.lines: list[str] = []
        self._arrived = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            argv,
            cwd=ROOT,
            env={**clean_environment(), **(environ or {})},
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._arrived:
                self.lines.append(line.rstrip("\n"))
                self._arrived.notify_all()
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()

    def line(self, pattern: str, *, after: int = 0) -> re.Match[str]:
        """Wait for a line that has the pattern (not the first `after` lines); return the match."""
        found: re.Match[str] | None = None

        def looked() -> bool:
            nonlocal found
            matches = (re.search(pattern, line) for line in self.lines[after:])
            found = next(filter(None, matches), None)
            return found is not None or self._ended

        with self._arrived:
            self._arrived.wait_for(looked, DEADLINE)
        assert found is not None, f"no {pattern!r} in {self.lines}"
        return found

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def code(self) -> int:
        """Wait for the end and return the exit code; all lines are there then."""
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # of what it did not read
                self.process.stdin.close()


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what would configure us."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DISCO_", "DISCOAGENT_"))
    }


def agent(*flags: str) -> list[str]:
    """Return the command line of an agent."""
    return [sys.executable, "-m", "discoagent.daemon", *flags]
