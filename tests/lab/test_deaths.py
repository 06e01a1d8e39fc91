"""Hosts and agents that die: seen by all within the promised time, each once, nothing else."""

import itertools

import pytest

from tests.lab.cluster import demand_removed_alone, names, now, running
from tests.lab.waiting import until

pytestmark = pytest.mark.lab

DOWN_AFTER = 4.0
SHORT_GRACE = 5.0  # seconds in place of 15, where the test does not depend on it
HEARTBEAT = 1.0
SLACK = 1.0  # seconds that a verdict may take beyond its time
KILLED = 0.5  # seconds until a killed agent is down where nothing is granted to it


def test_a_host_loses_power() -> None:
    """Its entries are gone everywhere after `down_after`, and it is shown as down."""
    with running(5) as cluster:
        begin = now()
        cluster.lose_power(5)

        for host in cluster.others(5):
            host.app.wait_for("removed", "web/web-80@h5", begin, DOWN_AFTER + SLACK)
            assert host.states()["h5"] == "down"
        demand_removed_alone(cluster, [5], begin)


def test_the_seed_loses_power_and_comes_back() -> None:
    """The others live on without it; started again, it is found and finds them."""
    with running(3) as cluster:
        begin = now()
        cluster.lose_power(1)
        for host in cluster.others(1):
            host.app.wait_for("removed", "web/web-80@h1", begin, DOWN_AFTER + SLACK)
        cluster.lab.heal()
        cluster.start(1)

        cluster.wait_until_listed(names(cluster.others(1), ["web"]))


@pytest.mark.parametrize("dead", [[4, 5], [2, 5]])
def test_less_than_half_die_at_once(dead: list[int]) -> None:
    """Two of five: no slower than one."""
    with running(5) as cluster:
        begin = now()
        cluster.lose_power(*dead)

        for host, number in itertools.product(cluster.others(*dead), dead):
            name = f"web/web-80@h{number}"
            host.app.wait_for("removed", name, begin, DOWN_AFTER + SLACK)
        demand_removed_alone(cluster, dead, begin)


def test_a_killed_agent_without_grace() -> None:
    """With `restart_grace = 0` its entries are gone at once."""
    with running(3, "--set", "timing.restart_grace=0s") as cluster:
        begin = now()
        cluster[3].kill_agent()

        for host in cluster.others(3):
            host.app.wait_for("removed", "web/web-80@h3", begin, KILLED)
        demand_removed_alone(cluster, [3], begin)


def test_an_agent_is_killed_and_then_its_host() -> None:
    """The port that refused falls silent: the host is dead, and is not given `restart_grace`."""
    with running(3) as cluster:
        cluster[3].kill_agent()
        for host in cluster.others(3):
            until(lambda host=host: host.states()["h3"] == "restarting", "h3 to be restarting")  # type: ignore[misc]
        begin = now()
        cluster.lose_power(3)

        for host in cluster.others(3):
            host.app.wait_for("removed", "web/web-80@h3", begin, DOWN_AFTER + 2 * SLACK)
        demand_removed_alone(cluster, [3], begin)


def test_an_agent_that_hangs_for_ever() -> None:
    """Its kernel still accepts connections: it is restarting, and down after `restart_grace`.

    That counts from the first heartbeat that did not come.
    """
    with running(3, "--set", f"timing.restart_grace={SHORT_GRACE:g}s") as cluster:
        begin = now()
        cluster[3].freeze()

        for host in cluster.others(3):
            name, within = "web/web-80@h3", HEARTBEAT + SHORT_GRACE + SLACK
            removed = host.app.wait_for("removed", name, begin, within)
            assert removed.seen - begin > DOWN_AFTER
        demand_removed_alone(cluster, [3], begin)
