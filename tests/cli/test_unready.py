"""An agent that is not ready, one that says nonsense, and one that hangs: played by a stub."""

import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.ctl import ANSWER_SECONDS, Ask, line, started
from tests.client.specimens import row
from tests.client.stub import GREETING, Reply, Stub, silent

MEMBER = {
    "node": "a",
    "incarnation": 1,
    "address": "127.0.0.1:7800",
    "state": "alive",
    "instances": 1,
    "heard_ms": 0,
    "rtt_ms": None,
    "version": "0",
    "labels": {},
}
STATUS = {
    "node": "a",
    "incarnation": 1,
    "cluster": "c",
    "version": "0",
    "wire": 1,
    "ready": False,
    "alone": False,
    "isolated": False,
    "isolated_since": None,
    "bind": "127.0.0.1:7800",
    "advertise": "127.0.0.1:7800",
    "socket": "/a.sock",
    "pid": 1,
    "uptime_ms": 10,
    "secure": False,
    "members": {"alive": 1},
    "instances": {"local": 1, "total": 1},
}


def unready(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
    """Answer what an agent would that has not met its peers yet."""
    known = not arguments.get("services") or "web" in arguments["services"]
    rows = [row(overlay="restarting")] if known else []
    bodies = {
        "list": {"partial": True},
        "get": {"row": row(), "partial": True},
        "services": {"services": [["web", {"passing": 1}]], "partial": True},
        "members": {"members": [MEMBER], "partial": True},
        "status": STATUS,
        "hello": GREETING,
    }
    pages = [(number, 2, rows)] if operation == "list" else []
    return [*pages, (number, 0, bodies[operation])]


def isolated(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
    """Answer what an agent would that finds most others silent."""
    known = "web" in arguments.get("services", [])
    body = {"list": {"partial": False, "stale_ms": 6_200}, "hello": GREETING}.get(operation)
    status = {**STATUS, "isolated": True, "isolated_since": "2026-01-01T00:00:00.000Z"}
    pages = [(number, 2, [row(overlay="suspect")])] if operation == "list" and known else []
    return [*pages, (number, 0, body or status)]


def nonsense(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
    """Answer what no agent does."""
    return [(number, 0, ["nonsense", operation, arguments])]


@pytest.fixture
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return where the stub is to listen; commands ask there."""
    path = str(tmp_path / "stub.sock")
    monkeypatch.setenv("DISCO_SOCKET", path)
    return path


@pytest.mark.parametrize(
    "args",
    [
        *(["list"], ["list", "web"], ["services"], ["members"], ["get", "web-1"]),
        *(["resolve", "web"], ["resolve", "web", "--one"]),
    ],
    ids=" ".join,
)
def test_a_partial_answer_is_5(args: list[str], socket: str, ask: Ask) -> None:
    """With the answer on stdout, and a word on stderr."""
    with Stub(socket, unready):
        answer = ask(*args)

        assert answer.code == 5
        assert "web" in answer.out or "10.0.0.1:80" in answer.out or "alive" in answer.out
        assert answer.err.startswith("discoctl: the agent is not ready yet")
        assert ask(*args, "-q") == (5, "", "")


def test_nothing_found_yet_is_5_too(socket: str, ask: Ask) -> None:
    """What is not seen may be there all the same."""
    with Stub(socket, unready):
        assert ask("list", "nope").code == 5
        assert ask("resolve", "nope", "-o", "json")[:2] == (5, "[]\n")
        assert ask("resolve", "nope", "--one", "-o", "json")[:2] == (5, "")


def test_a_node_s_state_shows_on_its_instances(socket: str, ask: Ask) -> None:
    """Restarting is usable."""
    with Stub(socket, unready):
        assert ask("list", "web", "-o", "json").json[0]["state"] == "restarting"


def test_an_agent_that_may_be_cut_off(socket: str, ask: Ask) -> None:
    """It resolves with 5 and says how old that may be, unless that is in order."""
    with Stub(socket, isolated):
        answer = ask("resolve", "web")
        assert (answer.code, answer.out) == (5, "10.0.0.1:80\n")
        assert answer.err == (
            "discoctl: most other nodes are silent, so the agent may be cut off: "
            "what it knows may be 6.2s old\n"
        )
        assert ask("resolve", "web", "-q") == (5, "", "")
        assert ask("resolve", "nope").code == 5
        assert ask("resolve", "web", "--stale-ok", "--one").code == 0
        assert ask("resolve", "nope", "--stale-ok").code == 1
        assert ask("list", "web").code == 0
        assert "isolated since 2026-01-01T00:00:00.000Z" in ask("status").out


def test_waiting_for_ready(socket: str, ask: Ask) -> None:
    """1 with the status when the time is over; 124 without when it is `--timeout`'s."""
    with Stub(socket, unready):
        late = ask("status", "--wait-ready", "50ms", "-o", "json")
        shown = ask("status", "--wait-ready", "50ms", "--timeout", "1h")

        assert (late.code, late.json["ready"]) == (1, False)
        assert "State: not ready (insecure: no cluster key)" in shown.out
        for args in (["--wait-ready"], ["--wait-ready", "1h"]):
            answer = ask("status", *args, "--timeout", "50ms")
            assert (answer.code, answer.out) == (124, "")


def test_nonsense_is_7(socket: str, ask: Ask) -> None:
    """And a sentence, not a traceback."""
    with Stub(socket, nonsense):
        answer = ask("members", "-o", "json")

        assert (answer.code, answer.error["kind"]) == (7, "protocol")


def test_an_agent_that_hangs_holds_no_command_up(socket: str) -> None:
    """CMD gets its signals at once, and its own code is the answer."""
    script = (
        "import os, signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(9))\n"
        "print('up', flush=True)\n"
        "signal.pause()"
    )
    run = ("run", "web", "-q", "--timeout", "300ms", "--socket", socket)
    with Stub(socket, silent) as stub, started(*run, "--", sys.executable, "-c", script) as wrapper:
        assert line(wrapper) == "up"
        stub.wait_for("hello")  # with which a registration begins
        wrapper.send_signal(signal.SIGTERM)

        assert wrapper.wait(ANSWER_SECONDS) == 9


def test_a_required_agent_that_hangs_is_124(socket: str, tmp_path: Path, ask: Ask) -> None:
    """CMD is not started."""
    sign = tmp_path / "started"
    with Stub(socket, silent):
        answer = ask("run", "web", "--require", "--timeout", "50ms", "--", "touch", str(sign))

    assert (answer.code, sign.exists()) == (124, False)
