"""A node that an operator has forgotten: gone everywhere, and welcome again."""

import os
from collections.abc import Iterator

import pytest

from tests.agent.harness import Cluster, Raw, wait_until


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three agents."""
    with Cluster("a", "b", "c") as running:
        yield running


def known(asker: Raw) -> dict[str, str]:
    """Return the states of the nodes that an agent knows."""
    return {it["node"]: it["state"] for it in asker.ask("members")["members"]}


def test_who_cannot_be_forgotten(cluster: Cluster) -> None:
    """Who is alive, the agent itself, and nobody."""
    with cluster["a"].raw() as a:
        alive = a.refusal("forget", node="b")
        assert (alive.code, alive.field) == (4, "node")
        assert "alive" in alive.message
        assert a.refusal("forget", node="a").code == 4
        assert a.refusal("forget", node="x").code == 1
        assert a.refusal("forget", node="").code == 2
        assert sorted(known(a)) == ["a", "b", "c"]


def test_one_that_was_killed(cluster: Cluster) -> None:
    """Its entries are gone on all, with who said so; and they are back when it is."""
    with cluster["a"].raw() as a, cluster["b"].raw() as b:
        watches = [a.watch("web"), b.watch("web")]
        for events in watches:
            assert events.present() == []
        with cluster["c"].raw() as c:
            web = c.register("web", port=80, lifetime=["static"])
        for events in watches:
            assert next(events).instance == web
        cluster["c"].kill()
        wait_until(lambda: known(a)["c"] == known(b)["c"] == "restarting")

        assert a.ask("forget", node="c") == {"node": "c", "state": "restarting"}

        for events in watches:
            removed = next(events)
            assert (removed.kind, removed.before, removed.cause) == (
                "removed",
                web,
                "node-forgotten",
            )
            assert removed.actor is not None
            assert removed.actor.uid == os.getuid()
        for asker in (a, b):
            assert asker.list("web") == []
            assert "c" not in known(asker)

        again = cluster.start("c")
        for events in watches:
            assert next(events).kind == "added"
        assert known(a)["c"] == "alive"
        again.kill()
