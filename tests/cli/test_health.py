"""`--check`, `ttl`, `maint`, `drain`: of real agents."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from discoagent.client import Disco
from discoagent.client.disco import Spec
from discoagent.rules import NAMES_MAX
from tests.agent.harness import scratch_directory, start_agent, wait_until
from tests.cli.agents import Agent
from tests.cli.ctl import ANSWER_SECONDS, Ask

Pair = tuple[Agent, Agent]


@pytest.fixture(autouse=True)
def at_a(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disco]:
    """Ask `a` unless the test says otherwise; whatever a test registered is ended after it."""
    monkeypatch.setenv("DISCO_SOCKET", pair[0].socket)
    with Disco(pair[0].socket, timeout=ANSWER_SECONDS) as disco:
        yield disco
        for instance in disco.list(node="a", all=True):
            disco.deregister(instance.name)


def test_checks(at_a: Disco, ask: Ask) -> None:
    """Given, shown with what is known of them, changed, and taken away."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        options = ",interval=200ms,timeout=5s"
        flags = ["--check", f"tcp{options}", "--check", f"exec:echo well{options}"]
        where = ["--address", "127.0.0.1", "--port", port, "--id", "w"]
        assert ask("register", "web", "--static", *where, *flags) == (0, "web/w@a\n", "")
        wait_until(lambda: at_a.list("web"))
        found = ask("get", "w", "-o", "json").json["checks"]
        shown = ask("get", "w").out

    assert [(it["kind"], it["state"], it["output"]) for it in found] == [
        ("tcp", "passing", "connected"),
        ("exec", "passing", "well"),
    ]
    assert "Check: tcp every 200ms: passing (" in shown
    assert "Check: exec:echo well every 200ms: passing (" in shown
    assert ask("update", "w", "--check", "ttl:1h", "-o", "json").json["state"] == "pending"
    assert ask("update", "w", "--no-check", "-o", "json").json["state"] == "passing"


def test_why_it_is_pending(at_a: Disco, ask: Ask) -> None:
    """Shown is how often a check has failed, and with what; it is not critical, for it never was
    well."""
    ask(
        "register",
        "web",
        "--static",
        "--id",
        "w",
        "--check",
        "exec:sh -c 'echo no; exit 2',interval=100ms,fall=1",
    )
    wait_until(lambda: at_a.get("w").checks[0]["failures"] > 1)
    found = at_a.get("w")
    shown = ask("get", "w").out

    assert found.state == "pending"
    assert "Check: exec:sh -c 'echo no; exit 2' every 100ms: pending (" in shown
    assert " times in a row: exit code 2: no" in shown


@pytest.mark.parametrize(
    "check", ["ping", "tcp:x", "http:y", "exec:", "ttl:never", "tcp,interval=1ms", "http:/,ris=1"]
)
def test_a_check_that_is_none(check: str, ask: Ask) -> None:
    """2, naming it, before anybody is asked."""
    answer = ask(
        "register", "web", "--static", "--check", check, "--socket", "/nobody", "-o", "json"
    )

    assert answer.code == 2
    assert answer.error["field"] == "check"


def test_check_and_no_check(ask: Ask) -> None:
    """Contradict each other."""
    assert ask("update", "web", "--check", "tcp", "--no-check").code == 2


def test_ttl(ask: Ask) -> None:
    """Pass, warn, fail; the note is shown here."""
    ask("register", "job", "--static", "--check", "ttl:1h")
    words = {"pass": "passing", "warn": "warning", "fail": "critical"}
    for word, state in words.items():
        assert ask("ttl", word, "job", "-o", "json").json["state"] == state
    assert ask("ttl", "fail", "job", "--note", "disk full") == (0, "job/job@a\n", "")
    assert ask("get", "job", "-o", "json").json["checks"][0]["output"] == "disk full"
    ask("register", "plain", "--static")
    assert ask("ttl", "pass", "plain").code == 2
    assert ask("ttl", "pass", "nobody").code == 1
    assert ask("ttl", "well", "job").code == 2


def test_flapping(ask: Ask) -> None:
    """Shown as long as it is held back, with the penalty by which it is."""
    ask("register", "job", "--static", "--check", "ttl:1h")
    for word in ("pass", "fail") * 4:
        ask("ttl", word, "job")
    assert ask("ttl", "pass", "job", "-o", "json").json["state"] == "critical"
    (check,) = ask("get", "job", "-o", "json").json["checks"]

    assert check["flapping"]
    assert 3 < check["penalty"] <= 4
    assert "critical, flapping (penalty " in ask("get", "job").out


