"""An agent whose deltas and heartbeats are lost: the others see the gap and fetch it."""

import signal
from collections.abc import Iterator

import pytest

from tests.agent.harness import Cluster, Raw, wait_until

FAST = {
    "timing.heartbeat_interval": "200ms",
    "timing.suspect_after": "500ms",
    "timing.down_after": "1800ms",
    "timing.restart_grace": "5s",
}
LOST = 20
PROBES = 6  # one every half a second: longer than a silent peer is given


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three agents; what `a` pushes and beats can be made to be lost."""
    running = Cluster("b", "c", settings=FAST)
    with running:
        running.start("a", program="tests.agent.lossy")
        running.wait_acquainted()
        yield running


def lose(cluster: Cluster) -> None:
    """From now on no delta and no heartbeat of `a` reaches anybody."""
    cluster["a"].process.send_signal(signal.SIGUSR1)
    cluster["a"].logged("losing")


def end_loss(cluster: Cluster) -> None:
    """From now on everything does."""
    cluster["a"].process.send_signal(signal.SIGUSR2)
    cluster["a"].logged("sound again")


def received(asker: Raw, kind: str) -> int:
    """Return how many messages of this kind an agent has had from its peers."""
    counters: dict[str, int] = asker.ask("status")["counters"]
    return counters.get(f"received.{kind}", 0)


def names(asker: Raw) -> set[str]:
    """Return the services that an agent lists."""
    return {instance.service for instance in asker.list()}


def test_the_next_delta_shows_the_gap(cluster: Cluster) -> None:
    """It is kept, what is missing is fetched, and each change is seen once, in order."""
    with cluster["a"].raw() as a, cluster["b"].raw() as b, cluster["c"].raw() as c:
        events = [b.watch(), c.watch()]
        for watched in events:
            watched.present()
        lose(cluster)
        for number in range(LOST):
            a.register(f"s{number:02}")
        end_loss(cluster)
        a.register("t")
        for watched in events:
            seen = [next(watched) for _ in range(LOST + 1)]
            assert {event.kind for event in seen} == {"added"}
            found = [event.instance.service for event in seen if event.instance]
            assert found == [*(f"s{number:02}" for number in range(LOST)), "t"]


def test_a_heartbeat_shows_what_no_delta_did(cluster: Cluster) -> None:
    """The last change before a quiet time is lost: the owner's clock tells of it."""
    with cluster["a"].raw() as a, cluster["b"].raw() as b, cluster["c"].raw() as c:
        a.register("kept", id="kept")
        wait_until(lambda: names(b) == names(c) == {"kept"})
        lose(cluster)
        a.ask("deregister", id="kept")
        a.register("new")
        end_loss(cluster)
        wait_until(lambda: names(b) == names(c) == {"new"})


def test_without_any_heartbeat(cluster: Cluster) -> None:
    """Who is asked answers: nobody takes the silent one for dead, and its changes arrive."""
    with cluster["a"].raw() as a, cluster["b"].raw() as b:
        events = b.watch()
        events.present()
        a.register("before")
        assert next(events).kind == "added"
        lose(cluster)
        before = received(b, "ProbeReply")
        wait_until(lambda: received(b, "ProbeReply") >= before + PROBES)
        a.register("unheard")
        change = next(events)
        assert (change.kind, change.instance and change.instance.service) == ("added", "unheard")
        end_loss(cluster)
        a.register("heard")
        assert next(events).kind == "added"
