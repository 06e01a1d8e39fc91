"""A host is gone for good, an operator says; and a host that was said to be so comes back."""

import pytest

from tests.lab.cluster import now, running
from tests.lab.test_healing import DOWN_AFTER, HEALED, SLACK
from tests.lab.waiting import until

EVERYWHERE = 1.0  # seconds in which all have forgotten


@pytest.mark.lab
def test_forgotten_everywhere_and_welcome_again() -> None:
    """Whoever was asked tells the others; it was only cut off, and its own word brings it back."""
    with running(4) as cluster:
        first, *others = cluster.others(4)
        begin = now()
        cluster.lab.split({1, 2, 3}, {4})
        for host in cluster.others(4):
            host.app.wait_for("removed", "web/web-80@h4", begin, DOWN_AFTER + SLACK)

        assert first.disco.forget("h4") == {"node": "h4", "state": "down"}
        for host in others:
            until(lambda host=host: "h4" not in host.states(), "h4 to be forgotten", EVERYWHERE)  # type: ignore[misc]
        assert first.disco.why("h4")["state"] == "forgotten"
        assert cluster[4].states()["h1"] == "down"

        healed = now()
        cluster.lab.heal()
        for host in cluster.others(4):
            host.app.wait_for("added", "web/web-80@h4", healed, 2 * HEALED)
        cluster.wait_until_known()