def test_maint(ask: Ask) -> None:
    """On and off, of one and of all."""
    ask("register", "web", "--static", "--port", "1")
    ask("register", "db", "--static", "--port", "2")
    assert ask("maint", "on", "web-1", "--reason", "new disk", "--for", "1h").out == "web/web-1@a\n"
    found = ask("get", "web-1", "-o", "json").json
    assert (found["state"], found["maint"]["reason"]) == ("maint", "new disk")
    assert "State: maint (new disk; until 20" in ask("get", "web-1").out
    assert ask("list", "-o", "name").out == "db/db-2@a\n"
    assert [it["state"] for it in ask("maint", "on", "-o", "json").json] == ["maint", "maint"]
    assert ask("maint", "off").out == "db/db-2@a\nweb/web-1@a\n"
    assert ask("maint", "off", "web-1", "-o", "json").json["state"] == "passing"
    assert ask("maint", "off", "--reason", "x").code == 2
    assert ask("maint", "on", "nobody").code == 1


def test_drain(pair: Pair, ask: Ask) -> None:
    """What would be left, then the deed; not on another's node."""
    with Disco(pair[1].socket, timeout=ANSWER_SECONDS) as there:
        there.register("web", id="b", port=1)
        ask("register", "web", "--static", "--id", "w1", "--port", "1")
        ask("register", "web", "--static", "--id", "w2", "--port", "2")
        ask("register", "db", "--static", "--port", "2")
        wait_until(lambda: ask("list", "web", "-o", "name").out.count("\n") == 3)

        planned = ask("drain", "--dry-run")
        assert (planned.code, planned.out) == (1, "db 1 -> 0: last instance\nweb 3 -> 1\n")
        assert ask("drain", "w1", "--dry-run") == (0, "web 3 -> 2\n", "")
        assert ask("drain", "w1", "--dry-run", "-o", "json").json == [
            {"service": "web", "before": 3, "after": 2, "last": False}
        ]
        assert ask("drain", "web/b", "--dry-run").code == 4
        assert ask("drain", "web/b").code == 4
        drained = ask("drain", "--wait", "--timeout", "10s", "-o", "json")
        assert drained.code == 0
        assert [(it["id"], it["state"]) for it in drained.json] == [
            ("db-2", "draining"),
            ("w1", "draining"),
            ("w2", "draining"),
        ]
        assert [it.id for it in there.list()] == ["b"]
        assert ask("drain", "--dry-run").code == 0  # nothing is usable here any more


def test_more_services_are_drained_than_one_question_may_name(tmp_path: Path, ask: Ask) -> None:
    with start_agent(tmp_path) as agent, Disco(agent.socket, timeout=ANSWER_SECONDS) as disco:
        disco.register_many([Spec(f"s{number}", static=True) for number in range(NAMES_MAX + 1)])
        planned = ask("drain", "--dry-run", "--socket", agent.socket)

        assert planned.code == 1
        assert planned.out.count(" 1 -> 0: last instance\n") == NAMES_MAX + 1


def test_nothing_to_drain(ask: Ask) -> None:
    """Is done at once."""
    assert ask("drain", "-o", "json") == (0, "[]\n", "")
    assert ask("drain", "--dry-run").code == 0


def test_reload(tmp_path: Path, ask: Ask) -> None:
    """Shows what it changes, or would, and what is wrong with which file."""
    (tmp_path / "services.d").mkdir()
    config, file = tmp_path / "a.toml", tmp_path / "services.d" / "web.toml"
    config.touch()
    file.write_text("[[service]]\nname = 'web'\nport = 80\n")
    with (
        scratch_directory() as directory,
        start_agent(directory, arguments=("--config", str(config))) as agent,
    ):
        at = ("--socket", agent.socket)
        assert ask("reload", *at) == (0, "nothing has changed\n", "")
        config.write_text("labels = { zone = 'a' }\n")
        file.write_text("[[service]]\nname = 'web'\nport = 81\n")
        changes = f"~ labels\n+ web/web-81 ({file})\n- web/web-80 ({file})\n"
        assert ask("reload", "--dry-run", *at) == (0, changes, "")
        assert ask("list", "-o", "name", *at).out == "web/web-80@a\n"
        assert ask("reload", *at) == (0, changes, "")
        assert ask("list", "-o", "name", *at).out == "web/web-81@a\n"
        file.write_text("[[service]]\nname = 'web'\nport = 'x'\n")
        wrong = ask("reload", *at)
        assert (wrong.code, wrong.out) == (5, "nothing has changed\n")
        assert wrong.err.startswith(f"discoctl: {file}:3: port: ")
        found = ask("reload", "-o", "json", *at).json
        assert [it["field"] for it in found["problems"]] == ["port"]
