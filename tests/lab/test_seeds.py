"""How hosts find each other: one seed, by address or by name, is enough for all of them."""

import pytest

from tests.lab.cluster import PORT, Cluster
from tests.lab.netlab import NetLab

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("ipv6", [False, True], ids=["IPv4", "IPv6"])
def test_one_seed_finds_everyone(ipv6: bool) -> None:
    """Four hosts that were told of the first alone see each other and what each registers."""
    with Cluster(4, ipv6=ipv6) as cluster:
        cluster.start()
        cluster.start_apps("web")
        addresses = {found["node"]: found["address"] for found in cluster[4].view()}

    address = NetLab.ipv6 if ipv6 else NetLab.ipv4
    assert addresses == {f"h{number}": address(number) for number in range(1, 5)}


def test_a_chain_of_seeds() -> None:
    """Each joins the one before it; the first and the last find each other, too."""
    with Cluster(4) as cluster:
        for host in cluster.hosts:
            host.start([cluster[host.number - 1].endpoint] if host.number > 1 else [])
        cluster.wait_until_known()
        cluster.start_apps("web")


def test_a_seed_s_name_stands_for_every_address() -> None:
    """A name with a dead address, a strange one and a live one leads to the live one."""
    with Cluster(3, seeds=[f"seeds.lab:{PORT}"]) as cluster:
        lab = cluster.lab
        known = [(address, "seeds.lab") for address in ("10.77.0.99", lab.ipv4(3), lab.ipv4(1))]
        for host in cluster.hosts:
            lab.name_addresses(host.number, known)
        cluster.start(1, 2)
        cluster[3].start(cluster.seeds)
        cluster.wait_until_known()
        cluster.start_apps("web")


def test_a_name_is_looked_up_again() -> None:
    """A seed that moves is found at its new address, by agents that have been running alone."""
    with Cluster(3, seeds=[f"seed.lab:{PORT}"]) as cluster:
        lab = cluster.lab
        lab.name_addresses(2, [("10.77.0.99", "seed.lab")])
        cluster[2].start(cluster.seeds)
        cluster[2].agent.line("serving alone")
        cluster[3].start([])
        lab.name_addresses(2, [(lab.ipv4(3), "seed.lab")])

        cluster.wait_until_known()


def test_every_address_advertises_the_one_towards_the_seed() -> None:
    """Bound to every address, a host is reached by the one that leads to its seed."""
    with Cluster(3) as cluster:
        for host in cluster.hosts:
            host.endpoint = f"0.0.0.0:{PORT}" if host.number > 1 else host.endpoint
            host.start(cluster.seeds if host.number > 1 else [])
        cluster.wait_until_known()
        cluster.start_apps("web")
        addresses = {found["node"]: found["address"] for found in cluster[1].view()}

    assert addresses == {f"h{number}": NetLab.ipv4(number) for number in range(1, 4)}
