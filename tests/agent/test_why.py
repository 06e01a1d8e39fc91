"""Why an agent sees another as it does, after real ends."""

import signal
from typing import Any

from tests.agent.harness import Cluster, Raw, wait_until


def states(asker: Raw, node: str) -> list[str]:
    """Return through which states a node has gone."""
    return [change["after"] for change in asker.ask("why", node=node)["changes"]]


def last(asker: Raw, node: str, state: str) -> Any:
    """Return what is told of a node once it is in that state."""
    wait_until(lambda: asker.ask("why", node=node)["state"] == state)
    return asker.ask("why", node=node)


def test_each_end_has_its_evidence() -> None:
    """Killed: its port refuses. Stopped: it said so. Left: for good. Forgotten: by whom."""
    with Cluster("a", "b", "c", "d") as cluster, cluster["a"].raw() as a:
        alive = a.ask("why", node="b")
        assert (alive["state"], alive["clears"], alive["due_ms"]) == ("alive", None, None)
        assert alive["evidence"]["spoke_ms"] is not None
        assert a.ask("why", node="a")["changes"] == []
        assert a.refusal("why", node="x").code == 1

        cluster["b"].kill()
        killed = last(a, "b", "restarting")
        assert killed["reason"] == "its port refuses"
        assert killed["evidence"]["port"] == "refused"
        assert 10_000 < killed["due_ms"] <= 15_000
        assert killed["changes"][-1]["evidence"]["refused_ms"] is not None

        cluster["c"].stop(signal.SIGTERM)
        stopped = last(a, "c", "restarting")
        assert stopped["evidence"]["farewell"] is True

        with cluster["d"].raw() as d:
            d.ask("leave")
        left = last(a, "d", "left")
        assert left["reason"] == "it said that it leaves"
        assert left["changes"][-1]["before"] == "alive"

        a.ask("forget", node="b")
        forgotten = last(a, "b", "forgotten")
        assert (forgotten["evidence"], forgotten["reason"]) == (None, "an operator said so here")
        assert states(a, "b") == ["alive", "restarting", "forgotten"]
