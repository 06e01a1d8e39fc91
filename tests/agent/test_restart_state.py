"""Restarts without the former state, or with a broken one; and what many restarts leave behind."""

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from discoagent.checks import Check
from discoagent.client import Disco
from tests.agent.harness import DEADLINE, Cluster, wait_until
from tests.agent.restarting import NODES, SIGNALS, Witness, mark, restarted, told


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three agents."""
    with Cluster(*NODES) as running:
        yield running


def promised(seconds: float) -> pytest.MarkDecorator:
    """Let a test have as long as anything may take, and in its full form these seconds alone."""
    return pytest.mark.parametrize(
        "within", [DEADLINE, pytest.param(seconds, marks=pytest.mark.soak)]
    )


@promised(2.0)
@pytest.mark.parametrize("number", SIGNALS)
def test_without_its_state_an_idle_client_is_enough(
    cluster: Cluster, number: int, within: float
) -> None:
    """It says its registration again by itself: no call of the application, and no event."""
    with (
        Disco(cluster["a"].socket, timeout=DEADLINE) as disco,
        Witness(cluster["b"].socket) as b,
    ):
        held = disco.register("idle", id="x", meta={"a": "b"})
        b.until("added", "x")
        b.events.clear()
        cluster["a"].stop(number)
        shutil.rmtree(cluster["a"].state)
        cluster.start("a")
        back = time.monotonic()
        with cluster["a"].raw() as asker:
            wait_until(lambda: asker.list("idle"), within)
            print(f"back after {time.monotonic() - back:.2f} s")
            (it,) = asker.list("idle")
        wait_until(lambda: _settled(cluster))
        mark(cluster, "a", "end")

        assert told(b.until("added", "end")) == []
        assert it.ref == held.instance.ref


def test_without_its_state_what_is_well_stays_so(cluster: Cluster) -> None:
    """Its checks are asked before others are told of it: nobody sees it pending meanwhile."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Disco(cluster["a"].socket, timeout=DEADLINE) as disco,
        Witness(cluster["b"].socket) as b,
    ):
        port = listener.getsockname()[1]
        disco.register("web", id="x", check=Check.tcp(f"127.0.0.1:{port}", interval=0.2))
        b.until("updated", "x")
        b.events.clear()
        cluster["a"].stop(signal.SIGKILL)
        shutil.rmtree(cluster["a"].state)
        cluster.start("a")
        with cluster["a"].raw() as asker:
            wait_until(lambda: [it.state for it in asker.list("web")] == ["passing"])
        wait_until(lambda: _settled(cluster))
        mark(cluster, "a", "end")

        assert told(b.until("added", "end")) == []


def _settled(cluster: Cluster) -> bool:
    """Has the agent begun so long ago that nothing of its former life is held any more?"""
    return bool(cluster["a"].status()["uptime_ms"] > 3_500)


@promised(3.0)
def test_without_its_state_and_with_a_clock_set_back(cluster: Cluster, within: float) -> None:
    """The cluster remembers a higher life: the agent begins one above it, with what it has."""
    with (
        Disco(cluster["a"].socket, timeout=DEADLINE) as disco,
        Witness(cluster["b"].socket) as b,
        Witness(cluster["c"].socket) as c,
        cluster["b"].raw() as asker,
    ):
        disco.register("idle", id="x")
        for witness in (b, c):
            witness.until("added", "x")
            witness.events.clear()
        former = cluster["a"].status()["incarnation"]
        cluster["a"].kill()
        shutil.rmtree(cluster["a"].state)
        cluster.start("a", program="tests.agent.year_ago")
        began = time.monotonic()
        wait_until(lambda: _state(asker.ask("members")["members"], "a")["state"] == "alive", within)
        wait_until(lambda: _alive_and_listed(cluster), began + within - time.monotonic())
        print(f"back after {time.monotonic() - began:.2f} s")
        assert cluster["a"].status()["incarnation"] == former + 1
        wait_until(lambda: _settled(cluster))
        mark(cluster, "a", "end")

        for witness in (b, c):
            assert told(witness.until("added", "end")) == []
        members = asker.ask("members")["members"]
        assert [member["node"] for member in members] == list(NODES)
        assert [it.name for it in asker.list("idle")] == ["idle/x@a"]

        restarted(cluster, "a", signal.SIGKILL)  # by the right clock
        mark(cluster, "a", "again")
        assert told(b.until("added", "again")) == [("added", "end", "registered")]


def _state(members: list[dict[str, str]], node: str) -> dict[str, str]:
    return next(member for member in members if member["node"] == node)


def _alive_and_listed(cluster: Cluster) -> bool:
    with cluster["a"].raw() as asker:
        return [it.name for it in asker.list("idle")] == ["idle/x@a"]


