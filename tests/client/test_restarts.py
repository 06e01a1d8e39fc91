"""An agent that is restarted, killed or stopped: held registrations and watches go on."""

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from discoagent.client import Disco, Registration
from discoagent.client.disco import Spec
from discoagent.errors import AgentUnavailable, TimeoutExpired
from discoagent.instance import Event
from tests.agent.harness import DEADLINE, Cluster, wait_until


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Return one agent."""
    with Cluster("a") as cluster:
        yield cluster


@pytest.fixture
def disco(cluster: Cluster) -> Iterator[Disco]:
    with Disco(cluster["a"].socket, timeout=DEADLINE) as disco:
        yield disco


def shown(event: Event) -> tuple[str, str | None]:
    """Return an event's kind and the id it is about."""
    instance = event.instance or event.before
    return event.kind, instance.id if instance else None


def ids(disco: Disco, service: str) -> set[str]:
    """Return what is listed of a service."""
    return {it.id for it in disco.list(service)}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_restart_is_no_event_on_any_agent(number: signal.Signals) -> None:
    with (
        Cluster("a", "b") as cluster,
        Disco(cluster["a"].socket, timeout=DEADLINE) as disco,
        Disco(cluster["b"].socket, timeout=DEADLINE) as elsewhere,
    ):
        links: list[bool] = []
        held = [
            disco.register("web", id="process", port=80, meta={"a": "b"}),
            disco.register("web", id="lease", ttl="30s"),
            disco.register("web", id="static", static=True),
        ]
        held[0].update(tag="late")
        elsewhere.register("db", id="remote")
        wait_until(lambda: len(elsewhere.list()) == len(disco.list()) == 4)
        before = elsewhere.list()
        near, far = disco.watch(on_link=links.append), elsewhere.watch()
        for watch in (near, far):
            assert [next(watch).kind for _ in range(5)] == ["added"] * 4 + ["synced"]

        cluster["a"].stop(number)
        with pytest.raises(AgentUnavailable):
            disco.list()
        cluster.start("a")
        wait_until(lambda: ids(disco, "web") == {"process", "lease", "static"})
        disco.register("mark", id="end")

        assert [shown(next(watch)) for watch in (near, far)] == [("added", "end")] * 2
        assert links == [False, True]
        assert [it.lost for it in held] == [None] * 3
        assert [(it.name, it.ref) for it in elsewhere.list("web", "db")] == [
            (it.name, it.ref) for it in before
        ]


def test_a_watch_shows_what_changed_while_its_agent_was_away() -> None:
    with (
        Cluster("a", "b") as cluster,
        Disco(cluster["a"].socket, timeout=DEADLINE) as disco,
        Disco(cluster["b"].socket, timeout=DEADLINE) as elsewhere,
    ):
        ends = elsewhere.register("s", id="ends")
        changes = elsewhere.register("s", id="changes", port=1)
        elsewhere.register("s", id="stays")
        wait_until(lambda: len(disco.list("s")) == 3)
        watch = disco.watch("s")
        assert [next(watch).kind for _ in range(4)] == ["added"] * 3 + ["synced"]

        cluster["a"].kill()
        ends.close()
        changes.update(port=2)
        elsewhere.register("s", id="comes")
        cluster.start("a")

        events = [next(watch) for _ in range(3)]
        assert sorted(map(shown, events)) == [
            ("added", "comes"),
            ("removed", "ends"),
            ("updated", "changes"),
        ]
        (updated,) = [event for event in events if event.kind == "updated"]
        assert updated.before is not None
        assert updated.instance is not None
        assert (updated.before.port, updated.instance.port) == (1, 2)


def test_all_agents_are_killed_and_come_back_one_after_the_other() -> None:
    """The first serves alone at first, and does not know what the other has."""
    with (
        Cluster("a", "b") as cluster,
        Disco(cluster["a"].socket, timeout=DEADLINE) as disco,
        Disco(cluster["b"].socket, timeout=DEADLINE) as elsewhere,
    ):
        elsewhere.register("s", id="remote")
        disco.register("s", id="local")
        wait_until(lambda: len(disco.list("s")) == 2)
        watch = disco.watch("s")
        assert [next(watch).kind for _ in range(3)] == ["added", "added", "synced"]

        for node in ("a", "b"):
            cluster[node].kill()
        cluster.start("a")
        assert ids(disco, "s") <= {"local"}
        cluster.start("b")
        wait_until(lambda: ids(disco, "s") == {"local", "remote"})
        disco.register("s", id="end")

        assert shown(next(watch)) == ("added", "end")


def test_a_local_one_whose_client_ended_meanwhile_is_gone(cluster: Cluster, disco: Disco) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as owner:
        disco.register("s", id="gone", pid=owner.pid)
        watch = disco.watch("s")
        assert [next(watch).kind for _ in range(2)] == ["added", "synced"]
        cluster["a"].kill()
        owner.kill()
    cluster.start("a")

    event = next(watch)

    assert shown(event) == ("removed", "gone")


