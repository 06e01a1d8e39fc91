"""`watch` and `wait`, of a real agent: what they print, when they end, and what they outlive."""

import itertools
import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from discoagent.client import Disco
from tests.cli.agents import Agent
from tests.cli.ctl import ANSWER_SECONDS, Ask, line, started, talk


@pytest.fixture
def disco(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disco]:
    """Speak to an agent of the test's own."""
    monkeypatch.setenv("DISCO_SOCKET", agent.socket)
    with Disco(agent.socket, timeout=ANSWER_SECONDS) as disco:
        yield disco


def kinds(events: list[Any]) -> list[tuple[str, str | None]]:
    """Return what happened to which instance."""
    return [(it["kind"], ((it["instance"] or it["before"]) or {}).get("id")) for it in events]


def test_count_0_is_the_present(disco: Disco, ask: Ask) -> None:
    """As `added`, then `synced`, in the order of lists; of some services, or of all."""
    disco.register("web", id="w", static=True)
    disco.register("db", id="d", static=True)

    assert kinds(ask("watch", "--count", "0").lines) == [
        *(("added", "d"), ("added", "w"), ("synced", None)),
    ]
    assert kinds(ask("watch", "web", "--count", "0").lines) == [("added", "w"), ("synced", None)]
    assert kinds(ask("watch", "nope", "--count", "0").lines) == [("synced", None)]
    assert ask("watch", "web", "--count", "0", "-o", "table").out.splitlines()[0].split()[1:] == [
        *("added", "web/w@a", "127.0.0.1", "passing"),
    ]
    assert ask("watch", "web", "--count", "0", "-o", "name").out == "web/w@a\n"
    assert ask("watch", "--count", "0", "-q") == (0, "", "")


def test_count_is_of_what_follows(agent: Agent, disco: Disco) -> None:
    """Each event at once, with its cause; then the end, with 0."""
    disco.register("db", id="d", static=True)
    with started("watch", "--count", "3", "--socket", agent.socket) as watch:
        assert json.loads(line(watch))["kind"] == "added"
        assert json.loads(line(watch))["kind"] == "synced"
        web = disco.register("web", id="w", port=1, static=True)
        added = json.loads(line(watch))
        web.update(port=2)
        updated = json.loads(line(watch))
        web.close()
        removed = json.loads(line(watch))

        assert watch.wait(ANSWER_SECONDS) == 0
    assert (added["cause"], added["instance"]["port"]) == ("registered", 1)
    assert (updated["before"]["port"], updated["instance"]["port"]) == (1, 2)
    assert (removed["cause"], removed["before"]["port"]) == ("deregistered", 2)
    assert removed["actor"]["pid"] == os.getpid()
    assert set(added) == {
        *("kind", "at", "instance", "before", "cause", "actor", "token", "node"),
    }


def test_timeout_bounds_a_watch(disco: Disco, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """124 when the flag's time is over; the variable is for single answers only."""
    monkeypatch.setenv("DISCO_TIMEOUT", "100ms")
    disco.register("web", static=True)

    answer = ask("watch", "--timeout", "300ms")
    assert answer.code == 124
    assert kinds(answer.lines) == [("added", "web"), ("synced", None)]
    assert ask("wait", "nope", "--timeout", "300ms").code == 124


def test_an_interrupt_is_130(agent: Agent, disco: Disco) -> None:
    """Without a word."""
    with started("watch", "--socket", agent.socket) as watch:
        assert json.loads(line(watch))["kind"] == "synced"
        watch.send_signal(signal.SIGINT)
        _, err = watch.communicate(timeout=ANSWER_SECONDS)

    assert (watch.returncode, err) == (130, "")


def test_a_watch_ends_when_its_reader_went_away(agent: Agent, disco: Disco) -> None:
    """At the next event, without a word."""
    with started("watch", "--socket", agent.socket) as watch:
        assert json.loads(line(watch))["kind"] == "synced"
        assert watch.stdout is not None
        watch.stdout.close()
        disco.register("web", static=True)

        assert watch.wait(ANSWER_SECONDS) == 141
        assert talk(watch) == ""


def test_a_restart_of_the_agent_is_outlived(agent: Agent, disco: Disco) -> None:
    """And said; only what truly changed is an event."""
    web = disco.register("web", port=1)
    with started("watch", "--count", "1", "--socket", agent.socket) as watch:
        assert kinds([json.loads(line(watch)) for _ in range(2)]) == [
            *(("added", web.instance.id), ("synced", None)),
        ]
        agent.stop()
        assert talk(watch) == "discoctl: the agent went away; waiting for it"
        agent.start()
        assert talk(watch) == "discoctl: the agent is back"
        disco.register("db", id="d", static=True)

        assert kinds([json.loads(line(watch))]) == [("added", "d")]
        assert watch.wait(ANSWER_SECONDS) == 0


def test_wait(agent: Agent, disco: Disco, ask: Ask) -> None:
    """Until as many are usable; silent, unless a format is asked for."""
    disco.register("web", id="w1", static=True)

    assert ask("wait", "web") == (0, "", "")
    assert ask("wait", "web", "-o", "name").out == "web/w1@a\n"
    with started("wait", "web", "--count", "2", "-o", "jsonl", "--socket", agent.socket) as wait:
        disco.register("web", id="w2", static=True)
        out, _ = wait.communicate(timeout=ANSWER_SECONDS)
    assert wait.returncode == 0
    assert [json.loads(each)["id"] for each in out.splitlines()] == ["w1", "w2"]


def test_wait_gone(agent: Agent, disco: Disco, ask: Ask) -> None:
    """Until none is visible: at once, or when the last one ends."""
    assert ask("wait", "web", "--gone") == (0, "", "")
    web = disco.register("web", id="w", static=True)
    with started("wait", "web", "--gone", "--socket", agent.socket) as wait:
        web.close()

        assert wait.wait(ANSWER_SECONDS) == 0


def others_asked(disco: Disco, requests: int) -> None:
    """Wait until others than `disco` have asked its agent so many things."""
    deadline = time.monotonic() + ANSWER_SECONDS
    before = disco.status()["counters"]["local.requests"]
    for own in itertools.count(1):
        if disco.status()["counters"]["local.requests"] >= before + own + requests:
            return
        assert time.monotonic() < deadline


def test_wait_outlives_a_restart_of_the_agent(agent: Agent, disco: Disco) -> None:
    """What it waits for may come after it."""
    with started("wait", "web", "--socket", agent.socket) as wait:
        others_asked(disco, 2)  # who are you, and the watch
        agent.stop(signal.SIGKILL)
        assert talk(wait) == "discoctl: the agent went away; waiting for it"
        agent.start()
        disco.register("web", static=True)

        assert wait.wait(ANSWER_SECONDS) == 0


def test_resolve_waits_for_the_first(agent: Agent, disco: Disco) -> None:
    """One that has a port."""
    disco.register("db", id="portless", static=True)
    with started("resolve", "db", "--wait", "1m", "--socket", agent.socket) as resolve:
        others_asked(disco, 2)
        disco.register("db", port=5432, static=True)

        assert line(resolve) == "127.0.0.1:5432"
        assert resolve.wait(ANSWER_SECONDS) == 0


def test_leave(agent: Agent, disco: Disco, ask: Ask) -> None:
    """The agent ends; nobody listens any more."""
    answer = ask("leave")

    assert answer == (0, "a has left\n", "")
    assert agent.process is not None
    assert agent.process.wait() == 0
    assert ask("ping").code == 3
