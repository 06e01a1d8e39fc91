"""The file at which an agent listens: whose it is, who may use it, and what becomes of it."""

import grp
import os
from pathlib import Path

import pytest

from discoagent.errors import Conflict, InvalidRequest, Refused
from tests.agent.harness import AgentProcess, scratch_directory, start_agent


def test_a_second_agent_on_the_same_path(agent: AgentProcess) -> None:
    """Exit 6, one sentence that names the first; the first is not disturbed."""
    directory = Path(agent.socket).parent
    second = start_agent(directory, "a", ready=False)
    with second:
        assert second.wait() == Conflict.code
        assert any(f"another agent (pid {agent.pid})" in line for line in second.lines)
    with agent.raw() as asker:
        assert asker.ask("hello")["pid"] == agent.pid


def test_stale_files_are_no_obstacle() -> None:
    """After kill -9 the next agent takes over socket and lock; a clean end leaves none of them."""
    with scratch_directory() as directory:
        first = start_agent(directory)
        first.kill()
        assert sorted(path.name for path in directory.glob("*.*k")) == ["a.sock", "a.sock.lock"]
        with start_agent(directory) as second:
            with second.raw() as asker:
                assert asker.ask("hello")["pid"] == second.pid
            assert second.stop() == 0
        assert list(directory.glob("*.*k")) == []


@pytest.mark.parametrize("lost", ["a.sock", "a.sock*"])
def test_a_socket_that_somebody_removes_is_made_again(lost: str) -> None:
    """With its mode and its lock; who is connected notices nothing, and the log says it."""
    with scratch_directory() as directory, start_agent(directory) as agent:
        path = directory / "a.sock"
        mode = path.stat().st_mode
        with agent.raw() as before:
            events = before.watch("web")
            assert events.present() == []
            for removed in directory.glob(lost):
                removed.unlink()
            agent.logged("was removed by somebody, and is made again")
            with agent.raw() as anew:
                anew.register("web", port=80)
            assert next(events).kind == "added"
            assert before.ask("hello")["pid"] == agent.pid
        assert path.stat().st_mode == mode
        with start_agent(directory, ready=False) as second:
            assert second.wait() == Conflict.code
        assert agent.stop() == 0
        assert list(directory.glob("*.*k")) == []


def test_a_socket_that_cannot_be_made_again() -> None:
    """Is said once; the agent serves whom it serves, and listens as soon as it can."""
    with scratch_directory() as directory, start_agent(directory) as agent, agent.raw() as before:
        assert before.ask("hello")["pid"] == agent.pid
        elsewhere = directory.with_name(f"{directory.name}-elsewhere")
        directory.rename(elsewhere)
        try:
            agent.logged("cannot be made again")
            assert before.ask("hello")["pid"] == agent.pid
        finally:
            elsewhere.rename(directory)
        (directory / "a.sock").unlink()
        agent.logged("is made again")
        assert sum("cannot be made again" in line for line in agent.lines) == 1


def test_what_is_no_socket_is_not_removed() -> None:
    """A mistyped path costs nobody a file."""
    with scratch_directory() as directory:
        (directory / "a.sock").write_text("precious")
        with start_agent(directory, ready=False) as agent:
            assert agent.wait() == InvalidRequest.code
            assert any("is no socket" in line for line in agent.lines)
        assert (directory / "a.sock").read_text() == "precious"


def test_a_directory_that_is_not_there() -> None:
    """Exit 4, and the sentence names the path."""
    with (
        scratch_directory() as directory,
        start_agent(directory / "missing", ready=False) as agent,
    ):
        assert agent.wait() == Refused.code
        assert any(f"{directory}/missing" in line for line in agent.lines)


def test_mode_and_group() -> None:
    """The socket has the configured mode; an unknown group is one line in the log."""
    with scratch_directory() as directory:
        settings = {"socket_mode": "0600", "socket_group": "no-such-group"}
        with start_agent(directory, settings=settings) as agent:
            assert Path(agent.socket).stat().st_mode & 0o7777 == 0o600
            assert "'no-such-group'" in agent.logged("there is no group")
        group = os.getgroups()[0] if os.getgroups() else os.getgid()
        settings = {"socket_group": grp.getgrgid(group).gr_name}
        with start_agent(directory, settings=settings) as agent:
            found = Path(agent.socket).stat()
            assert (found.st_mode & 0o7777, found.st_gid) == (0o660, group)
