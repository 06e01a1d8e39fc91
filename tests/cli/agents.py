"""An agent that can be stopped and started again, for the tests of `discoctl`."""

import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.agent.harness import DAEMON, AgentProcess, start_agent


class Agent:
    """One agent on loopback; started again it is the same node at the same place.

    It is labelled with a rack of its own. `program`: what runs in place of the daemon itself.
    """

    def __init__(
        self, node: str, directory: Path, cluster: str = "cli", program: str = DAEMON
    ) -> None:
        self.node = node
        self.directory = directory
        self.cluster = cluster
        self.program = program
        self.endpoint = "127.0.0.1:0"
        self.process: AgentProcess | None = None

    @property
    def socket(self) -> str:
        """Where it listens."""
        return str(self.directory / f"{self.node}.sock")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None:
            self.process.kill()

    def start(self, *join: str) -> None:
        """Start it, and wait until it is ready."""
        self.process = start_agent(
            self.directory,
            self.node,
            bind=self.endpoint,
            join=join,
            cluster=self.cluster,
            settings={"labels.rack": f"rack-{self.node}"},
            program=self.program,
        )
        self.endpoint = self.process.bind

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal, and return its exit code."""
        assert self.process is not None
        return self.process.stop(number)
