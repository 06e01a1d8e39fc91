"""The README's firewall rules, on every host of a lab."""

import re

import pytest

from tests.house.project import ROOT
from tests.lab.cluster import Cluster
from tests.lab.netlab import NetLab
from tests.lab.waiting import until

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"
SERVE = "import socket; s = socket.create_server(('', 8080)); print(s.accept(), s.accept())"


@pytest.mark.lab
def test_the_two_ports_are_all_that_agents_need() -> None:
    """They find each other through it, and nothing else comes in."""
    (rules,) = re.findall(r"^```nft\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert "10.0.0.0/24" in rules
    with Cluster(3) as cluster:
        lab = cluster.lab
        for host in lab.hosts:
            lab.run(host, ["nft", "-f", "-"], rules.replace("10.0.0.0", "10.77.0.0"))
        cluster.start()
        cluster.start_apps("web")

        server = lab.popen(2, ["python3", "-c", SERVE])
        probe = ["python3", "-c", CONNECT]
        until(lambda: _succeeds(cluster, 2, [*probe, "127.0.0.1", "8080"]), "the server to listen")
        assert not _succeeds(cluster, 1, [*probe, NetLab.ipv4(2), "8080"])
        lab.run(2, ["nft", "flush", "ruleset"])
        assert _succeeds(cluster, 1, [*probe, NetLab.ipv4(2), "8080"])
        assert server.wait(10) == 0


def _succeeds(cluster: Cluster, host: int, argv: list[str]) -> bool:
    return cluster.lab.popen(host, argv, stderr=-3).wait(30) == 0
