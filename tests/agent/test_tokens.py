"""Watches and their tokens on real agents, which are restarted and killed meanwhile."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from discoagent.client import Disco
from discoagent.instance import Event
from tests.agent.changing import (
    SERVICE,
    Change,
    Changers,
    Noting,
    change_of,
    check_told,
)
from tests.agent.harness import DEADLINE, AgentProcess, Cluster, wait_until

NODES = ("a", "b", "c")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three agents."""
    with Cluster(*NODES) as running:
        yield running


def ids(cluster: Cluster, node: str) -> dict[str, int]:
    """Return what an agent lists, as `Noting.view` has it."""
    with cluster[node].raw() as asker:
        return {it.id: int(it.meta["n"]) for it in asker.list(SERVICE)}


def last_of(changes: list[Change]) -> dict[str, int]:
    """Return what changes leave."""
    view: dict[str, int] = {}
    for change in changes:
        view[change.instance] = change.number
        if change.kind == "removed":
            del view[change.instance]
    return view


def changes_through_restarts(cluster: Cluster, count: int) -> None:
    """Change what three agents have, while the watcher's own agent and another are restarted."""
    calm: list[Change] = []
    with Changers(cluster, count) as changers, Noting(cluster["a"].socket) as noting:

        def all_seen() -> bool:
            return noting.view == last_of(changers.made)

        for node, number in (("b", signal.SIGTERM), ("a", signal.SIGKILL)):
            calm += changers.changes(count // 4, NODES)
            noting.until(all_seen)
            restart = threading.Thread(target=_restart, args=(cluster, node, number))
            restart.start()
            others = [each for each in NODES if each != node]
            changers.while_(restart.is_alive, others)
            restart.join()
            calm += changers.changes(count // 4, NODES)
            noting.until(all_seen)
        calm += changers.changes(count // 8, NODES)
        noting.until(all_seen)
        assert noting.view == ids(cluster, "a") == ids(cluster, "c")
        check_told(noting.told, changers.made, calm)
        assert None not in noting.tokens


def _restart(cluster: Cluster, node: str, number: int) -> None:
    """Restart an agent; it is back once each has heard something new of each."""
    cluster[node].stop(number)
    cluster.start(node)
    running = [agent for agent in cluster.agents.values() if agent.process.poll() is None]
    for agent in running:
        with agent.raw() as asker:
            asker.register("back", id=f"{node}-{number}", lifetime=["static"])
    for agent in running:
        wait_until(partial(_heard, agent, {it.node for it in running}, f"{node}-{number}"))


def _heard(agent: AgentProcess, nodes: set[str], mark: str) -> bool:
    with agent.raw() as asker:
        return {it.node for it in asker.list("back") if it.id == mark} >= nodes


def test_changes_through_restarts(cluster: Cluster) -> None:
    """Replayed, the events are the list; nothing is told twice, each calm change once."""
    changes_through_restarts(cluster, 240)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_five_thousand_changes_through_restarts(cluster: Cluster) -> None:
    changes_through_restarts(cluster, 5_000)


def missed(cluster: Cluster, node: str, token: str) -> list[Event]:
    """Return what a new watch is told from a token on, without the `synced` at its end."""
    found: list[Event] = []
    with Disco(cluster[node].socket, timeout=DEADLINE) as disco:
        for event in disco.watch(SERVICE, from_token=token, timeout=DEADLINE):
            if event.kind == "synced":
                return found
            found.append(event)
    raise AssertionError("not synced")


def elsewhere(cluster: Cluster, count: int) -> None:
    """Let a watcher's agent be killed, and go on at others; then restart one node, too."""
    with Changers(cluster, 7) as changers:
        changers.changes(30, NODES)
        with Noting(cluster["a"].socket) as noting:
            noting.until(lambda: noting.view == last_of(changers.made))
            token = noting.tokens[-1]
        assert token is not None
        with Noting(cluster["b"].socket) as running:
            running.until(lambda: running.view == last_of(changers.made))
            made = changers.changes(count, NODES)
            running.until(lambda: running.view == last_of(changers.made))
            cluster["a"].kill()

            assert sorted(map(change_of, missed(cluster, "b", token))) == sorted(made)
            assert of(map_changes(missed(cluster, "b", token))) == of(made)

            _restart(cluster, "c", signal.SIGTERM)
            events = missed(cluster, "b", token)
            resets = [event.node for event in events if event.kind == "reset"]
            assert resets == ["c"]
            told = map_changes(event for event in events if event.kind != "reset")
            exact = [change for change in made if not change.instance.startswith("c")]
            assert of(it for it in told if not it.instance.startswith("c")) == of(exact)
            now = {key: n for key, n in running.view.items() if key.startswith("c")}
            assert {it.instance: it.number for it in told if it.instance.startswith("c")} == now


def map_changes(events: "Iterator[Event] | list[Event]") -> list[Change]:
    """Return what events tell of."""
    return [change_of(event) for event in events]


def of(changes: "Iterator[Change] | list[Change]") -> dict[str, list[Change]]:
    """Return each instance's changes, in their order."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        found.setdefault(change.instance, []).append(change)
    return found


def test_from_a_token_elsewhere(cluster: Cluster) -> None:
    """Exactly what was missed, also of the agent that was killed; a restart resets that node."""
    elsewhere(cluster, 60)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_thousand_missed(cluster: Cluster) -> None:
    elsewhere(cluster, 1_000)


def test_each_of_many_updates_is_an_event(cluster: Cluster) -> None:
    """Each was answered before the next one."""
    with (
        Disco(cluster["a"].socket, timeout=DEADLINE) as disco,
        Noting(cluster["b"].socket) as noting,
    ):
        it = disco.register(SERVICE, id="x", static=True, meta={"n": "1"})
        for number in range(2, 102):
            it.update(meta={"n": str(number)})
        noting.until(lambda: noting.view.get("x") == 101)
        numbers = [(change.kind, change.number) for change in noting.told]
        assert numbers == [("added", 1), *(("updated", number) for number in range(2, 102))]


def test_it_waits_for_what_the_token_s_giver_knew(cluster: Cluster) -> None:
    """An agent that is a moment behind tells it when it comes, and resets nobody."""
    with (
        Disco(cluster["a"].socket, timeout=DEADLINE) as disco,
        Noting(cluster["a"].socket) as noting,
    ):
        noting.until(lambda: len(noting.tokens) == 1)
        first = noting.tokens[0]
        cluster["b"].process.send_signal(signal.SIGSTOP)
        disco.register(SERVICE, id="x", static=True, meta={"n": "1"})
        noting.until(lambda: len(noting.tokens) == 2)
        second = noting.tokens[1]
        cluster["b"].process.send_signal(signal.SIGCONT)
        assert first is not None
        assert second is not None
        assert missed(cluster, "b", second) == []
        assert map_changes(missed(cluster, "b", first)) == [Change("added", "x", 1)]


def test_beyond_its_log_an_agent_that_was_restarted_resets(cluster: Cluster) -> None:
    """Of its own it knows nothing any more where its state was deleted."""
    with Changers(cluster, 3) as changers:
        changers.changes(20, NODES)
        with Noting(cluster["a"].socket) as noting:
            noting.until(lambda: noting.view == last_of(changers.made))
            token = noting.tokens[-1]
        assert token is not None
        cluster["a"].stop()
        (cluster["a"].state / "agent.db").unlink()
        cluster.start("a")
        events = missed(cluster, "a", token)
        assert {event.node for event in events if event.kind == "reset"} == {"a"}
        wait_until(lambda: ids(cluster, "a") == last_of(changers.made))
        assert Counter(event.kind for event in events)["updated"] == 0
