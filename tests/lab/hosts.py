"""One host of a lab: a real agent, an application, and the questions that a test asks of them."""

import contextlib
import json
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discoagent import Disco, DiscoError
from tests.house.processes import Running
from tests.lab.netlab import NetLab
from tests.lab.waiting import DEADLINE, until

SOCKET = "/run/discoagent/agent.sock"
STATE = "/run/discoagent-state"  # a host's own, for its /run is; kept when its agent ends


@dataclass(frozen=True, slots=True)
class Change:
    """An event that an application saw, `seen` at this time on the machine's monotonic clock."""

    seen: float
    kind: str
    name: str
    cause: str | None

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> "Change":
        """Read what an application printed."""
        about = event["instance"] or event["before"]
        name = f"{about['service']}/{about['id']}@{about['node']}" if about else ""
        return cls(event["seen"], event["kind"], name, event["cause"])


class App(Running):
    """A running `tests.lab.app`."""

    def __init__(self, argv: Sequence[str]) -> None:
        super().__init__(argv)
        self._read_lines = 0
        self._events: list[Change] = []

    def changes(self, since: float = 0.0) -> list[Change]:
        """Return what changed since it knew the present and since that time, in order."""
        lines = self.lines[self._read_lines :]
        self._read_lines += len(lines)
        for line in lines:
            assert line.startswith("{"), f"an application said: {self.lines}"
            self._events.append(Change.read(json.loads(line)))
        kinds = [change.kind for change in self._events]
        present = kinds.index("synced") + 1 if "synced" in kinds else len(kinds)
        return [change for change in self._events[present:] if change.seen >= since]

    def shown(self) -> set[str] | None:
        """Replay the events: return the names of what is there; None until it knows the present."""
        self.changes()
        names: set[str] = set()
        synced = False
        for change in self._events:
            synced = synced or change.kind == "synced"
            if change.kind == "removed":
                names.discard(change.name)
            elif change.name:
                names.add(change.name)
        return names if synced else None

    def wait_for(
        self, kind: str, name: str, since: float = 0.0, within: float = DEADLINE
    ) -> Change:
        """Wait for a change and return it."""

        def found() -> list[Change]:
            return [it for it in self.changes(since) if (it.kind, it.name) == (kind, name)]

        return until(found, f"{name} {kind}", within)[0]


class Host:
    """One host: its agent, its application, and the questions that a test asks of it."""

    def __init__(self, lab: NetLab, number: int, endpoint: str, flags: Sequence[str]) -> None:
        self.number = number
        self.node = f"h{number}"
        self.endpoint = endpoint
        self.disco = Disco(lab.path(number, SOCKET))
        self._lab = lab
        self._flags = flags
        self._agent: Running | None = None
        self._app: App | None = None
        self._ended: list[Running] = []

    @property
    def agent(self) -> Running:
        """The agent of this life."""
        assert self._agent is not None
        return self._agent

    @property
    def has_agent(self) -> bool:
        """Was an agent started here, and not ended by the test?"""
        return self._agent is not None

    @property
    def has_app(self) -> bool:
        """Was an application started here, and is its host still on?"""
        return self._app is not None

    @property
    def app(self) -> App:
        """The application."""
        assert self._app is not None
        return self._app

    # -- life and death ----------------------------------------------------------------------------

    def start(self, seeds: Iterable[str], *flags: str) -> None:
        """Start the agent, with more flags; do not wait for it."""
        assert self._agent is None
        argv = [sys.executable, "-m", "discoagent.daemon", "--insecure", "--bind", self.endpoint]
        argv += ["--state-dir", STATE]
        argv += [word for seed in seeds for word in ("--join", seed)]
        self._agent = Running(self._lab.command(self.number, [*argv, *self._flags, *flags]))

    def start_app(self, *services: str) -> None:
        """Start the application; do not wait for it."""
        assert self._app is None
        argv = [sys.executable, "-m", "tests.lab.app", *services]
        self._app = App(self._lab.command(self.number, argv))

    def kill_agent(self) -> None:
        """Kill the agent as the kernel does; its host lives on."""
        self._bury(self.agent)
        self._agent = None

    def lose_state(self) -> None:
        """Take away what the agent has kept for its next life."""
        shutil.rmtree(self._lab.path(self.number, STATE))

    def kept_peers(self) -> set[str]:
        """Return the nodes that the agent's next life will look for; it holds the file itself."""
        state = Path(self._lab.path(self.number, STATE))
        with tempfile.TemporaryDirectory() as copies:
            for file in state.glob("agent.db*"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy(file, copies)
            with contextlib.closing(sqlite3.connect(f"{copies}/agent.db")) as db:
                try:
                    return {node for (node,) in db.execute("SELECT node FROM peers")}
                except sqlite3.DatabaseError:  # it was written while it was copied
                    return set()

    def stop_agent(self) -> int:
        """Ask the agent to end for a while and return its exit code."""
        self.agent.signal(signal.SIGTERM)
        code = self.agent.code()
        self.kill_agent()
        return code

    def leave(self) -> int:
        """Let the node leave the cluster and return the agent's exit code."""
        self.disco.leave()
        code = self.agent.code()
        self.kill_agent()
        return code

    def freeze(self) -> None:
        """Stop the agent's process where it is; its kernel still accepts connections."""
        self.agent.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the agent go on."""
        self.agent.signal(signal.SIGCONT)

    def kill_everything(self) -> None:
        """Kill whatever runs on this host."""
        if self._agent is not None:
            self.kill_agent()
        if self._app is not None:
            self._bury(self._app)
            self._app = None

    def _bury(self, process: Running) -> None:
        process.__exit__(None, None, None)
        self._ended.append(process)

    def close(self) -> None:
        """End everything on this host."""
        self.disco.close()
        for process in (self._app, self._agent):
            if process is not None:
                self._bury(process)
        self._app = self._agent = None

    def said(self) -> list[str]:
        """Return what every agent of this host has logged, for whoever looks into a failure."""
        return [
            f"{self.node} {line}"
            for process in (*self._ended, self._agent)
            if process is not None and not isinstance(process, App)
            for line in process.lines
        ]

    # -- questions ---------------------------------------------------------------------------------

    def listing(self) -> set[str]:
        """Return the names of all usable instances."""
        return {instance.name for instance in self.disco.list()}

    def view(self) -> list[dict[str, Any]]:
        """Return everything that `list --all -o json` shows."""
        return [instance.to_json() for instance in self.disco.list(all=True)]

    def states(self) -> dict[str, str]:
        """Return the state of every node by its name."""
        return {member.node: member.state for member in self.disco.members()}

    def alive(self) -> set[str]:
        """Return the nodes that are alive, itself included."""
        return {node for node, state in self.states().items() if state == "alive"}

    def is_ready(self) -> bool:
        """Is the agent there, with all that its peers know?"""
        try:
            return bool(self.disco.status()["ready"])
        except DiscoError:
            assert self.agent.process.poll() is None, f"the agent ended: {self.agent.lines}"
            return False
