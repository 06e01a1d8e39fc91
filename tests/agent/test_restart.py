"""A restart is no event: agents that are stopped or killed and started again, each in its turn."""

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Self

import pytest

from discoagent.client import Disco, Registration
from discoagent.errors import AgentUnavailable, TimeoutExpired
from discoagent.instance import Event
from tests.agent.harness import DEADLINE, Cluster, Raw, wait_until
from tests.agent.restarting import (
    NODES,
    SIGNALS,
    Witness,
    mark,
    restarted,
    services,
    told,
    witnesses,
)

GRACE = 6.0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three agents."""
    with Cluster(*NODES) as running:
        yield running


def others(node: str) -> list[str]:
    """Return the other nodes."""
    return [each for each in NODES if each != node]


def restarts_are_no_event(cluster: Cluster, rounds: int, *, each: int, run: int) -> None:
    """Restart all agents in turn, again and again; nobody sees anything of it."""
    with services(cluster, each=each, run=run) as total, witnesses(cluster) as seen:
        for round_ in range(rounds):
            for node in NODES:
                for number in SIGNALS:
                    restarted(cluster, node, number)
            mark(cluster, NODES[round_ % 3], f"round-{round_}")
            for witness in seen.values():
                assert told(witness.until("added", f"round-{round_}")) == []
                witness.events.clear()
        for node in NODES:
            with Disco(cluster[node].socket, timeout=DEADLINE) as disco:
                assert len(disco.list()) == total + rounds


def test_restarts_are_no_event(cluster: Cluster) -> None:
    """Services of every kind, and watchers at every agent."""
    restarts_are_no_event(cluster, 1, each=3, run=1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_restarts_each_way_are_no_event(cluster: Cluster) -> None:
    """200 services."""
    restarts_are_no_event(cluster, 20, each=15, run=7)


class Changer:
    """Changes one instance again and again, through the restarts of its agent."""

    def __init__(self, cluster: Cluster, node: str, pause: float) -> None:
        self.disco = Disco(cluster[node].socket, timeout=DEADLINE)
        self.it: Registration = self.disco.register("changing", id=f"of-{node}", meta={"n": "0"})
        self.number = 0
        self._pause = pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._change, daemon=True)
        self._thread.start()

    def _change(self) -> None:
        while not self._over.wait(self._pause):
            self.number += 1
            wait_until(self._changed)

    def _changed(self) -> bool:
        try:
            self.it.update(meta={"n": str(self.number)})
        except (AgentUnavailable, TimeoutExpired):
            return False
        return True

    def stop(self) -> None:
        """Make no more changes."""
        self._over.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.disco.close()


def numbers(events: list[Event], node: str) -> list[int]:
    """Return which changes of a node's changer were seen."""
    return [
        int(event.instance.meta["n"])
        for event in events
        if event.instance is not None and event.instance.id == f"of-{node}"
    ]


def _seen_last(asker: Raw, changers: Mapping[str, Changer]) -> bool:
    seen = {it.node: it.meta["n"] for it in asker.list("changing")}
    return seen == {node: str(changer.number) for node, changer in changers.items()}


def changes_go_on(cluster: Cluster, rounds: int, *, each: int, run: int, pause: float) -> None:
    """Restart each agent while instances of all three change."""
    with services(cluster, each=each, run=run):
        for node in NODES:
            with contextlib.ExitStack() as stack:
                watcher = others(node)[0]
                asker = stack.enter_context(cluster[watcher].raw())
                wait_until(lambda: not asker.list("changing"))  # noqa: B023 - those of the last node
                changers = {of: stack.enter_context(Changer(cluster, of, pause)) for of in NODES}
                wait_until(lambda: len(asker.list("changing")) == len(NODES))  # noqa: B023
                witness = stack.enter_context(Witness(cluster[watcher].socket))
                began = time.monotonic()
                for _ in range(rounds):
                    for number in SIGNALS:
                        restarted(cluster, node, number)
                for changer in changers.values():
                    changer.stop()
                made = sum(changer.number for changer in changers.values())
                print(f"{made / (time.monotonic() - began):.0f} changes/s while {node} restarted")
                wait_until(partial(_seen_last, asker, changers))
                mark(cluster, watcher, f"end-{node}")
                witness.until("added", f"end-{node}")
                check_changes(witness.events[:-1], node, changers)


