"""Who is lost is dialled for ever, and found as soon as it can be."""

import pytest

from tests.lab.cluster import Cluster, now
from tests.lab.dials import begin_to_count, counted
from tests.lab.netlab import NetLab
from tests.lab.waiting import until, watched

LOST = 16
SECONDS = 10
DIALS_MAX = 20  # a second, to all together
LOST_AT_ONCE = ("--set", "timing.isolation_grace=0s", "--set", "timing.restart_grace=0s")

pytestmark = pytest.mark.lab


def demand_dialled(cluster: Cluster, host: int, lost: list[int]) -> None:
    """Demand that each of the lost is dialled every second from there, and all within bounds."""
    lab = cluster.lab
    begin_to_count(lab, host)
    begin = now()
    watched(lambda: False, SECONDS)
    dials = counted(lab, host)
    seconds = now() - begin

    assert dials.keys() == {NetLab.ipv4(number) for number in lost}
    print(sorted(dials.values()))
    assert min(dials.values()) >= SECONDS - 1
    assert dials.total() <= DIALS_MAX * seconds


@pytest.mark.timeout(120)
@pytest.mark.parametrize("beyond_a_router", [False, True])
def test_the_lost_are_dialled_every_second(beyond_a_router: bool) -> None:
    """Also where each try hangs, and by an agent that has been started again since."""
    with Cluster(LOST + 1, *LOST_AT_ONCE, arp_passes=beyond_a_router) as cluster:
        cluster.start()
        lost = [host.number for host in cluster.others(1)]
        cluster.lose_power(*lost)
        until(
            lambda: (
                cluster[1].states()
                == {"h1": "alive"} | dict.fromkeys((f"h{n}" for n in lost), "down")
            ),
            "all others to be down",
        )
        demand_dialled(cluster, 1, lost)
