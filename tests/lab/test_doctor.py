"""`discoctl doctor` on real hosts: ports that a firewall blocks, addresses, a second agent."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.house.processes import Running
from tests.lab.cluster import PORT, Cluster
from tests.lab.hosts import STATE
from tests.lab.netlab import NetLab
from tests.lab.waiting import until

pytestmark = pytest.mark.lab
USER = "/run/user"  # where a second agent listens that a user started
FIREWALL = """
table inet firewall {{
    chain in {{
        type filter hook input priority 0
        ip saddr {source} tcp dport {{ {ports} }} drop
    }}
}}
"""


def examined(cluster: Cluster, host: int) -> tuple[int, list[Any]]:
    """Run `discoctl doctor` on a host; return its exit code and what it found."""
    ctl = [sys.executable, "-m", "discoagent.cli", "doctor", "-o", "json"]
    ran = subprocess.run(
        cluster.lab.command(host, ["env", f"XDG_RUNTIME_DIR={USER}", *ctl]),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ran.stdout, ran.stderr
    return ran.returncode, json.loads(ran.stdout)


def problems(cluster: Cluster, host: int) -> dict[str, tuple[str, str]]:
    """Let a host's agent be examined; return subject -> text and advice of its problems."""
    code, rows = examined(cluster, host)
    found = [row for row in rows if row["state"] != "ok"]
    assert {row["state"] for row in found} <= {"problem"}
    assert code == (1 if found else 0)
    assert len({row["subject"] for row in found}) == len(found)
    return {row["subject"]: (row["text"], row["advice"]) for row in found}


def second_agent(cluster: Cluster, *flags: str) -> Running:
    """Start another agent on host 1, on other ports, and wait until it is ready."""
    argv = [sys.executable, "-m", "discoagent.daemon", "--node", "another", "--insecure"]
    argv += ["--bind", f"{NetLab.ipv4(1)}:7900", "--state-dir", f"{STATE}-2", *flags]
    agent = Running(cluster.lab.command(1, argv))
    agent.line("^ready ")
    return agent


def test_healthy_hosts() -> None:
    """0, and nothing but what is well; off loopback as well as on it."""
    with Cluster(3) as cluster:
        cluster.start()
        for host in cluster.hosts:
            code, rows = examined(cluster, host.number)
            assert (code, {row["state"] for row in rows}) == (0, {"ok"}), rows


@pytest.mark.parametrize(
    ("ports", "named"),
    [((PORT, PORT + 1), "at its port"), ((PORT + 1,), "at the port after its port")],
)
def test_ports_that_are_blocked_one_way(ports: tuple[int, ...], named: str) -> None:
    """By a firewall on host 2 that lets nothing of host 1 in: both are told which port it is."""
    with Cluster(3) as cluster:
        rules = FIREWALL.format(source=NetLab.ipv4(1), ports=", ".join(map(str, ports)))
        cluster.lab.run(2, ["nft", "-f", "-"], rules)
        cluster.start()
        ((subject, (text, advice)),) = problems(cluster, 1).items()
        assert subject == "peer h2"
        assert named in text
        assert cluster[2].endpoint in text
        assert "open both ports in the firewalls" in advice
        ((subject, (text, advice)),) = problems(cluster, 2).items()
        assert subject == "peer h1"
        assert text.endswith(f"at our port {' nor at '.join(map(str, ports))}")
        assert "open both ports here" in advice
        assert problems(cluster, 3) == {}


def test_an_address_at_which_nobody_is() -> None:
    """Host 2 advertises one that is no host's: it is told so, and so are the others."""
    wrong = f"{NetLab.ipv4(99)}:{PORT}"
    with Cluster(2) as cluster:
        one, two = cluster.hosts
        one.start([])
        until(one.is_ready, "host 1 to be ready")
        two.start([one.endpoint], "--advertise", wrong)
        until(two.is_ready, "host 2 to be ready")
        text, advice = problems(cluster, 2)["advertise"]
        assert wrong in text
        assert "set `advertise` to an address of this host" in advice
        until(lambda: one.states().get("h2") == "down", "host 1 to give host 2 up")
        assert problems(cluster, 2).keys() == {"advertise", "peer h1"}
        ((subject, (text, advice)),) = problems(cluster, 1).items()
        assert subject == "peer h2"
        assert f"nothing answers at {wrong}" in text
        assert "`advertise`" in advice


def test_another_agent_that_listens_on_the_same_host() -> None:
    """At the path of a user's own agent: who speaks to which is a matter of luck."""
    with Cluster(1) as cluster:
        cluster.start()
        cluster.lab.run(1, ["mkdir", "-p", f"{USER}/discoagent"])
        path = f"{USER}/discoagent/agent.sock"
        with second_agent(cluster, "--cluster", "mine", "--socket", path):
            ((subject, (text, advice)),) = problems(cluster, 1).items()
        assert subject == "second agent"
        assert f"/run/discoagent/agent.sock, {path}" in text
        assert "stop all but one" in advice


def test_another_agent_of_the_same_cluster_on_the_same_host() -> None:
    """Wherever it listens."""
    with Cluster(2) as cluster:
        cluster.start()
        flags = ["--socket", "/run/another.sock", "--join", cluster[1].endpoint]
        with second_agent(cluster, *flags):
            ((subject, (text, advice)),) = problems(cluster, 1).items()
            assert problems(cluster, 2) == {}
        assert subject == "second agent"
        assert f"another at {NetLab.ipv4(1)}:7900 runs on this host too" in text
        assert "stop one of the two" in advice