def test_what_is_changed_right_after_a_restart_is_changed(cluster: Cluster, disco: Disco) -> None:
    """Whether the background was quicker to say it again or not."""
    held = [disco.register("s", id=str(n), port=1) for n in range(50)]
    for round_ in range(2, 4):
        cluster["a"].kill()
        cluster.start("a")

        for it in held:
            it.update(port=round_)

        assert [it.instance.port for it in held] == [round_] * 50
        wait_until(lambda: len(ids(disco, "s")) == 50)
        assert {it.port for it in disco.list("s")} == {round_}


def test_ten_thousand_are_said_again(cluster: Cluster, disco: Disco) -> None:
    results = disco.register_many([Spec("bulk", id=str(n), port=1) for n in range(10_000)])
    lease = disco.register("lease", ttl="1500ms")
    cluster["a"].kill()
    cluster.start("a")

    wait_until(
        lambda: {it["service"]: it["total"] for it in disco.services()}.get("bulk") == 10_000
    )

    assert all(isinstance(it, Registration) and it.lost is None for it in results)
    assert lease.lost is None


def test_one_that_is_closed_while_the_agent_is_away_does_not_come_back(
    cluster: Cluster, disco: Disco
) -> None:
    closed = disco.register("s", id="closed")
    disco.register("s", id="kept")
    cluster["a"].kill()
    closed.close()
    cluster.start("a")

    wait_until(lambda: ids(disco, "s") == {"kept"})


def test_one_that_is_closed_while_the_agent_hangs_is_gone_when_it_goes_on(cluster: Cluster) -> None:
    agent = cluster["a"]
    with Disco(agent.socket, timeout=1) as disco, Disco(agent.socket, timeout=DEADLINE) as other:
        closed = disco.register("s", id="closed")
        watch = other.watch("s")
        assert [next(watch).kind for _ in range(2)] == ["added", "synced"]
        agent.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(TimeoutExpired, match=agent.socket):
                disco.ping()
            closed.close()
        finally:
            agent.process.send_signal(signal.SIGCONT)

        assert shown(next(watch)) == ("removed", "closed")


def test_a_client_that_is_closed_while_the_agent_is_away_leaves_nothing(
    cluster: Cluster, disco: Disco
) -> None:
    """The agent has kept what lives, and the process lives; another client of it is not touched."""
    with Disco(cluster["a"].socket, timeout=DEADLINE) as closed:
        closed.register("s", id="process")
        closed.register("s", id="lease", ttl="60s")
        closed.register("s", id="anew")
        disco.register("s", id="kept")
        cluster["a"].kill()
    cluster.start("a")
    disco.register("s", id="anew", port=5)

    wait_until(lambda: keepers() == 1)

    assert ids(disco, "s") == {"kept", "anew"}


def keepers() -> int:
    """Return how many clients have something to say in the background."""
    return [thread.name for thread in threading.enumerate()].count("discoagent-keeper")


TENANT = """
import sys, threading
from discoagent.client import Disco
with Disco(sys.argv[1]) as disco:
    it = disco.register("s", id="x")
    print("held", flush=True)
    pause = threading.Event()
    while it.lost is None:
        pause.wait(0.02)
    print(type(it.lost).__name__, flush=True)
"""


def test_an_id_that_was_taken_meanwhile_is_lost(cluster: Cluster, disco: Disco) -> None:
    """Its client slept while the agent was restarted without its state; who has the id keeps it."""
    with subprocess.Popen(
        [sys.executable, "-c", TENANT, cluster["a"].socket],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as tenant:
        assert tenant.stdout is not None
        assert tenant.stdout.readline() == "held\n"
        tenant.send_signal(signal.SIGSTOP)
        cluster["a"].kill()
        shutil.rmtree(cluster["a"].state)
        cluster.start("a")
        mine = disco.register("s", id="x")
        tenant.send_signal(signal.SIGCONT)

        said, logged = tenant.communicate(timeout=DEADLINE)

    assert said == "Conflict\n"
    assert "s/x@a is lost" in logged
    assert disco.get("s/x") == mine.instance


def test_a_watch_of_an_agent_that_never_returns_can_be_closed(
    cluster: Cluster, disco: Disco
) -> None:
    watch = disco.watch(timeout=DEADLINE)
    assert next(watch).kind == "synced"
    cluster["a"].kill()
    closer = threading.Timer(0.3, watch.close)
    closer.start()

    assert list(watch) == []
    closer.join()


def test_agent_restarts_during_the_present_of_a_watch(cluster: Cluster, disco: Disco) -> None:
    """Cut off after some batches of a long present: each instance is shown once."""
    disco.register_many([Spec("bulk", id=str(n), port=1) for n in range(20_000)])
    watch = disco.watch("bulk")
    seen = [shown(next(watch))[1] for _ in range(500)]
    cluster["a"].kill()
    cluster.start("a")

    for event in watch:
        if event.kind == "synced":
            break
        assert event.kind == "added"
        seen.append(shown(event)[1])
    while len(seen) < 20_000:
        event = next(watch)
        assert event.kind == "added"
        seen.append(shown(event)[1])

    assert len(set(seen)) == 20_000
