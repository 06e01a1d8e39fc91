"""More than half of all hosts or agents end at once.

The short forms run with `-m lab`, the full figures with `-m soak`.
"""

import itertools

import pytest

from tests.lab.cluster import demand_removed_alone, names, now, running, told

SUSPECT_AFTER = 2.0
SHORT_GRACE = 5.0  # seconds in place of 15
SLACK = 1.0  # seconds that a verdict may take beyond its time


@pytest.mark.parametrize(
    "grace",
    [
        pytest.param(SHORT_GRACE, marks=pytest.mark.lab),
        pytest.param(15.0, marks=pytest.mark.soak),
    ],
)
def test_most_die_at_once(grace: float) -> None:
    """Three of five: the others may be cut off themselves, and wait for `isolation_grace`."""
    dead = [3, 4, 5]
    with running(5, "--set", f"timing.isolation_grace={grace:g}s") as cluster:
        begin = now()
        cluster.lose_power(*dead)

        for host, number in itertools.product(cluster.others(*dead), dead):
            name = f"web/web-80@h{number}"
            removed = host.app.wait_for("removed", name, begin, SUSPECT_AFTER + grace + SLACK)
            assert removed.seen - begin > grace
        demand_removed_alone(cluster, dead, begin)


@pytest.mark.lab
@pytest.mark.parametrize("lost", [False, True])
def test_half_of_the_agents_are_killed_and_start_again(lost: bool) -> None:
    """Their hosts and services live: nobody sees anything, be their state lost or not."""
    with running(5) as cluster:
        begin = now()
        cluster.kill_agents(2, 3, 4, lost=lost)
        cluster.start(2, 3, 4)

        assert told(cluster.changes_within(6, begin)) == {}
        assert [host.listing() for host in cluster.hosts] == [names(cluster.hosts, ["web"])] * 5


@pytest.mark.lab
@pytest.mark.parametrize("lost", [False, True])
def test_all_agents_are_killed_and_start_again(lost: bool) -> None:
    """No service has an event."""
    with running(5) as cluster:
        begin = now()
        cluster.kill_agents(1, 2, 3, 4, 5, lost=lost)
        cluster.start()
        cluster.wait_until_listed(names(cluster.hosts, ["web"]), within=5)

        assert told(cluster.changes_within(6, begin)) == {}
