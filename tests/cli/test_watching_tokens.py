"""`watch --from`, `--save-token` and `-- CMD`, of a real agent and over its restarts."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discoagent.client import Disco
from discoagent.token import TEXT_CHARACTERS
from tests.cli.agents import Agent
from tests.cli.ctl import ANSWER_SECONDS, Ask, line, started, talk

NOTING = """
import json, os, sys
events = [json.loads(line) for line in sys.stdin]
with open(sys.argv[1], "a") as notes:
    json.dump([os.environ["DISCO_TOKEN"], events], notes)
    notes.write("\\n")
print("noted", flush=True)
sys.exit(any(it["instance"] and it["instance"]["id"] == "bad" for it in events))
"""


@pytest.fixture
def disco(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disco]:
    """Speak to an agent of the test's own."""
    monkeypatch.setenv("DISCO_SOCKET", agent.socket)
    with Disco(agent.socket, timeout=ANSWER_SECONDS) as disco:
        yield disco


def told(events: list[Any]) -> list[tuple[str, str | None]]:
    """Return what happened to which instance."""
    return [(it["kind"], ((it["instance"] or it["before"]) or {}).get("id")) for it in events]


def test_from_a_token(disco: Disco, ask: Ask) -> None:
    """What was missed, each change with its cause, then synced; every event has a token."""
    web = disco.register("web", id="w", port=1, static=True)
    present = ask("watch", "--count", "0").lines
    token = present[-1]["token"]
    web.update(port=2)
    disco.register("db", id="d", static=True)
    web.close()

    missed = ask("watch", "--count", "0", "--from", token).lines

    assert told(missed) == [("updated", "w"), ("added", "d"), ("removed", "w"), ("synced", None)]
    assert [it["cause"] for it in missed] == ["updated", "registered", "deregistered", None]
    assert missed[0]["before"]["port"] == 1
    assert all(TEXT_CHARACTERS.issuperset(it["token"]) for it in (*present, *missed))
    later = ask("watch", "db", "--count", "0", "--from", missed[0]["token"]).lines
    assert told(later) == [("added", "d"), ("synced", None)]
    assert told(ask("watch", "--count", "0", "--from", missed[-1]["token"]).lines) == [
        ("synced", None)
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_from_a_token_over_a_restart(
    agent: Agent, disco: Disco, ask: Ask, number: signal.Signals
) -> None:
    """Nothing is told twice, nothing is reset."""
    disco.register("web", id="w", static=True)
    with started("watch", "--count", "1", "--socket", agent.socket) as watch:
        assert told([json.loads(line(watch)) for _ in range(2)])[-1] == ("synced", None)
        web = disco.register("web", id="x", static=True)
        token = json.loads(line(watch))["token"]
    web.update(port=7)
    agent.stop(number)
    agent.start()
    disco.register("web", id="y", static=True)

    missed = ask("watch", "--count", "0", "--from", token).lines

    if number == signal.SIGTERM:
        assert told(missed) == [("updated", "x"), ("added", "y"), ("synced", None)]
    else:  # the log may lack the last moments
        assert told(missed)[-2:] == [("added", "y"), ("synced", None)]


@pytest.mark.parametrize("text", ["", "x", "1.AAAA", "1."])
def test_what_is_no_token_is_refused(disco: Disco, ask: Ask, text: str) -> None:
    assert ask("watch", "--from", text).code == 2


def test_a_token_of_another_cluster_resets_all(disco: Disco, ask: Ask) -> None:
    disco.register("web", id="w", static=True)

    events = ask("watch", "--count", "0", "--from", "9.of-a-later-version").lines

    assert told(events) == [("reset", None), ("added", "w"), ("synced", None)]
    assert events[0]["node"] is None


def test_save_token(disco: Disco, ask: Ask, agent: Agent, tmp_path: Path) -> None:
    """After each event that was printed; a watch that begins with it misses nothing."""
    file = tmp_path / "at"
    with started("watch", "--save-token", str(file), "--socket", agent.socket) as watch:
        assert told([json.loads(line(watch))]) == [("synced", None)]
        disco.register("web", id="w", static=True)
        assert told([json.loads(line(watch))]) == [("added", "w")]
        disco.register("web", id="x", static=True)
        last = json.loads(line(watch))  # so the one before was saved
    assert file.read_text().strip() != ""
    # It was killed, perhaps in the midst of saving: beside the file may be what was to replace it.
    assert {it.name for it in tmp_path.iterdir() if not it.name.startswith(".at.")} == {"at"}
    disco.register("web", id="y", static=True)

    arguments = ("--from", file.read_text().strip(), "--save-token", str(file))
    missed = told(ask("watch", "--count", "0", *arguments).lines)

    assert missed in (
        [("added", "y"), ("synced", None)],
        [("added", "x"), ("added", "y"), ("synced", None)],
    )
    assert file.read_text() != f"{last['token']}\n"
    assert told(ask("watch", "--count", "0", "--from", file.read_text().strip()).lines) == [
        ("synced", None)
    ]


def test_where_no_token_can_be_saved(disco: Disco, ask: Ask, tmp_path: Path) -> None:
    """It is refused before anything is printed."""
    for path in (tmp_path, tmp_path / "missing" / "at"):
        answer = ask("watch", "--count", "0", "--save-token", str(path))
        assert (answer.code, answer.out) == (2, "")


def notes(path: Path) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Return the token and the events of each run of CMD."""
    runs = [json.loads(line) for line in path.read_text().splitlines()]
    return [(token, told(events)) for token, events in runs]


def test_a_command(agent: Agent, disco: Disco, tmp_path: Path) -> None:
    """Once after synced, then once for what came since; its failure is a line, not the end."""
    noted, file = tmp_path / "notes", tmp_path / "at"
    disco.register("web", id="w", static=True)
    arguments = ("--count", "3", "--save-token", str(file), "--socket", agent.socket)
    command = ("--", sys.executable, "-c", NOTING, str(noted))
    with started("watch", *arguments, *command) as watch:
        assert line(watch) == "noted"
        assert notes(noted) == [(notes(noted)[0][0], [("added", "w"), ("synced", None)])]
        disco.register("web", id="x", static=True)
        assert line(watch) == "noted"
        disco.register("web", id="bad", static=True)
        assert "failed: exit:1" in talk(watch)
        saved = file.read_text()
        disco.register("web", id="y", static=True)

        assert watch.wait(ANSWER_SECONDS) == 0
    runs = notes(noted)
    assert [events for _, events in runs][1:] == [[("added", it)] for it in ("x", "bad", "y")]
    assert saved == f"{runs[1][0]}\n"
    assert file.read_text() == f"{runs[3][0]}\n"


def test_a_command_that_is_slow_gets_all_that_came(
    agent: Agent, disco: Disco, tmp_path: Path
) -> None:
    """Never two at a time: what comes while it runs waits for the next run."""
    fifo, noted = tmp_path / "fifo", tmp_path / "notes"
    import os

    os.mkfifo(fifo)
    script = 'echo begun; read -r _ < "$0"; exec "$@"'
    command = (script, str(fifo), sys.executable, "-c", NOTING, str(noted))
    with started("watch", "--socket", agent.socket, "--", "sh", "-c", *command) as watch:
        assert line(watch) == "begun"
        for number in range(20):
            disco.register("web", id=f"w{number:02}", static=True)
        fifo.write_text("go\n")
        assert [line(watch), line(watch)] == ["noted", "begun"]
        fifo.write_text("go\n")
        assert line(watch) == "noted"
    assert [events for _, events in notes(noted)] == [
        [("synced", None)],
        [("added", f"w{number:02}") for number in range(20)],
    ]


def test_a_command_that_is_none(disco: Disco, ask: Ask) -> None:
    assert ask("watch", "--").code == 2
    answer = ask("watch", "--count", "0", "--", "/no/such/command")
    assert answer.code == 0
    assert "command not found" in answer.err


def test_a_command_that_does_not_read(disco: Disco, ask: Ask) -> None:
    """Nobody waits for it to."""
    for number in range(300):
        disco.register("web", id=f"w{number}", meta={"k": "v" * 900}, static=True)

    assert ask("watch", "--count", "0", "--", "true").code == 0
