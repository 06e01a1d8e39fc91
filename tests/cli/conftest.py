"""What the tests of `discoctl` share: a way to ask, and agents to ask."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from discoagent.cli import main
from tests.agent.harness import scratch_directory
from tests.cli.agents import Agent
from tests.cli.ctl import ANSWER_SECONDS, Answer, Ask


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of the developer's count, and answers take their time on a busy machine."""
    for name in ("DISCO_SOCKET", "DISCO_TIMEOUT", "DISCO_OUTPUT", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISCO_TIMEOUT", f"{ANSWER_SECONDS}s")


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run commands in this process: as quick as they are."""

    def run(*args: str) -> Answer:
        capsys.readouterr()
        code = main.main([str(arg) for arg in args], standalone_mode=False)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture
def nobody(tmp_path: Path) -> str:
    """Return a path where no agent listens."""
    return str(tmp_path / "nobody.sock")


@pytest.fixture
def agent() -> Iterator[Agent]:
    """Run one agent of its own for a test."""
    with scratch_directory() as directory, Agent("a", directory) as agent:
        agent.start()
        yield agent


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Agent, Agent]]:
    """Run two agents, `a` and `b`, for all tests of a module."""
    with scratch_directory() as directory, Agent("a", directory) as a, Agent("b", directory) as b:
        a.start()
        b.start(a.endpoint)
        yield a, b


@pytest.fixture
def unused_port() -> Iterator[int]:
    """Hold a port on which nobody listens, nor will as long as the test runs."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
