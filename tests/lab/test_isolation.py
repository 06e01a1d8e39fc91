"""Two of five hosts are cut off: they wait and say so, the others take them down."""

import itertools

import pytest

from tests.lab.cluster import now, running, told
from tests.lab.test_healing import DOWN_AFTER, HEALED, SLACK
from tests.lab.waiting import until


@pytest.mark.lab
def test_the_smaller_side_waits() -> None:
    """It shows what it knew, as suspect and stale, without an event, and is right in the end."""
    with running(5) as cluster:
        begin = now()
        cluster.lab.split({1, 2, 3}, {4, 5})
        larger, smaller = cluster.others(4, 5), cluster.others(1, 2, 3)
        for host, number in itertools.product(larger, (4, 5)):
            name = f"web/web-80@h{number}"
            gone = host.app.wait_for("removed", name, begin, DOWN_AFTER + SLACK)
            assert gone.cause == "node-down"
            assert host.disco.status()["isolated"] is False
        for host in smaller:
            until(lambda host=host: host.disco.status()["isolated"], "it to know")  # type: ignore[misc]
            assert host.disco.status()["isolated_since"] is not None
            states = {it.node: it.state for it in host.disco.list("web")}
            assert [states[f"h{number}"] for number in (1, 2, 3)] == ["suspect"] * 3
            assert DOWN_AFTER / 2 < (host.disco.stale or 0) < now() - begin + 2

        cluster.lab.heal()
        healed = now()
        for host, number in itertools.product(larger, (4, 5)):
            host.app.wait_for("added", f"web/web-80@h{number}", healed, HEALED)
        cluster.wait_until_known()
        until(
            lambda: not any(host.disco.status()["isolated"] for host in cluster.hosts),
            "nobody to think that it is cut off",
        )
        assert told({host.node: host.app.changes(begin) for host in smaller}) == {
            "h4": [],
            "h5": [],
        }
