"""A pid is not a process: it is used again, and a fork has another."""

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec

import pytest

from discoagent.client import Disco
from tests.agent.harness import DEADLINE, AgentProcess, Raw, scratch_directory, start_agent
from tests.agent.local_world import World, a_process, end, in_world

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
TRIES = 10

P = ParamSpec("P")


class PidTakenError(Exception):
    """Somebody else started a process just then, which has the pid now."""


@contextmanager
def another_of_pid(pid: int) -> Iterator[None]:
    """Another process gets this pid, which is free."""
    LAST_PID.write_text(str(pid - 1))
    with a_process() as process:
        if process.pid != pid:
            raise PidTakenError(f"{pid}, {process.pid} is the next")
        yield


def chooses_pids(test: Callable[P, None]) -> Callable[P, None]:
    """Mark a test that needs a pid of its choice; it is done again if others were quicker."""

    @functools.wraps(test)
    def until_it_was_ours(*args: P.args, **kwargs: P.kwargs) -> None:
        for _ in range(TRIES):
            try:
                return test(*args, **kwargs)
            except PidTakenError as taken:
                print(f"once more: {taken}")
        pytest.fail(f"others took the pid {TRIES} times")

    return pytest.mark.skipif(
        not os.access(LAST_PID, os.W_OK) or os.geteuid() != 0,
        reason="only root may choose the next pid, and only where /proc/sys is writable",
    )(until_it_was_ours)


@chooses_pids
def test_a_pid_that_is_used_again(agent: AgentProcess, asker: Raw) -> None:
    """The entry goes with its process; the next of that pid is another owner."""
    with Disco(agent.socket, timeout=DEADLINE) as disco, disco.watch("job") as watch:
        assert next(watch).kind == "synced"
        with a_process() as first:
            asker.ask("register", service="job", id="x", lifetime=["process", first.pid])
            assert next(watch).kind == "added"
        with another_of_pid(first.pid):
            gone = next(watch)
            assert asker.list("job") == []
            asker.ask("register", service="job", id="x", lifetime=["process", first.pid])
            anew = next(watch)

        assert (gone.kind, anew.kind, next(watch).kind) == ("removed", "added", "removed")
        assert gone.instance is None
        assert anew.instance is not None
        assert gone.before is not None
        assert anew.instance.ref != gone.before.ref


@chooses_pids
def test_before_the_agent_has_heard() -> None:
    """In one turn of its loop: whoever has the pid now is not taken for whoever had it."""

    async def story(world: World) -> None:
        with a_process() as first:
            world.ask("register", service="job", id="x", lifetime=["process", first.pid])
            end(first)
            first.wait()
        with another_of_pid(first.pid):
            world.ask("register", service="job", id="x", lifetime=["process", first.pid])
            assert world.story()[2:] == [("added", "registered")]
            await world.event(2)

        assert [kind for kind, _ in world.story()[:3]] == ["added", "removed", "added"]

    in_world(story)


@chooses_pids
def test_while_the_agent_is_away() -> None:
    """It does not take the process that it finds for the one that it knew."""
    with scratch_directory() as directory, a_process() as first:
        with start_agent(directory) as agent, agent.raw() as asker:
            asker.ask("register", service="job", id="x", lifetime=["process", first.pid])
            agent.stop(signal.SIGKILL)
        first.kill()
        first.wait()
        with another_of_pid(first.pid), start_agent(directory) as agent, agent.raw() as asker:
            assert asker.list("job") == []


FORKS = """
import os, sys
from discoagent.client import Disco
disco = Disco(sys.argv[1], timeout=30)
disco.register("job", id="x")
if os.fork() == 0:
    print("forked", os.getpid(), flush=True)
    sys.stdin.read()
    os._exit(0)
os._exit(3)
"""


def test_a_fork_does_not_keep_it(agent: AgentProcess) -> None:
    """It has all that its parent had open; the entry was the parent's."""
    with (
        Disco(agent.socket, timeout=DEADLINE) as disco,
        disco.watch("job") as watch,
        subprocess.Popen(
            [sys.executable, "-c", FORKS, agent.socket],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as parent,
    ):
        assert parent.stdout is not None
        word, pid = parent.stdout.readline().split()
        assert word == "forked"
        events = [event for _, event in zip(range(3), watch, strict=False)]
        os.kill(int(pid), 0)  # it lives, and holds the connection of its parent
        os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)

    assert [event.kind for event in events] == ["synced", "added", "removed"]
    assert events[-1].cause == "exit:3"
