"""Why an instance ended: the same one event, cause and actor on every agent, also after a restart.

Real agents, asked for their records.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from discoagent.errors import DiscoError
from discoagent.instance import Event, Instance
from tests.agent.harness import AgentProcess, Cluster, Raw, wait_until

NODES = ("a", "b", "c")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three agents."""
    with Cluster(*NODES) as cluster:
        yield cluster


def history(asker: Raw, **arguments: Any) -> tuple[list[Event], Any]:
    """Return the events, and what is missing."""
    number = asker.send("history", **arguments)
    found: list[Event] = []
    while True:
        _, status, body = asker.answer_to(number)
        if status == 1:
            raise AssertionError(body)
        if status == 0:
            return found, body["missing_ms"]
        found += map(Event.from_row, body)


def why(agent: AgentProcess, name: str) -> list[Event]:
    """Return what an agent knows of an instance, once that has ended."""
    with agent.raw() as asker:

        def ended() -> list[Event]:
            try:
                events, missing = history(asker, id=name, last=True)
            except (AssertionError, DiscoError):
                return []  # not known yet
            assert missing is None
            return events if events[-1].kind == "removed" else []

        return wait_until(ended)


def told(events: list[Event]) -> list[tuple[str, str | None, int | None]]:
    """Return kind, cause and acting pid of each."""
    return [(it.kind, it.cause, it.actor and it.actor.pid) for it in events]


def sleeper() -> "subprocess.Popen[bytes]":
    """Return a process that does nothing."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])


def killed(asker: Raw) -> tuple[Instance, tuple[str, int | None]]:
    """End an instance with its process."""
    process = sleeper()
    it = asker.register("killed", lifetime=["process", process.pid], port=1)
    process.kill()
    process.wait()
    return it, ("exit:SIGKILL", None)


def failed(asker: Raw) -> tuple[Instance, tuple[str, int | None]]:
    """Let a check fail, then take it out."""
    it = asker.register(
        "checked", lifetime=["static"], checks=[{"kind": "ttl", "interval_ms": 60_000}]
    )
    asker.ask("ttl", id=it.name, word="pass")
    asker.ask("ttl", id=it.name, word="fail")
    asker.ask("deregister", id=it.name)
    return it, ("deregistered", os.getpid())


def expired(asker: Raw) -> tuple[Instance, tuple[str, int | None]]:
    """End an instance with its lease."""
    return asker.register("leased", lifetime=["lease", 100]), ("lease-expired", None)


def deregistered(asker: Raw) -> tuple[Instance, tuple[str, int | None]]:
    """End an instance by its owner's word."""
    it = asker.register("static", lifetime=["static"])
    asker.ask("deregister", id=it.name)
    return it, ("deregistered", os.getpid())


@pytest.mark.parametrize("ending", [killed, failed, expired, deregistered])
def test_every_agent_says_why(cluster: Cluster, ending: Any) -> None:
    """One removal, its cause and its actor; on each agent the same events at the same times."""
    with cluster["b"].raw() as asker:
        it, (cause, pid) = ending(asker)

    seen = {node: why(cluster[node], it.name) for node in NODES}

    for events in seen.values():
        assert told(events)[0] == ("added", "registered", os.getpid())
        assert told(events)[-1] == ("removed", cause, pid)
        assert [it.kind for it in events].count("removed") == 1
        assert all(it.seen_at for it in events)
    assert seen["b"][-1].at == seen["a"][-1].at == seen["c"][-1].at
    if ending is failed:
        causes = [(it.cause, it.instance and it.instance.state) for it in seen["a"][1:-1]]
        assert causes[-1] == ("check", "critical")


def test_a_drained_host(cluster: Cluster) -> None:
    """The instance is there, and why it is not used is known everywhere."""
    with cluster["b"].raw() as asker:
        it = asker.register("drained", lifetime=["static"])
        asker.ask("drain", id=it.name)

    for node in NODES:
        events = wait_until(partial(_drained, cluster[node], it.name))
        assert told(events) == [("updated", "drained", os.getpid())]


def _drained(agent: AgentProcess, name: str) -> list[Event]:
    with agent.raw() as asker:
        return [it for it in history(asker, id=name)[0] if it.cause == "drained"]


def test_a_service_that_ended_while_its_agent_was_down() -> None:
    """Each agent tells one removal with its cause; also this one, and each after its restart."""
    with Cluster(*NODES) as cluster:
        process = sleeper()
        with cluster["b"].raw() as asker:
            it = asker.register("orphan", lifetime=["process", process.pid], port=1)
            asker.ask("seen", wait_ms=10_000)
        cluster["b"].stop()
        process.kill()
        process.wait()
        cluster.start("b")
        before = {node: told(why(cluster[node], it.name)) for node in NODES}
        for node in NODES:
            cluster[node].stop()
            cluster.start(node)

        after = {node: told(why(cluster[node], it.name)) for node in NODES}

    ended = [("added", "registered", os.getpid()), ("removed", "exit", None)]
    assert before == after == dict.fromkeys(NODES, ended)
