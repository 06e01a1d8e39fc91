"""Agents as processes of their own, for the tests of `discoctl`."""

import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from discoagent.client import Disco
from discoagent.errors import AgentUnavailable
from tests.cli.ctl import environment

START_SECONDS = 30  # only a hang takes so long


class Agent:
    """One agent on loopback. It may be started again: the same node, at the same place."""

    def __init__(self, node: str, directory: Path) -> None:
        self.node = node
        self.socket = str(directory / f"{node}.sock")
        self.config = directory / f"{node}.toml"
        self.config.touch()
        self.endpoint = "127.0.0.1:0"
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, join: str | None = None) -> None:
        """Start it, and wait until it is ready."""
        argv = [sys.executable, "-m", "discoagent.daemon", "--config", str(self.config)]
        argv += ["--node", self.node, "--cluster", "cli", "--bind", self.endpoint]
        argv += ["--socket", self.socket, *(["--join", join] if join else [])]
        self.process = subprocess.Popen(
            argv, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
        )
        assert self.process.stderr is not None
        said = []
        for line in self.process.stderr:  # its text log names the moment at which it is ready
            said.append(line)
            if "ready node=" in line:
                break
        else:
            raise AgentUnavailable(f"{self.node} ended: {''.join(said)}")
        with Disco(self.socket) as disco:
            status = disco.status(ready=START_SECONDS)
        self.endpoint = status["bind"]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal, and wait until it has ended."""
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(number)
            assert process.stderr is not None
            process.stderr.read()  # to its end, so that a full pipe holds nothing up
            process.stderr.close()
            process.wait(START_SECONDS)
