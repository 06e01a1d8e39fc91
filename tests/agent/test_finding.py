"""When an agent that was started anew has caught up with what its former life knew."""

import asyncio
from collections.abc import Callable

import pytest

from discoagent.core.timing import Timing
from discoagent.local.peers import finding as module
from discoagent.local.peers.finding import Finding
from discoagent.store import KnownPeer
from tests.core.cluster import Cluster
from tests.core.vocabulary import UPDATED

FORMER = [KnownPeer("127.0.0.1:1", "b", 7), KnownPeer("127.0.0.1:2", "c", 7)]
LONG_GONE = KnownPeer("127.0.0.1:3", "z", 6)


def finding_of(cluster: Cluster, caught_up: Callable[[], None]) -> Finding:
    """Let node `a` look for its former peers; what it says to them goes nowhere."""
    a = cluster.running["a"]
    return Finding(
        loop=asyncio.get_running_loop(),
        replica=a,
        former=[*FORMER, LONG_GONE],
        perform=lambda _: None,
        now=lambda: cluster.now,
        ready_line="ready",
        caught_up=caught_up,
    )


def test_once_all_who_were_there_last_are_here_and_settled() -> None:
    async def story() -> None:
        cluster, told = Cluster(), list[bool]()
        cluster.start("a")
        finding = finding_of(cluster, lambda: told.append(True))
        finding.use(())
        searching = asyncio.ensure_future(finding.run())
        await asyncio.sleep(0)
        cluster.start("b", "a")
        finding.look()
        assert (finding.readiness.ready, told) == (True, [])

        cluster.start("c", "a", settled=False)
        finding.look()
        assert told == []

        cluster.run("c", cluster.running["c"].settle(UPDATED, cluster.now))
        finding.look()
        finding.look()
        assert told == [True]
        searching.cancel()
        finding.close()

    asyncio.run(story())


def test_who_does_not_come_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    timing = Timing()
    monkeypatch.setattr(module, "LATE", -timing.down_after)

    async def story() -> None:
        cluster, told = Cluster(timing), asyncio.Event()
        cluster.start("a")
        finding = finding_of(cluster, told.set)
        searching = asyncio.ensure_future(finding.run())

        await asyncio.wait_for(told.wait(), 10)
        searching.cancel()
        finding.close()

    asyncio.run(story())


def test_who_is_known_and_has_not_said_all_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the time for those who are silent: what it has is on its way."""
    timing = Timing()
    monkeypatch.setattr(module, "LATE", -timing.down_after)  # all patience is over at once
    monkeypatch.setattr(module, "LOOK_AGAIN", 0.001)

    async def story() -> None:
        cluster, told = Cluster(timing), asyncio.Event()
        cluster.start("a")
        cluster.start("b", "a")
        cluster.start("c", "a", settled=False)
        finding = finding_of(cluster, told.set)
        looks = 0
        lose = finding._lose_patience

        def counted(grace: float) -> None:
            nonlocal looks
            looks += 1
            if looks == 5:
                assert not told.is_set()
                cluster.run("c", cluster.running["c"].settle(UPDATED, cluster.now))
            lose(grace)

        monkeypatch.setattr(finding, "_lose_patience", counted)
        searching = asyncio.ensure_future(finding.run())
        await asyncio.wait_for(told.wait(), 10)
        searching.cancel()
        finding.close()

        assert looks == 5

    asyncio.run(story())
