"""The log of real agents: one line an event, none of them a secret, and no flood."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from discoagent.client import Disco
from tests.agent.harness import AgentProcess, scratch_directory, start_agent, wait_until

SECRET = "only-for-friends"
FRAMES = 1_500


@pytest.fixture
def talkative() -> Iterator[AgentProcess]:
    """An agent that logs all that there is, as JSON."""
    flags = ["--log-format", "json", "--log-level", "debug"]
    with scratch_directory() as directory, start_agent(directory, arguments=flags) as agent:
        yield agent


def said(agent: AgentProcess) -> list[dict[str, Any]]:
    """Return the records that an agent has logged, which are JSON, each in a line."""
    return [json.loads(line) for line in agent.lines if line]


def endpoint(agent: AgentProcess) -> str:
    """Return where an agent listens that logs JSON."""
    return str(agent.status()["bind"])


def shout(endpoint: str, frame: bytes, times: int) -> None:
    """Send a frame to an agent's ROUTER again and again, and wait until all of it has left."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.set_hwm(0)
        dealer.linger = 15_000
        dealer.connect(f"tcp://{endpoint}")
        for _ in range(times):
            dealer.send(frame)


def test_each_line_is_one_record(talkative: AgentProcess) -> None:
    """Whatever happens: peers that come and go, refusals, nonsense with line breaks in it."""
    agent = talkative
    here = endpoint(agent)
    with scratch_directory() as directory:
        with start_agent(directory, "b", join=[here]) as b:
            b.stop()
        with start_agent(directory, "x", join=[here], cluster="other"):
            agent.logged("refused x")
        shout(here, b"\n\n", 1)
        agent.logged("dropped a message")
    agent.stop()
    records = said(agent)

    assert all({"at", "level", "message"} <= record.keys() for record in records)
    assert {record["level"] for record in records} >= {"debug", "info", "warning"}
    (known,) = [it for it in records if it["message"] == "node b: unknown -> alive"]
    assert (known["level"], known["peer"], known["state"]) == ("info", "b", "alive")
    (refused,) = [it for it in records if it["message"].startswith("refused x")]
    assert (refused["level"], refused["peer"]) == ("warning", "x")


def test_no_meta_value_is_in_it(talkative: AgentProcess) -> None:
    """Not even where all is logged: of instances and of who is present, metas are private."""
    agent = talkative
    with Disco(agent.socket) as disco:
        web = disco.register("web", port=80, meta={"pass": SECRET})
        web.update(meta={"pass": f"{SECRET} again"})
        disco.track("room", "alice", {"pass": SECRET})
        assert SECRET in disco.list("web")[0].meta["pass"]
    with scratch_directory() as directory, start_agent(directory, "b", join=[endpoint(agent)]) as b:
        agent.logged("> Welcome")
        b.stop()
    agent.stop()

    assert any(it["level"] == "debug" for it in said(agent))
    assert not any(SECRET in line for line in agent.lines)


def test_a_peer_that_misbehaves_cannot_flood_it() -> None:
    """It is said the first, the tenth, the hundredth time; a counter has the whole number."""
    with scratch_directory() as directory, start_agent(directory) as agent:
        shout(agent.bind, b"nonsense", FRAMES)

        def dropped() -> int:
            counters = agent.status()["counters"]
            return sum(n for name, n in counters.items() if name.startswith("mesh.router."))

        wait_until(lambda: dropped() >= FRAMES)
        agent.stop()
        lines = [line for line in agent.lines if "dropped a message" in line]

        assert [line.rpartition(" (")[2] for line in lines[1:]] == [
            f"{10**power} times so far)" for power in (1, 2, 3)
        ]


def test_text_on_a_terminal() -> None:
    """Also of whoever was started by systemd with its stderr elsewhere."""
    controller, terminal = os.openpty()
    with scratch_directory() as directory:
        argv = [sys.executable, "-m", "discoagent.daemon", "--bind", "127.0.0.1:0"]
        argv += ["--socket", str(directory / "s"), "--state-dir", str(directory / "state")]
        environ = {**os.environ, "JOURNAL_STREAM": "1:1"}
        with subprocess.Popen(argv, stderr=terminal, env=environ) as process:
            os.close(terminal)
            with os.fdopen(controller, encoding="utf-8") as lines:
                ready = next(line for line in lines if line.startswith("ready "))
                process.kill()
        assert f"socket={directory / 's'} " in ready
