"""What an operator sees of a running agent: its log at any level, and its figures."""

import os
from typing import Any

import pytest

from discoagent.client import Disco
from discoagent.errors import Refused
from tests.agent.harness import DEADLINE, AgentProcess, Raw
from tests.agent.users import as_user

NOBODY = 65_534


def test_the_log_s_level_changes_at_once(agent: AgentProcess, asker: Raw) -> None:
    """What was not written before is from now on, and no longer after it is set back."""
    assert asker.ask("log-level") == {"level": "info"}
    assert asker.ask("log-level", level="debug") == {"level": "debug"}
    asker.ask("join", addresses=[agent.bind])
    asker.ask("join", addresses=["127.0.0.1:1"], wait_ms=200)
    agent.logged("= connect 127.0.0.1:1")
    assert asker.ask("log-level", level="info") == {"level": "info"}


def test_a_monitor_hears_what_is_not_written(agent: AgentProcess, asker: Raw) -> None:
    """At a level of its own, from when it asked until it cancels."""
    number = asker.send("monitor", level="debug")
    asker.ask("join", addresses=["127.0.0.1:2"], wait_ms=200)
    lines: list[list[Any]] = []
    while not any("127.0.0.1:2" in line[2] for line in lines):
        _, status, body = asker.answer_to(number)
        assert status == 2
        lines += body
    assert {line[1] for line in lines} <= {"debug", "info", "warning", "error"}
    assert not any("= connect 127.0.0.1:2" in line for line in agent.lines)
    asker.send("cancel", watch=number)
    while asker.answer_to(number)[1] == 2:
        pass


def test_lines_are_read_by_the_client(agent: AgentProcess) -> None:
    """`Disco.monitor` is an endless iterator; the agent forgets whoever goes away."""
    with Disco(agent.socket, timeout=DEADLINE) as disco:
        lines = disco.monitor("warning")
        disco.log_level("info")  # which is said as a warning
        assert "log's level" in next(lines).message


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to ask as another user")
def test_others_may_look_at_the_level_alone(agent: AgentProcess) -> None:
    """A log may hold what is nobody else's business, and a level costs."""

    def look() -> None:
        with agent.raw() as stranger:
            assert stranger.ask("log-level") == {"level": "info"}
            for call in (("log-level", {"level": "debug"}), ("monitor", {})):
                refused = stranger.refusal(call[0], **call[1])
                assert isinstance(refused, Refused)
                assert "root" in refused.message

    as_user(NOBODY, look)


def test_bad_levels(asker: Raw) -> None:
    """Field and bound."""
    for operation in ("log-level", "monitor"):
        refused = asker.refusal(operation, level="loud")
        assert refused.field == "level"
        assert "one of debug, info, warning, error" in refused.message


def test_metrics_are_prometheus_text(agent: AgentProcess, asker: Raw) -> None:
    """Each family has HELP and TYPE, each sample a number."""
    asker.register("web", port=80)
    with Disco(agent.socket, timeout=DEADLINE) as disco:
        text = disco.metrics()
    lines = text.splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert samples['discoagent_instances{where="local"}'] == "1"
    assert samples['discoagent_members{state="alive"}'] == "1"
    assert samples["discoagent_ready"] == "1"
    assert float(samples['discoagent_local_total{what="requests"}']) > 0
    named = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {sample.partition("{")[0] for sample in samples} == named
