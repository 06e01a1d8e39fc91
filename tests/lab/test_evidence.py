"""After a fault an agent says who heard what, when and by which path."""

from typing import Any

import pytest

from tests.lab.cluster import now, running
from tests.lab.hosts import Host
from tests.lab.test_healing import DOWN_AFTER, SLACK
from tests.lab.waiting import until


def evidence(host: Host, node: str) -> Any:
    """Return what a host's agent knows of another now."""
    return host.disco.why(node)["evidence"]


@pytest.mark.lab
def test_a_cut_and_a_death() -> None:
    """Whom only others hear is alive by their word; who is dead is silent to all who were asked."""
    with running(3) as cluster:
        first, second, _ = cluster.hosts
        cluster.lab.cut(1, 2)
        told = until(
            lambda: [it for it in [evidence(first, "h2")] if it["told_by"]], "h3 to tell of h2"
        )[0]
        assert told["told_by"] == "h3"
        assert told["told_ms"] < told["spoke_ms"]
        assert first.states()["h2"] == "alive"
        cluster.lab.heal()

        begin = now()
        cluster.lose_power(3)
        for host in (first, second):
            host.app.wait_for("removed", "web/web-80@h3", begin, DOWN_AFTER + SLACK)
            found = host.disco.why("h3")
            assert found["state"] == "down"
            assert found["clears"] is not None
            last = found["changes"][-1]
            assert last["reason"].startswith("silent for 4.")
            assert last["evidence"]["port"] == "silent"
            assert last["evidence"]["spoke_ms"] > 1_000 * DOWN_AFTER
            (witness,) = last["evidence"]["witnesses"]
            assert witness["node"] == ("h2" if host is first else "h1")
            assert witness["heard_ms"] > 1_000 * (DOWN_AFTER - SLACK)


@pytest.mark.lab
def test_an_agent_that_hangs() -> None:
    """Its kernel accepts for it, and it says nothing: the agent is gone, its host lives."""
    with running(3) as cluster:
        first = cluster[1]
        cluster[3].freeze()
        until(lambda: first.states()["h3"] == "restarting", "h3 to be taken for restarting")
        # Another may have seen it first, and told h1 of it before its own dial was over.
        until(lambda: first.disco.why("h3")["evidence"]["port"] == "mute", "h1's own dial")
        found = first.disco.why("h3")
        cluster[3].thaw()
        until(lambda: first.states()["h3"] == "alive", "h3 to be alive")

        assert found["state"] == "restarting"
        assert found["evidence"]["silence_ms"] > 1_000
        assert "its next life" in found["clears"]
        assert found["due_ms"] > 0
        states = [change["after"] for change in first.disco.why("h3")["changes"]]
        assert states[-1] == "alive"
        assert "restarting" in states


@pytest.mark.lab
def test_ends_of_an_agent_whose_host_lives() -> None:
    """A kill is told by the port that refuses; a leave by the node itself."""
    with running(4, "--set", "timing.restart_grace=0s") as cluster:
        first = cluster[1]
        cluster.kill_agents(3, lost=False)
        until(lambda: first.states()["h3"] == "down", "h3 to be down")
        cluster[4].leave()
        until(lambda: first.states()["h4"] == "left", "h4 to have left")
        killed, gone = (first.disco.why(node)["changes"][-1] for node in ("h3", "h4"))

        assert killed["evidence"]["port"] == "refused" or killed["evidence"]["refused_by"]
        assert gone["reason"] == "it said that it leaves"


@pytest.mark.lab
def test_a_split_and_its_end() -> None:
    """Each side says whom nobody heard; when it is over, what made a node alive again."""
    with running(4) as cluster:
        first = cluster[1]
        cluster.lab.split({1, 2}, {3, 4})
        until(lambda: first.states()["h3"] in ("down", "suspect"), "h3 to be silent")
        silent = first.disco.why("h3")
        cluster.lab.heal()
        cluster.wait_until_known()
        back = first.disco.why("h3")["changes"][-1]

        assert silent["evidence"]["silence_ms"] > 1_900
        assert silent["evidence"]["port"] in ("silent", None)
        assert silent["clears"] is not None
        assert back["after"] == "alive"
        assert back["evidence"]["spoke_ms"] < 3_000
