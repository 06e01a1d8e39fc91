"""Real agents on the hosts of a lab, and applications beside them.

    with Cluster(3) as cluster:
        cluster.start()                    # an agent on each host; each knows every other
        cluster.start_apps("web")          # on each host one that registers web/web-80@hN
        cluster.lose_power(3)
        cluster[1].app.wait_for("removed", "web/web-80@h3")

The agents run with the defaults but for what the cluster is told, and find each other by host 1.
"""

import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from discoagent import Disco, DiscoError
from tests.house.processes import Running
from tests.lab.netlab import NetLab
from tests.lab.waiting import DEADLINE, until, watched

PORT = 7800
SOCKET = "/run/discoagent/agent.sock"


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
    def app(self) -> App:
        """The application."""
        assert self._app is not None
        return self._app

    # -- life and death ----------------------------------------------------------------------------

    def start(self, seeds: Iterable[str], *flags: str) -> None:
        """Start the agent, with more flags; do not wait for it."""
        assert self._agent is None
        argv = [sys.executable, "-m", "discoagent.daemon", "--insecure", "--bind", self.endpoint]
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


class Cluster:
    """A lab with one agent a host; leaving the block ends everything.

    `flags` are given to every agent. `seeds`: whom each is told to join, host 1 unless said.
    """

    def __init__(
        self,
        size: int,
        *flags: str,
        ipv6: bool = False,
        seeds: Sequence[str] | None = None,
    ) -> None:
        self.lab = NetLab(size)
        self._flags = flags
        self._endpoints = {
            number: f"[{NetLab.ipv6(number)}]:{PORT}" if ipv6 else f"{NetLab.ipv4(number)}:{PORT}"
            for number in self.lab.hosts
        }
        self.seeds = [self._endpoints[1]] if seeds is None else list(seeds)
        self.hosts: list[Host] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.enter_context(self.lab)
            self.hosts = [
                Host(self.lab, number, self._endpoints[number], self._flags)
                for number in self.lab.hosts
            ]
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for host in self.hosts:
            host.close()
        if error is not None:
            print(*(line for host in self.hosts for line in host.said()), sep="\n")
        self._undo.close()

    def __getitem__(self, number: int) -> Host:
        return self.hosts[number - 1]

    def others(self, *numbers: int) -> list[Host]:
        """Return the hosts but these."""
        return [host for host in self.hosts if host.number not in numbers]

    def running(self) -> list[Host]:
        """Return the hosts that have an agent."""
        return [host for host in self.hosts if host.has_agent]

    # -- starting ----------------------------------------------------------------------------------

    def start(self, *numbers: int) -> None:
        """Start the agents of these hosts (all), and wait until all that run know each other."""
        for host in [self[number] for number in numbers] or self.hosts:
            host.start(seed for seed in self.seeds if seed != host.endpoint)
        self.wait_until_known()

    def wait_until_known(self, within: float = DEADLINE) -> None:
        """Wait until every agent that runs is ready and sees these alive and nobody else."""
        running = self.running()
        everyone = {host.node for host in running}
        until(
            lambda: all(host.is_ready() and host.alive() == everyone for host in running),
            f"{sorted(everyone)} to know each other",
            within,
        )

    def start_apps(self, *services: str) -> None:
        """Start an application on every host; wait until each sees the services of all."""
        for host in self.hosts:
            host.start_app(*services)
        wanted = names(self.hosts, services)
        self.wait_until_listed(wanted)
        until(
            lambda: all(host.app.shown() == wanted for host in self.hosts),
            "every application to see every service",
        )

    def wait_until_listed(self, wanted: set[str], within: float = DEADLINE) -> None:
        """Wait until every host that has an agent lists exactly these instances."""
        running = self.running()
        until(
            lambda: all(host.listing() == wanted for host in running),
            f"{sorted(wanted)} on {[host.node for host in running]}",
            within,
        )

    # -- dying -------------------------------------------------------------------------------------

    def lose_power(self, *numbers: int) -> None:
        """End these hosts at once, without a word to anybody."""
        self.lab.isolate(*numbers)
        for number in numbers:
            self[number].kill_everything()

    # -- looking -----------------------------------------------------------------------------------

    def changes(self, since: float) -> dict[str, list[Change]]:
        """Return what any application saw since that time, by host."""
        seen = {host.node: host._app.changes(since) for host in self.hosts if host._app}
        return {node: changes for node, changes in seen.items() if changes}

    def changes_within(self, seconds: float, since: float) -> dict[str, list[Change]]:
        """Look so long for anything that an application sees, but no longer than to the first."""
        return watched(lambda: self.changes(since), seconds)


@contextlib.contextmanager
def running(size: int, *flags: str) -> Iterator[Cluster]:
    """Yield hosts that know each other, with an application on each that registers `web`."""
    with Cluster(size, *flags) as cluster:
        cluster.start()
        cluster.start_apps("web")
        yield cluster


def told(changes: Mapping[str, Sequence[Change]]) -> dict[str, list[tuple[str, str, str | None]]]:
    """Return what was seen on each host, without the times."""
    return {
        node: [(change.kind, change.name, change.cause) for change in seen]
        for node, seen in changes.items()
    }


def names(hosts: Iterable[Host], services: Iterable[str]) -> set[str]:
    """Return the names of these services' instances on these hosts."""
    return {f"{service}/{service}-80@{host.node}" for host in hosts for service in services}


def now() -> float:
    """Return the machine's monotonic clock, for `since`."""
    return time.monotonic()
