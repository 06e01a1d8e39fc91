"""`history`, `at` and `why ID`: what they print, and where their options stand."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from discoagent.client import Disco
from discoagent.client.remembering import now_ms
from discoagent.instance import rfc3339
from tests.agent.harness import wait_until
from tests.cli.agents import Agent
from tests.cli.ctl import Ask
from tests.client.stub import GREETING, Reply, Stub


@pytest.fixture
def there(agent: Agent, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let an instance come, change and go; return a moment at which it was there."""
    monkeypatch.setenv("DISCO_SOCKET", agent.socket)
    ask("register", "web", "--id", "1", "--port", "80", "--static")
    ask("update", "web/1", "--port", "81")
    with Disco(agent.socket) as disco:
        seen = disco.history("web/1")[-1].seen_at
    assert seen is not None
    wait_until(lambda: rfc3339(now_ms()) > seen)  # a moment has but one name
    ask("deregister", "web/1")
    return seen


def test_a_story(there: str, ask: Ask) -> None:
    """Line by line, oldest first; why tells the outcome before."""
    told = ask("history", "web/1")
    assert told.code == 0
    assert [text.split()[1:3] for text in told.out.splitlines()] == [
        ["added", "web/1@a"],
        ["updated", "web/1@a"],
        ["removed", "web/1@a"],
    ]

    why = ask("why", "web/1@a")

    assert why.code == 0
    first, because, who, seen, *events = why.out.splitlines()
    assert "web/1@a is gone since " in first
    assert because.strip() == "Because: removed, deregistered"
    assert who.strip().startswith("By: uid ")
    assert seen.strip().startswith("Seen here: ")
    assert events == told.out.splitlines()
    assert ask("history", "-o", "name").out == "web/1@a\n" * 3
    assert there in ask("history", "-o", "json").out


def test_why_begins_with_the_latest_registration(there: str, ask: Ask) -> None:
    ask("register", "web", "--id", "1", "--port", "82", "--static")

    assert [it["kind"] for it in ask("why", "web/1", "-o", "jsonl").lines] == ["added"]
    assert len(ask("history", "1", "-o", "json").json) == 4
    assert "web/1@a is passing since " in ask("why", "1").out
    assert "  By: uid" in ask("why", "1", "-o", "wide").out


def test_an_id_that_fits_several(there: str, ask: Ask) -> None:
    """Those that are gone count, too; all are named."""
    ask("register", "db", "--id", "1", "--static")

    for command in ("why", "history"):
        told = ask(command, "1")
        assert told.code == 2
        assert "fits 2 instances, say which: db/1@a, web/1@a" in told.err
    assert ask("history", "nope").code == 0
    assert ask("history", "nope", "-o", "json").json == []
    told = ask("why", "nope")
    assert told.code == 1
    assert "neither a node nor an instance" in told.err


def test_at_is_list_as_it_was(there: str, ask: Ask) -> None:
    """With its options, and the global ones before and after each word."""
    (then,) = ask("at", there, "list", "-o", "json").json
    assert then["port"] == 81
    assert ask("list", "-o", "json").json == []
    for words in (
        ("-o", "name", "at", there, "list"),
        ("at", "-o", "name", there, "list", "web"),
        ("at", there, "-o", "name", "list", "--all"),
        ("at", there, "list", "-f", "port > 80", "-o", "name"),
    ):
        assert (ask(*words).code, ask(*words).out) == (0, "web/1@a\n")
    assert ask("at", there, "list", "db").code == 1
    assert ask("at", "-0", "list").code == 0
    assert ask("at", "-1h", "list", "--help").code == 0


def test_the_record_begins_later(there: str, ask: Ask) -> None:
    """The nearest there is, with 5 and since when; --since likewise."""
    for words in (("at", "-1h", "list"), ("history", "--since", "1h")):
        told = ask(*words)
        assert told.code == 5
        assert "the record of this agent begins later, at 20" in told.err
    assert len(ask("history", "--since", "1h", "-o", "json").json) == 3


def test_while_the_agent_was_away(tmp_path: Path, ask: Ask) -> None:
    """From when until when, with 5."""
    socket = str(tmp_path / "stub.sock")

    def answers(operation: str, number: int, _: dict[str, Any]) -> Iterable[Reply]:
        body = {"partial": False, "missing_ms": [0, 60_000]}
        return [(number, 0, GREETING if operation == "hello" else body)]

    with Stub(socket, answers):
        told = ask("at", "-1h", "list", "--socket", socket)

    assert told.code == 5
    assert (
        "this agent was away from 1970-01-01T00:00:00.000Z until 1970-01-01T00:01:00.000Z"
        in told.err
    )
