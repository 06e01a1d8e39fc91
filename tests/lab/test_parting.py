"""How agents and applications end and come back: left, stopped, killed, restarted."""

import os
import signal

import pytest

from tests.lab.cluster import Cluster, names, now, running, told
from tests.lab.waiting import until

pytestmark = pytest.mark.lab

GRACE = 5.0  # seconds; the default of 15 only takes longer
SHORT_GRACE = ("--set", f"timing.restart_grace={GRACE:g}s")
SLACK = 1.0  # seconds that may go by beyond a promised time


def test_a_clean_leave() -> None:
    """All that the node had is gone everywhere, with its cause; the agent ends well."""
    with Cluster(3) as cluster:
        cluster.start()
        cluster.start_apps("web", "db")
        begin = now()

        assert cluster[3].leave() == 0

        for host in cluster.others(3):
            for name in names([cluster[3]], ["web", "db"]):
                assert host.app.wait_for("removed", name, begin).cause == "node-left"
            assert host.states()["h3"] == "left"


def test_an_application_is_killed() -> None:
    """Its entries are gone on every host, with a cause; the other host's stay."""
    with running(3) as cluster:
        begin = now()
        cluster[2].app.signal(signal.SIGKILL)

        for host in cluster.others(2):
            cause = host.app.wait_for("removed", "web/web-80@h2", begin).cause
            assert cause in ("exit:SIGKILL", "exit")  # as the kernel is new or old
        cluster.wait_until_listed(names(cluster.others(2), ["web"]))


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_restart_is_no_event(kill: bool) -> None:
    """The agent ends and starts again: nobody sees anything happen to services that lived on."""
    with running(3) as cluster:
        before = cluster[1].view()
        begin = now()
        if kill:
            cluster[3].kill_agent()
        else:
            assert cluster[3].stop_agent() == 0
        cluster.start(3)
        settled = cluster.changes_within(5, begin)

        assert told(settled) == {}
        assert [host.view() for host in cluster.hosts] == [before] * 3
        assert [member.node for member in cluster[1].disco.members()] == ["h1", "h2", "h3"]


def test_a_restart_shows_what_ended_meanwhile() -> None:
    """What lived on is silent; what ended while the agent was away is removed, and only that."""
    with running(3) as cluster:
        begin = now()
        cluster[3].kill_agent()
        cluster[3].app.signal(signal.SIGKILL)
        cluster.start(3)

        for host in cluster.others(3):
            host.app.wait_for("removed", "web/web-80@h3", begin)
        assert set(told(cluster.changes(begin))) == {"h1", "h2"}


def test_a_stopped_agent_s_entries_are_held() -> None:
    """They stay for `restart_grace`, shown as restarting, and leave then, not before."""
    with running(3, *SHORT_GRACE) as cluster:
        begin = now()
        assert cluster[3].stop_agent() == 0
        until(lambda: cluster[1].states()["h3"] == "restarting", "h3 to be restarting")

        for host in cluster.others(3):
            removed = host.app.wait_for("removed", "web/web-80@h3", begin, GRACE + SLACK)
            assert removed.seen - begin >= GRACE
            assert removed.cause == "node-down"
            assert host.states()["h3"] == "down"


def test_a_killed_agent_s_entries_leave() -> None:
    """Without a farewell, too, they leave after `restart_grace`."""
    with running(3, *SHORT_GRACE) as cluster:
        begin = now()
        cluster[3].kill_agent()

        for host in cluster.others(3):
            removed = host.app.wait_for("removed", "web/web-80@h3", begin, GRACE + SLACK)
            assert removed.cause == "node-down"


def test_a_second_host_of_one_name_is_refused() -> None:
    """It says who bears the name and exits 6; the first one is not disturbed."""
    with Cluster(3) as cluster:
        cluster.start(1, 2)
        cluster[3].start([*cluster.seeds], "--node", "h2")

        assert cluster[3].agent.code() == 6
        cluster[3].agent.line(f"h2.*{cluster[2].endpoint}")
        assert cluster[1].states() == {"h1": "alive", "h2": "alive"}
        assert cluster[2].agent.process.poll() is None


def test_the_lab_s_processes_are_real() -> None:
    """The agent's own pid is known, so that a signal reaches it and nothing between."""
    with Cluster(1) as cluster:
        cluster.start()
        pid = cluster[1].agent.process.pid

        assert cluster[1].disco.status()["pid"] == pid
        assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