def check_changes(events: list[Event], node: str, changers: Mapping[str, Changer]) -> None:
    """Were these exactly the changes that were made while `node` was restarted?

    Of what is changed at an agent that is killed some is changed twice, for that its answer was
    lost does not mean that it was not done. None is undone, or seen twice.
    """
    assert {(event.kind, event.cause) for event in events} == {("updated", "updated")}
    for of in others(node):
        seen = numbers(events, of)
        assert seen == list(range(seen[0], changers[of].number + 1))
    of_it = numbers(events, node)
    assert of_it == sorted(set(of_it))


def test_changes_go_on_meanwhile(cluster: Cluster) -> None:
    """Exactly those changes are seen, each once and in order."""
    changes_go_on(cluster, 1, each=2, run=0, pause=0.05)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_fifty_changes_a_second_go_on_meanwhile(cluster: Cluster) -> None:
    """And 200 services."""
    changes_go_on(cluster, 20, each=15, run=7, pause=0.03)


@pytest.mark.parametrize("number", SIGNALS)
def test_what_ends_while_its_agent_is_down(cluster: Cluster, number: int) -> None:
    """It is removed with its cause once the agent is back, everywhere."""
    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE) as owner,
        Disco(cluster["a"].socket, timeout=DEADLINE) as disco,
        Witness(cluster["b"].socket) as b,
        Witness(cluster["c"].socket) as c,
    ):
        disco.register("job", id="ends", pid=owner.pid)
        stays = disco.register("job", id="stays")
        for witness in (b, c):
            witness.until("added", "stays")
            witness.events.clear()
        cluster["a"].stop(number)
        owner.kill()
        owner.wait()
        cluster.start("a")
        for witness in (b, c):
            witness.until("removed", "ends")
            assert told(witness.events) == [("removed", "ends", "exit")]
        mark(cluster, "a", "end")
        for witness in (b, c):
            assert told(witness.until("added", "end")) == [("removed", "ends", "exit")]
        assert stays.lost is None
        assert [it.id for it in disco.list("job")] == ["stays"]


def test_a_lease_and_what_is_static_without_any_client(cluster: Cluster) -> None:
    """Nobody says them again: the store alone knows them. The lease ends in its time."""
    with cluster["a"].raw() as asker, Witness(cluster["b"].socket) as b:
        asker.register("s", id="static", lifetime=["static"])
        asker.register("s", id="lease", lifetime=["lease", 4_000])
        b.until("added", "lease")
        b.events.clear()
        restarted(cluster, "a", signal.SIGKILL)

        assert told(b.until("removed", "lease")) == []
        assert told(b.events) == [("removed", "lease", "lease-expired")]
        with cluster["a"].raw() as again:
            assert [it.id for it in again.list("s")] == ["static"]
            again.ask("deregister", id="s/static")
        restarted(cluster, "a", signal.SIGKILL)
        with cluster["a"].raw() as again:
            assert again.list("s") == []


def test_static_ones_outlive_a_leave(cluster: Cluster) -> None:
    """Gone everywhere, and there again when the agent is."""
    with cluster["a"].raw() as asker, Witness(cluster["b"].socket) as b:
        asker.register("s", id="static", lifetime=["static"])
        asker.register("s", id="process")
        b.until("added", "process")
        b.events.clear()
        asker.ask("leave")
        assert cluster["a"].wait() == 0
        b.until("removed", "static")
        cluster.start("a")

        b.until("added", "static")
        assert sorted(told(b.events)) == [
            ("added", "static", "node-returned"),
            ("removed", "process", "node-left"),
            ("removed", "static", "node-left"),
        ]


def test_an_agent_that_is_not_started_again() -> None:
    """Its entries stay for `restart_grace` and go then."""
    with (
        Cluster(*NODES, settings={"timing.restart_grace": f"{GRACE}s"}) as cluster,
        cluster["a"].raw() as asker,
        Witness(cluster["b"].socket) as b,
    ):
        asker.register("s", id="static", lifetime=["static"])
        b.until("added", "static")
        stopped = time.monotonic()
        cluster["a"].stop()
        b.until("removed", "static")

        assert time.monotonic() - stopped >= GRACE - 0.5
        assert told(b.events)[1:] == [("removed", "static", "node-down")]
        b.events.clear()
        cluster.start("a")
        b.until("added", "static")
        assert told(b.events) == [("added", "static", "node-returned")]
