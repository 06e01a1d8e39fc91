"""Real agents on the hosts of a lab, and applications beside them.

    with running(3) as cluster:            # on each host an agent, and an app: web/web-80@hN
        cluster.lose_power(3)
        cluster[1].app.wait_for("removed", "web/web-80@h3")

The agents run with the defaults but for what the cluster is told, and find each other by host 1.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from tests.lab.hosts import Change, Host
from tests.lab.netlab import NetLab
from tests.lab.waiting import DEADLINE, until, watched

PORT = 7800


class Cluster:
    """A lab with one agent a host; leaving the block ends everything.

    `flags` are given to every agent. `seeds`: whom each is told to join, host 1 unless said.
    `arp_passes`: see NetLab.
    """

    def __init__(
        self,
        size: int,
        *flags: str,
        ipv6: bool = False,
        seeds: Sequence[str] | None = None,
        arp_passes: bool = False,
    ) -> None:
        self.lab = NetLab(size, arp_passes=arp_passes)
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

    def kill_agents(self, *numbers: int, lost: bool) -> None:
        """Kill these agents, one after the other; `lost`: with all that they have kept.

        Else not before each has kept who else is there, some tenths of a second after they met.
        """
        hosts = [self[number] for number in numbers]
        everyone = {host.node for host in self.running()}
        until(
            lambda: lost or all(it.kept_peers() >= everyone - {it.node} for it in hosts),
            f"{sorted(everyone)} to be kept",
        )
        for host in hosts:
            host.kill_agent()
            if lost:
                host.lose_state()

    # -- looking -----------------------------------------------------------------------------------

    def changes(self, since: float) -> dict[str, list[Change]]:
        """Return what any application saw since that time, by host."""
        seen = {host.node: host.app.changes(since) for host in self.hosts if host.has_app}
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


def demand_removed_alone(cluster: Cluster, dead: list[int], since: float) -> None:
    """Demand that every host that lives saw the dead ones' entries go, and nothing else."""
    gone = {("removed", name, "node-down") for name in names([cluster[n] for n in dead], ["web"])}
    seen = told(cluster.changes(since))

    assert {node: set(changes) for node, changes in seen.items()} == {
        host.node: gone for host in cluster.others(*dead)
    }
    assert all(len(changes) == len(gone) for changes in seen.values())


def names(hosts: Iterable[Host], services: Iterable[str]) -> set[str]:
    """Return the names of these services' instances on these hosts."""
    return {f"{service}/{service}-80@{host.node}" for host in hosts for service in services}


def now() -> float:
    """Return the machine's monotonic clock, for `since`."""
    return time.monotonic()
