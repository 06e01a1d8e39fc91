"""How soon the mesh sees what happened: real agents on five hosts of a lab, default options.

Every time is taken from just before the fault, or just after the healing, to the moment when the
last of the other hosts' applications saw the event.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterable

from tests.lab import netlab
from tests.lab.cluster import Cluster, names, now, running
from tests.lab.hosts import Change, Host
from tests.lab.waiting import until, watched

SIZE = 5
RUNS = 20
SPLIT_SECONDS = 60
CUT_CHANGES = 20
NO_GRACE = ("--set", "timing.restart_grace=0s")


def main() -> None:
    """Run all of them; about ten minutes."""
    if lacking := netlab.missing():
        sys.exit(f"no lab can be made here, missing: {', '.join(lacking)}")
    began = time.monotonic()
    print(f"{'figure':44} {'median':>9} {'worst':>9} {'runs':>5}   goal")
    report("host loses power -> down on all others", power_lost(), "4 s median, 5 s worst")
    report("agent killed, restart_grace = 0 -> down on all", agent_killed(), "0.5 s")
    report("clean leave -> gone on all others", left(), "50 ms")
    report("change across a cut pair, both ways", around_a_cut(one_way=False), "3 s")
    report("change across a pair cut one way", around_a_cut(one_way=True), "3 s")
    report(f"split of {SPLIT_SECONDS} s healed -> one view", healed(), "3 s")
    report("all killed and started again -> one view", started_again(), "5 s")
    print(f"in {time.monotonic() - began:.0f} s")


def report(figure: str, seconds: Iterable[float], goal: str) -> None:
    """Print one figure as soon as it is known."""
    taken = list(seconds)
    median, worst = statistics.median(taken), max(taken)
    print(f"{figure:44} {median:8.3f}s {worst:8.3f}s {len(taken):5}   {goal}", flush=True)


def last_seen(hosts: Iterable[Host], kind: str, name: str, since: float) -> float:
    """Wait until every host's application saw the change; return when the last one did."""
    seen: list[Change] = [host.app.wait_for(kind, name, since) for host in hosts]
    return max(change.seen for change in seen) - since


def ended(end: Callable[[Cluster], object], runs: int, *flags: str) -> Iterable[float]:
    """End the fifth host in some way, again and again, each time in a new cluster."""
    for run in range(runs):
        with running(SIZE, *flags) as cluster:
            watched(lambda: False, run / runs)  # at any moment between two heartbeats
            begin = now()
            end(cluster)
            yield last_seen(cluster.others(SIZE), "removed", f"web/web-80@h{SIZE}", begin)


def power_lost() -> Iterable[float]:
    """Lose a host."""
    return ended(lambda cluster: cluster.lose_power(SIZE), RUNS)


def agent_killed() -> Iterable[float]:
    """Kill an agent that is granted nothing."""
    return ended(lambda cluster: cluster[SIZE].kill_agent(), RUNS, *NO_GRACE)


def left() -> Iterable[float]:
    """Let a node leave."""
    return ended(lambda cluster: cluster[SIZE].leave(), RUNS)


def around_a_cut(*, one_way: bool) -> Iterable[float]:
    """Register on one host what another can only learn through a third."""
    with running(SIZE) as cluster:
        cluster.lab.cut(1, 2, one_way=one_way)
        for number in range(1, CUT_CHANGES + 1):
            watched(lambda: False, 0.6 + number / CUT_CHANGES)
            begin = now()
            cluster[1].disco.register("db", port=number, static=True)
            yield last_seen([cluster[2]], "added", f"db/db-{number}@h1", begin)


def healed(runs: int = 3) -> Iterable[float]:
    """Split the hosts, let both sides change, and join them."""
    with running(SIZE) as cluster:
        wanted = names(cluster.hosts, ["web"])
        for run in range(1, runs + 1):
            cluster.lab.split({1, 2, 3}, {4, 5})
            for number in (1, 4):
                cluster[number].disco.register("db", port=run, static=True)
                wanted.add(f"db/db-{run}@h{number}")
            watched(lambda: False, SPLIT_SECONDS)
            cluster.lab.heal()
            begin = now()
            cluster.wait_until_listed(wanted)
            yield now() - begin


def started_again(runs: int = 5) -> Iterable[float]:
    """Kill all agents and start them; the services live on. From the start of the last one."""
    for _ in range(runs):
        with running(SIZE) as cluster:
            before = cluster[1].view()
            for host in cluster.hosts:
                host.kill_agent()
            for host in cluster.hosts:
                host.start(seed for seed in cluster.seeds if seed != host.endpoint)
            begin = now()
            until(lambda: all(sees(host, before) for host in cluster.hosts), "one view")  # noqa: B023
            yield now() - begin


def sees(host: Host, view: list[dict[str, object]]) -> bool:
    """Does this host show exactly that?"""
    return host.is_ready() and host.view() == view
