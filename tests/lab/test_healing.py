"""Bad links and stopped processes: no false alarms, changes get round, and all heals by itself.

The short forms run with `-m lab`, the full figures with `-m soak`.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.lab.cluster import Cluster, names, now, running, told
from tests.lab.waiting import until, watched

DOWN_AFTER = 4.0
SLACK = 1.0  # seconds that a verdict may take beyond its time
ROUND_A_CUT = 3.0  # seconds in which a change reaches a host that cannot hear of it directly
HEALED = 3.0  # seconds from the link coming back until all views are one


def lasting(short: float, full: float) -> pytest.MarkDecorator:
    """Run a test for two durations in seconds, the short one in the lab, the full one in a soak."""
    return pytest.mark.parametrize(
        "seconds",
        [
            pytest.param(short, marks=pytest.mark.lab),
            pytest.param(full, marks=[pytest.mark.soak, pytest.mark.timeout(2 * full + 120)]),
        ],
    )


def calm(cluster: Cluster, seconds: float, since: float) -> None:
    """Demand that nobody sees anything for so long, and that all are alive in the end."""
    assert told(cluster.changes_within(seconds, since)) == {}
    cluster.wait_until_known()
    assert told(cluster.changes(since)) == {}


@lasting(20, 600)
def test_a_fifth_of_all_packets_is_lost(seconds: float) -> None:
    """Nobody sees anything."""
    with running(5) as cluster:
        begin = now()
        cluster.lab.loss(20)
        calm(cluster, seconds, begin)


@lasting(6, 60)
def test_a_distant_host(seconds: float) -> None:
    """A round trip of 0.4 s to one host is no reason for anything."""
    with running(3) as cluster:
        begin = now()
        cluster.lab.delay(2, 200)
        calm(cluster, seconds, begin)


@lasting(6, 60)
@pytest.mark.parametrize(
    ("pair", "one_way"),
    [((1, 2), False), ((2, 3), False), ((1, 2), True), ((2, 1), True), ((2, 3), True)],
)
def test_a_cut_between_two_hosts(pair: tuple[int, int], one_way: bool, seconds: float) -> None:
    """Nobody sees anything, and what either registers reaches the other through the third."""
    with running(3) as cluster:
        begin = now()
        cluster.lab.cut(*pair, one_way=one_way)
        calm(cluster, seconds, begin)
        for teller, hearer in (pair, pair[::-1]):
            asked = now()
            cluster[teller].disco.register("db", port=teller, static=True)
            name = f"db/db-{teller}@h{teller}"
            cluster[hearer].app.wait_for("added", name, asked, ROUND_A_CUT)
        begin = now()
        cluster.lab.heal()
        calm(cluster, 2, begin)


@lasting(6, 60)
def test_a_split_heals(seconds: float) -> None:
    """Both sides serve on and know their own; joined again, all have one view at once."""
    with running(5) as cluster:
        sides = cluster.hosts[:3], cluster.hosts[3:]
        begin = now()
        cluster.lab.split({1, 2, 3}, {4, 5})
        for host in sides[0]:
            host.app.wait_for("removed", "web/web-80@h4", begin)
        for side in sides:
            first, *others = side
            first.disco.register("db", port=80, static=True)
            for host in others:
                until(lambda host=host, it=first: f"db/db-80@{it.node}" in host.listing(), "db")  # type: ignore[misc]
        watched(lambda: now() - begin > seconds, seconds)
        healed = now()
        cluster.lab.heal()
        wanted = names(cluster.hosts, ["web"]) | names([sides[0][0], sides[1][0]], ["db"])
        cluster.wait_until_listed(wanted, HEALED)

        def one_view() -> bool:
            """The side that may have been cut off held the others, suspect until it hears them."""
            views = [host.view() for host in cluster.hosts]
            return views == views[:1] * 5

        until(one_view, "one view", healed + HEALED - now())
        for host in sides[0]:
            returned = host.app.wait_for("added", "web/web-80@h4", healed)
            assert returned.cause == "node-returned"
        begin = now()
        calm(cluster, 5, begin)


@pytest.mark.lab
def test_a_cable_is_pulled_and_plugged_in() -> None:
    """The host is down to the others, and back with all it has once it can be reached."""
    with running(3) as cluster:
        begin = now()
        cluster.lab.link(3, up=False)
        for host in cluster.others(3):
            host.app.wait_for("removed", "web/web-80@h3", begin, DOWN_AFTER + SLACK)
        cluster.lab.link(3, up=True)

        cluster.wait_until_listed(names(cluster.hosts, ["web"]), HEALED)


@pytest.mark.parametrize(
    ("seconds", "stopped"),
    [
        pytest.param(1, (1, 2, 3, 4, 5), marks=pytest.mark.lab),
        pytest.param(10, (2,), marks=pytest.mark.lab),
        pytest.param(10, (1, 2, 3, 4, 5), marks=[pytest.mark.soak, pytest.mark.timeout(300)]),
    ],
)
def test_stopped_agents(seconds: float, stopped: tuple[int, ...]) -> None:
    """One after another stands still for a while: nobody accuses it, and it accuses nobody."""
    with running(5) as cluster:
        begin = now()
        for number in stopped:
            cluster[number].freeze()
            assert told(cluster.changes_within(seconds, begin)) == {}
            cluster[number].thaw()
            cluster.wait_until_known()
        calm(cluster, 5, begin)


@pytest.mark.lab
def test_a_whole_host_is_paused() -> None:
    """Its kernel is silent, too: it is down, and back when it goes on; it accuses nobody."""
    with running(3) as cluster:
        begin = now()
        cluster.lab.isolate(3)
        cluster[3].freeze()
        for host in cluster.others(3):
            host.app.wait_for("removed", "web/web-80@h3", begin, DOWN_AFTER + SLACK)
        watched(lambda: False, 10 - (now() - begin))
        resumed = now()
        cluster.lab.heal()
        cluster[3].thaw()

        for host in cluster.others(3):
            returned = host.app.wait_for("added", "web/web-80@h3", resumed, HEALED)
            assert returned.cause == "node-returned"
        cluster.wait_until_known()
        assert cluster[3].app.changes(begin) == []


@pytest.mark.lab
def test_one_name_on_both_sides_of_a_split() -> None:
    """When they meet, one of the two ends with 6, and the other is the node."""
    with Cluster(4) as cluster:
        cluster.lab.split({1, 2}, {3, 4})
        cluster.start(1, 2)
        cluster[3].start([])
        cluster[4].start([cluster[3].endpoint], "--node", "h2")
        until(
            lambda: cluster[3].is_ready() and cluster[3].alive() == {"h2", "h3"}, "the other side"
        )
        cluster.lab.heal()
        cluster[3].disco.join([cluster[1].endpoint])

        assert cluster[2].agent.code() == 6
        until(lambda: cluster[1].alive() == {"h1", "h2", "h3"}, "one h2")
        (twin,) = [member for member in cluster[1].disco.members() if member.node == "h2"]
        assert twin.address == cluster[4].endpoint


@contextlib.contextmanager
def starved() -> Iterator[None]:
    """Keep the machine busy with two loops for each core."""
    loop = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(loop) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for process in loops:
            process.kill()
            process.wait()


@lasting(10, 120)
def test_a_starved_machine(seconds: float) -> None:
    """Five hosts that hardly get to run do not accuse each other."""
    with running(5) as cluster, starved():
        begin = now()
        calm(cluster, seconds, begin)