def test_killed_before_the_file_has_what_was_told() -> None:
    """What was answered, or seen elsewhere, is there again; what was ended is not."""
    with Cluster("a", "b") as cluster, Witness(cluster["b"].socket, "s") as b:
        for round_ in range(3):
            with cluster["a"].raw() as asker:
                asker.register("s", id=f"answered-{round_}", lifetime=["static"])
                asker.send("register", service="s", id=f"seen-{round_}", lifetime=["static"])
                b.until("added", f"seen-{round_}")
                restarted(cluster, "a", signal.SIGKILL)
            with cluster["a"].raw() as asker:
                assert {it.id for it in asker.list("s")} == {f"answered-{round_}", f"seen-{round_}"}
                asker.ask("deregister", id=f"s/answered-{round_}")
                asker.send("deregister", id=f"s/seen-{round_}")
                b.until("removed", f"seen-{round_}")
                restarted(cluster, "a", signal.SIGKILL)
            with cluster["a"].raw() as asker:
                assert asker.list("s") == []
        assert len(b.events) == 12


def restarts_cost_the_same(rounds: int, entries: int) -> None:
    """File, memory and the time of a start after many restarts are those after a few."""
    sizes, memory, starts = [], [], []
    with Cluster("a") as cluster, Disco(cluster["a"].socket, timeout=DEADLINE) as disco:
        for number in range(entries):
            disco.register("s", id=str(number), static=True)
        for round_ in range(rounds):
            restarted(cluster, "a", SIGNALS[round_ % 2])
            with cluster["a"].raw() as asker:
                began = time.perf_counter()
                assert len(asker.list("s")) == entries
                starts.append(time.perf_counter() - began)
            memory.append(cluster["a"].resident_kb)
            sizes.append(sum(path.stat().st_size for path in cluster["a"].state.iterdir()))
    few = max(4, rounds // 10)
    print(f"file {sizes[:3]} ... {sizes[-3:]} bytes, memory {memory[:3]} ... {memory[-3:]} kB")
    print(f"a read {min(starts[:few]):.4f} s ... {min(starts[-few:]):.4f} s")
    assert max(sizes[-few:]) <= 1.2 * max(sizes[:few])
    assert min(memory[-few:]) <= 1.1 * min(memory[:few])


def test_restarts_cost_the_same() -> None:
    restarts_cost_the_same(8, 100)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_restarts_cost_the_same() -> None:
    restarts_cost_the_same(100, 1_000)


@pytest.mark.parametrize("harm", ["garbage", "cut off"])
def test_a_broken_store_is_one_warning_and_no_event(cluster: Cluster, harm: str) -> None:
    """Nothing is lost that still lives."""
    with (
        Disco(cluster["a"].socket, timeout=DEADLINE) as disco,
        Witness(cluster["b"].socket) as b,
    ):
        disco.register("s", id="x")
        b.until("added", "x")
        b.events.clear()
        cluster["a"].stop()
        file = cluster["a"].state / "agent.db"
        if harm == "garbage":
            file.write_bytes(os.urandom(50_000))
        else:
            os.truncate(file, 6_000)
        agent = cluster.start("a")
        wait_until(lambda: _settled(cluster))
        mark(cluster, "a", "end")

        assert told(b.until("added", "end")) == []
        assert sum("set aside" in line for line in agent.lines) == 1
        assert len(list(agent.state.glob("agent.db.broken-*"))) == 1


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare"
)
def test_a_full_disk_is_one_warning_and_no_event(cluster: Cluster) -> None:
    """An agent that can keep nothing is told everything again by the clients that hold it."""
    with (
        Disco(cluster["a"].socket, timeout=DEADLINE) as disco,
        Witness(cluster["b"].socket) as b,
    ):
        disco.register("s", id="static", static=True)
        disco.register("s", id="process")
        for number in SIGNALS:
            cluster["a"].stop(number)
            agent = cluster.start("a", program="tests.agent.full_disk")
            assert sum("cannot be written" in line for line in agent.lines) == 1
            disco.register("s", id=f"after-{number}")
        restarted(cluster, "a", signal.SIGKILL)
        wait_until(lambda: _settled(cluster))
        mark(cluster, "a", "end")

        added = ["static", "process", *(f"after-{number}" for number in SIGNALS)]
        assert told(b.until("added", "end")) == [("added", it, "registered") for it in added]


def test_former_peers_are_found_without_a_seed(cluster: Cluster) -> None:
    """Whoever was told of nobody still knows who was there."""
    wait_until(lambda: _knows_peers(cluster))
    cluster["a"].stop()
    agent = cluster.start("a", join=())

    with agent.raw() as asker:
        wait_until(
            lambda: (
                {member["state"] for member in asker.ask("members")["members"]} == {"alive"}
                and len(asker.ask("members")["members"]) == 3
            )
        )


def _knows_peers(cluster: Cluster) -> bool:
    return all(cluster[node].status()["members"].get("alive") == 3 for node in NODES)
