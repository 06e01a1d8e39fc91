"""Full figures of watches: one that sleeps while a hundred thousand changes happen, and a hundred
restarts in a row."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from discoagent.api import WATCH_CREDIT_MAX
from discoagent.client import Disco
from discoagent.client.disco import Spec
from discoagent.instance import Event, Instance
from tests.agent.harness import DEADLINE, Cluster, Raw, wait_until

CHANGES, ROUND, ENTRIES = 100_000, 2_000, 1_000
SLEEP = 60.0
BEYOND = 50_000  # more of one node's steps than any agent keeps
MEMORY_KB = 48 * 1024  # what waits for a watcher, what the ring and the log keep, and some air
RESTARTS = 100
SERVICE = "flood"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two agents."""
    with Cluster("a", "b") as running:
        yield running


def flood(disco: Disco, first: int) -> None:
    """Change a thousand instances twice each."""
    numbers = range(first, first + ROUND)
    specs = [Spec(SERVICE, id=f"i{n % ENTRIES}", meta={"n": str(n)}, static=True) for n in numbers]
    assert not [it for it in disco.register_many(specs) if isinstance(it, Exception)]


class Latency:
    """How long a change takes to the watcher of another, again and again, in milliseconds."""

    def __init__(self, cluster: Cluster) -> None:
        self.taken: list[float] = []
        self._disco = Disco(cluster["b"].socket, timeout=DEADLINE)
        self._over = threading.Event()
        self._watch = self._disco.watch("probe")
        self._it = self._disco.register("probe", id="p", static=True, meta={"n": "0"})
        self._thread = threading.Thread(target=self._measure)
        self._thread.start()

    def _measure(self) -> None:
        number = 0
        while not self._over.wait(0.05):
            number += 1
            began = time.monotonic()
            self._it.update(meta={"n": str(number)})
            for event in self._watch:
                if event.instance is not None and event.instance.meta["n"] == str(number):
                    break
            self.taken.append((time.monotonic() - began) * 1000)

    def close(self) -> float:
        """End, and return the median."""
        self._over.set()
        self._thread.join()
        self._disco.close()
        return median(self.taken)


def present(raw: Raw, number: int) -> dict[str, Instance]:
    """Read what a sleeper is told until it has all; what it holds then."""
    raw.send("more", watch=number, batches=WATCH_CREDIT_MAX)
    held: dict[str, Instance] = {}
    resets = synced = 0
    while synced <= resets or not resets:
        for row in raw.answer_to(number)[2]:
            event = Event.from_row(row)
            resets += event.kind == "reset"
            synced += event.kind == "synced"
            if event.kind == "reset":
                held.clear()
            elif event.instance is not None:
                held[event.instance.id] = event.instance
    assert resets == 1
    return held


def typical_latency(cluster: Cluster, disco: Disco, changes: int) -> float:
    """Make so many changes, as many in a second as a hundred thousand in a minute; return what a
    change takes to another watcher meanwhile, in milliseconds."""
    latency = Latency(cluster)
    began = time.monotonic()
    for first in range(0, changes, ROUND):
        flood(disco, first)
        threading.Event().wait(max(0.0, began + SLEEP * first / CHANGES - time.monotonic()))
    return latency.close()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_watcher_that_sleeps_for_a_minute(cluster: Cluster) -> None:
    """It costs its agent bounded memory and others no time, and is right when it wakes."""
    with Disco(cluster["b"].socket, timeout=DEADLINE) as disco, cluster["b"].raw() as sleeper:
        alone = typical_latency(cluster, disco, CHANGES // 5)
        number = sleeper.send("watch", services=[SERVICE])
        before = cluster["b"].resident_kb
        beside = typical_latency(cluster, disco, CHANGES)
        grown = cluster["b"].resident_kb - before
        print(f"grown by {grown} kB; others' latency {alone:.1f} -> {beside:.1f} ms")
        assert grown < MEMORY_KB
        assert beside < 2 * alone
        held = present(sleeper, number)
        assert held == {it.id: it for it in disco.list(SERVICE)}


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_beyond_what_an_agent_keeps_of_a_node(cluster: Cluster) -> None:
    """On another agent than the token's: a `reset` of that node alone, and its present."""
    with (
        Disco(cluster["a"].socket, timeout=DEADLINE) as a,
        Disco(cluster["b"].socket, timeout=DEADLINE) as b,
    ):
        a.register(SERVICE, id="still", static=True)
        flood(b, 0)
        wait_until(lambda: len(b.list(SERVICE)) == ENTRIES + 1)
        token = next(event.token for event in b.watch(SERVICE) if event.kind == "synced")
        for first in range(0, BEYOND, ROUND):
            flood(b, first)
        wait_until(lambda: a.converged()["converged"])
        wait_until(lambda: a.list(SERVICE) == b.list(SERVICE))
        told = []
        for event in a.watch(SERVICE, from_token=token):
            if event.kind == "synced":
                break
            told.append(event)

        assert [(it.kind, it.node) for it in told[:1]] == [("reset", "b")]
        assert [it.kind for it in told[1:]] == ["added"] * ENTRIES
        assert [it.instance for it in told[1:]] == b.list(SERVICE, node="b")


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_a_hundred_restarts_in_a_row(cluster: Cluster) -> None:
    """File, memory, and the cost of going on from a token stay what they were."""
    sizes: list[int] = []
    memory: list[int] = []
    costs: list[float] = []
    with Disco(cluster["b"].socket, timeout=DEADLINE) as disco:
        static = [Spec(SERVICE, id=f"i{n}", static=True) for n in range(ENTRIES)]
        disco.register_many(static)
    for round_ in range(RESTARTS):
        with Disco(cluster["b"].socket, timeout=DEADLINE) as disco:
            flood(disco, round_ * ROUND)
            token = None
            for event in disco.watch(SERVICE):
                if event.kind == "synced":
                    token = event.token
                    break
            flood(disco, round_ * ROUND)
        cluster["b"].stop(signal.SIGTERM if round_ % 2 else signal.SIGKILL)
        cluster.start("b")
        began = time.monotonic()
        with Disco(cluster["b"].socket, timeout=DEADLINE) as disco:
            for event in disco.watch(SERVICE, from_token=token):
                if event.kind == "synced":
                    break
            costs.append(time.monotonic() - began)
            assert len(disco.list(SERVICE)) == ENTRIES
        sizes.append(_size(cluster["b"].state))
        memory.append(cluster["b"].resident_kb)
    print(f"files {sizes[20]} -> {sizes[-1]} B, memory {memory[20]} -> {memory[-1]} kB")
    print(f"going on {median(costs[10:30]):.3f} -> {median(costs[-20:]):.3f} s")
    assert max(sizes[20:]) < 2 * min(sizes[20:])
    assert max(memory[-20:]) < 1.2 * max(memory[10:30])
    assert median(costs[-20:]) < 2 * median(costs[10:30])
    wait_until(lambda: _size(cluster["b"].state) < 2 * min(sizes[20:]))


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())
