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
