"""What `discoctl dev` plays with: agents of a cluster of their own, and a few live services.

Everything is a child of this process and ends with it, also when it is killed; all files are in one
scratch directory. Nothing of the system's agent is touched: no `DISCOAGENT_` variable and no file
of /etc is read.
"""

import functools
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from discoagent.cli import demo
from discoagent.cli.child import Child, Signals, stop_all
from discoagent.cli.entry import Entry, as_instance
from discoagent.cli.output import talk
from discoagent.cli.scratch import Scratch
from discoagent.client import Disco
from discoagent.errors import AgentUnavailable, DiscoError, TimeoutExpired

START_SECONDS = 30.0  # far more than it takes; then something is wrong, and its log says what
STOP_SECONDS = 3.0
LOOK_SECONDS = 0.02
LONGEST_NAME = "dev-16.sock"


class Service(NamedTuple):
    """A demo service: on which of the agents, counted from 0 and round again, and what is said of
    it."""

    name: str
    agent: int
    tag: str


SERVICES = (Service("web", 0, "v1"), Service("web", 1, "v2"), Service("api", 2, "v1"))


class StoppedError(Exception):
    """A signal came before everything was ready."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Agent:
    """One agent of the playground: its process, its socket, its log, and a client for it."""

    def __init__(self, number: int, directory: Path) -> None:
        self.node = f"dev-{number}"
        self.socket = str(directory / f"{self.node}.sock")
        self.log = directory / f"{self.node}.log"
        self.config = directory / f"{self.node}.toml"
        self.state = directory / f"{self.node}.state"
        self.disco = Disco(self.socket)
        self.child: Child | None = None

    def start(self, cluster: str, seed: str | None, signals: Signals) -> None:
        """Start the process; `seed` is the endpoint of another agent."""
        self.config.touch()
        argv = [sys.executable, "-m", "discoagent.daemon", "--config", str(self.config)]
        argv += ["--node", self.node, "--cluster", cluster, "--bind", "127.0.0.1:0"]
        argv += ["--state-dir", str(self.state)]
        argv += ["--socket", self.socket, *(["--join", seed] if seed else [])]
        env = {k: v for k, v in os.environ.items() if not k.startswith("DISCOAGENT_")}
        with self.log.open("wb") as log:
            self.child = Child(
                argv,
                signals,
                at_our_death=signal.SIGKILL,
                apart=True,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def last_words(self) -> str:
        """Return the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return lines[-1] if lines else "it said nothing"


class Playground:
    """A cluster to try things in; leaving the block ends every process and removes every file."""

    def __init__(self, size: int, signals: Signals, *, quiet: bool) -> None:
        self.signals = signals
        self.quiet = quiet
        self.cluster = f"dev-{secrets.token_hex(4)}"
        self.scratch = Scratch(LONGEST_NAME)
        self.agents = [Agent(number + 1, self.scratch.path) for number in range(size)]
        self.entries: list[tuple[Child, Entry]] = []
        self.said: set[int] = set()

    @property
    def socket(self) -> str:
        """The first agent's socket."""
        return self.agents[0].socket

    def export(self) -> str:
        """Return the line that makes a shell use the first agent."""
        return f"export DISCO_SOCKET={shlex.quote(self.socket)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for agent in self.agents:
            agent.disco.close()
        started = [agent.child for agent in self.agents if agent.child is not None]
        stop_all([*started, *(child for child, _entry in self.entries)], self.signals, STOP_SECONDS)
        self.scratch.close()

    def start(self) -> None:
        """Start everything, and return when every agent knows every other and every service.

        Raises StoppedError at a signal, DiscoError if an agent ends or does not become ready.
        """
        deadline = time.monotonic() + START_SECONDS
        first, *others = self.agents
        first.start(self.cluster, None, self.signals)
        seed = self._until(deadline, first, lambda: first.disco.status()["bind"])
        for agent in others:
            agent.start(self.cluster, str(seed), self.signals)
        for agent in self.agents:
            self._until(deadline, agent, functools.partial(_ready, agent))
        for service in SERVICES:
            self._start_service(service)
        for agent in self.agents:
            self._until(deadline, agent, functools.partial(self._knows_all, agent))

    def reap(self) -> None:
        """Tell the agents which services ended, and the user which agents did."""
        for child, entry in self.entries:
            if child.pid not in self.said and (ending := child.poll()) is not None:
                self.said.add(child.pid)
                entry.end(ending)
        for agent in self.agents:
            process = agent.child
            if process is None or process.pid in self.said:
                continue
            if (ending := process.poll()) is not None:
                self.said.add(process.pid)
                talk(f"the agent {agent.node} ended: {ending.cause}", quiet=self.quiet)

    def _start_service(self, service: Service) -> None:
        agent = self.agents[service.agent % len(self.agents)]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            number = listener.fileno()
            line = f"{service.name} {service.tag} on {agent.node}"
            child = Child(
                [sys.executable, "-I", "-S", demo.__file__, str(number), line],
                self.signals,
                apart=True,
                pass_fds=(number,),
            )
        spec = {"name": service.name, "port": port, "tags": (service.tag, "demo")}
        register = as_instance(agent.disco, {**spec, "meta": {"scheme": "http"}})
        entry = Entry(register, child.pid, quiet=True)
        self.entries.append((child, entry))
        entry.register()

    def _knows_all(self, agent: Agent) -> bool:
        status = agent.disco.status()
        everyone = status["members"].get("alive") == len(self.agents)
        return everyone and bool(status["instances"]["total"] >= len(SERVICES))

    def _until(self, deadline: float, agent: Agent, look: Callable[[], object]) -> object:
        """Return what `look` sees once it is true; the agent may not be there yet."""
        while True:
            try:
                if found := look():
                    return found
            except (AgentUnavailable, TimeoutExpired):
                pass
            if agent.child is None or agent.child.poll() is not None:
                raise DiscoError(f"the agent {agent.node} ended: {agent.last_words()}")
            if time.monotonic() > deadline:
                raise DiscoError(f"the agent {agent.node} is not ready: {agent.last_words()}")
            info = self.signals.next(LOOK_SECONDS)
            if info is not None and info.si_signo != signal.SIGCHLD:
                raise StoppedError(info.si_signo)


def _ready(agent: Agent) -> bool:
    return bool(agent.disco.status()["ready"])
