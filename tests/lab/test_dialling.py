"""Who is lost is dialled for ever, and found as soon as it can be."""

import pytest

from tests.lab.cluster import Cluster, now
from tests.lab.dials import begin_to_count, counted
from tests.lab.netlab import NetLab
from tests.lab.waiting import until, watched

LOST = 16
SECONDS = 8
DIALS_MAX = 20  # a second, to all together
LOST_AT_ONCE = ("--set", "timing.isolation_grace=0s", "--set", "timing.restart_grace=0s")


def demand_dialled(cluster: Cluster, host: int, lost: list[int]) -> None:
    """Demand that each of the lost is dialled every second from there, and all within bounds."""
    lab = cluster.lab
    begin_to_count(lab, host)
    begin = now()
    watched(lambda: False, SECONDS)
    dials = counted(lab, host)
    seconds = now() - begin

    assert dials.keys() == {NetLab.ipv4(number) for number in lost}
    assert min(dials.values()) >= SECONDS - 1
    assert dials.total() <= DIALS_MAX * seconds


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "beyond_a_router",
    [
        pytest.param(True, marks=pytest.mark.lab, id="hangs"),
        pytest.param(False, marks=pytest.mark.soak, id="fails"),
    ],
)
def test_the_lost_are_dialled_every_second(beyond_a_router: bool) -> None:
    """Where each try hangs, or fails after seconds; also by an agent that was started again."""
    with Cluster(2 + LOST, *LOST_AT_ONCE, arp_passes=beyond_a_router) as cluster:
        cluster.start()
        lost = [host.number for host in cluster.others(1, 2)]
        cluster.lose_power(*lost)
        down = dict.fromkeys((f"h{number}" for number in lost), "down")
        for host in (cluster[1], cluster[2]):
            until(
                lambda host=host: host.states() == {"h1": "alive", "h2": "alive"} | down,  # type: ignore[misc]
                f"all but two to be down at {host.node}",
            )
        demand_dialled(cluster, 2, lost)

        cluster[2].kill_agent()
        cluster.start(2)
        demand_dialled(cluster, 2, lost)

        cluster.lab.heal()
        cluster.start(lost[0])
