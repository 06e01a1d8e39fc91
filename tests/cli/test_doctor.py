"""`discoctl doctor`: lines for people, values for programs, and why nobody answers."""

import json
import os
import stat
from pathlib import Path

import pytest

from tests.agent.users import as_user
from tests.cli.agents import Agent
from tests.cli.ctl import Ask

NOBODY = 65_534


def test_a_healthy_agent(ask: Ask, agent: Agent) -> None:
    """0, and a line for each subject."""
    ran = ask("doctor", "--socket", agent.socket)
    assert ran.code == 0
    assert ran.out.splitlines()[0].split() == ["STATE", "SUBJECT", "FINDING"]
    assert all(line.startswith("ok") for line in ran.out.splitlines()[1:])
    ran = ask("doctor", "-o", "json", "--socket", agent.socket)
    assert {row["subject"] for row in json.loads(ran.out)} >= {"socket", "ready", "state"}


def test_nobody_listens(ask: Ask, nobody: str) -> None:
    """1, with the path and what to do."""
    ran = ask("doctor", "--socket", nobody)
    assert ran.code == 1
    assert nobody in ran.out
    assert "systemctl start discoagent" in ran.out


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
@pytest.mark.parametrize(("mode", "advice"), [(0o660, "usermod -aG"), (0o600, "socket_mode")])
def test_a_socket_that_is_not_for_us(ask: Ask, agent: Agent, mode: int, advice: str) -> None:
    """What to do is said: be in its group, or open it to one."""
    Path(agent.socket).chmod(mode)
    assert stat.S_IMODE(os.stat(agent.socket).st_mode) == mode
    ran = as_user(NOBODY, lambda: ask("doctor", "--socket", agent.socket))
    assert ran.code == 1
    assert "permission denied" in ran.out
    assert advice in ran.out
