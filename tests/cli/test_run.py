"""`run` with a real agent: registered exactly as long as CMD runs, and with the true cause."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from discoagent.client import Disco, Watch
from discoagent.instance import Event
from tests.agent.harness import scratch_directory
from tests.cli.agents import Agent
from tests.cli.ctl import ANSWER_SECONDS, ctl, ended, line, started, talk

SLEEPER = (sys.executable, "-c", "import signal\nwhile True: signal.pause()")
REFUSES = r"""
import os, signal
# At once and whole: the kernel may tell it twice, as the wrapper's threads end one by one.
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"no\n"))
print("up", flush=True)
while True:
    signal.pause()
"""
STUBBORN = (sys.executable, "-c", REFUSES)


@pytest.fixture
def agent() -> Iterator[Agent]:
    """Run one agent of its own for a test, which waits for a wrapper's word."""
    with (
        scratch_directory() as directory,
        Agent("a", directory, program="tests.cli.patient") as agent,
    ):
        agent.start()
        yield agent


@pytest.fixture
def disco(agent: Agent) -> Iterator[Disco]:
    """Speak to an agent of the test's own."""
    with Disco(agent.socket, timeout=ANSWER_SECONDS) as disco:
        yield disco


@pytest.fixture
def events(disco: Disco) -> Iterator[Watch]:
    """Watch what happens from now on."""
    with disco.watch(timeout=ANSWER_SECONDS) as watch:
        while next(watch).kind != "synced":
            pass
        yield watch


def added(events: Watch) -> Event:
    """Wait for an event that adds an instance."""
    event = next(events)
    assert event.kind == "added"
    return event


def test_registered_as_long_as_it_runs(agent: Agent, events: Watch) -> None:
    """Bound to CMD's pid, with CMD's executable; gone with its exit code as the cause."""
    with started(
        *("run", "web", "--port", "8080", "--tag", "v2", "--meta", "zone=a"),
        *("--socket", agent.socket, "--", "sh", "-c", "read x; exit 3"),
        stdin=True,
    ) as wrapper:
        instance = added(events).instance
        assert instance is not None
        _, err = wrapper.communicate("go\n", timeout=ANSWER_SECONDS)

    assert (wrapper.returncode, err) == (3, "")
    assert instance.name == "web/web-8080@a"
    assert (instance.port, instance.tags, instance.meta) == (8080, ("v2",), {"zone": "a"})
    assert instance.lifetime.pid == instance.owner.pid != wrapper.pid
    assert instance.owner.exe is not None
    assert not instance.owner.exe.endswith(Path(sys.executable).name)
    gone = next(events)
    assert (gone.kind, gone.cause) == ("removed", "exit:3")
    assert gone.before == instance


def test_kill_9_of_the_command(agent: Agent, events: Watch) -> None:
    """The cause is what the kernel did."""
    with started("run", "web", "--socket", agent.socket, "--", *SLEEPER) as wrapper:
        pid = added(events).instance.lifetime.pid  # type: ignore[union-attr]
        os.kill(pid or 0, signal.SIGKILL)

        assert next(events).cause == "exit:SIGKILL"
        assert wrapper.wait(ANSWER_SECONDS) == 128 + signal.SIGKILL


def test_kill_9_of_the_wrapper(agent: Agent, events: Watch) -> None:
    """The kernel ends CMD, and the entry ends with it."""
    with started("run", "web", "--socket", agent.socket, "--", *SLEEPER) as wrapper:
        pid = added(events).instance.lifetime.pid  # type: ignore[union-attr]
        wrapper.kill()

        assert next(events).cause in ("exit:SIGTERM", "exit")  # as the kernel is new or old
        assert ended(pid or 0)


def test_the_entry_of_a_stubborn_command_lives_as_long(agent: Agent, events: Watch) -> None:
    """The wrapper is gone, CMD is not: what is true of it stays registered."""
    with started("run", "web", "--socket", agent.socket, "--", *STUBBORN) as wrapper:
        pid = added(events).instance.lifetime.pid or 0  # type: ignore[union-attr]
        assert line(wrapper) == "up"
        wrapper.kill()
        assert line(wrapper) == "no"  # it got the kernel's SIGTERM, and lives on
        with Disco(agent.socket, timeout=ANSWER_SECONDS) as disco:
            assert disco.list("web")[0].lifetime.pid == pid
        os.kill(pid, signal.SIGKILL)

        assert next(events).cause in ("exit:SIGKILL", "exit")


def test_a_signal_to_the_wrapper_is_the_command_s(agent: Agent, events: Watch) -> None:
    """It is passed on, and told."""
    with started("run", "web", "--socket", agent.socket, "--", *SLEEPER) as wrapper:
        added(events)
        wrapper.send_signal(signal.SIGTERM)

        assert next(events).cause == "exit:SIGTERM"
        assert wrapper.wait(ANSWER_SECONDS) == 128 + signal.SIGTERM


def test_drained_before_it_is_told(agent: Agent, events: Watch) -> None:
    """On SIGTERM; CMD goes on for so long, or until a second one."""
    run = ("run", "web", "--drain", "10m", "--socket", agent.socket)
    with started(*run, "--", *SLEEPER) as wrapper:
        added(events)
        wrapper.send_signal(signal.SIGTERM)
        draining = next(events)
        assert draining.instance is not None
        assert (draining.instance.state, draining.cause) == ("draining", "drained")
        wrapper.send_signal(signal.SIGTERM)

        assert next(events).cause == "exit:SIGTERM"
        assert wrapper.wait(ANSWER_SECONDS) == 128 + signal.SIGTERM


def test_the_time_to_drain_is_over(agent: Agent, events: Watch) -> None:
    """Then CMD is told; other signals were passed on meanwhile."""
    script = "trap 'echo usr1' USR1; trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"
    run = ("run", "web", "--drain", "300ms", "--socket", agent.socket, "--", "sh", "-c", script)
    with started(*run) as wrapper:
        added(events)
        assert line(wrapper) == "up"
        wrapper.send_signal(signal.SIGTERM)
        assert next(events).cause == "drained"
        wrapper.send_signal(signal.SIGUSR1)
        assert line(wrapper) == "usr1"

        assert next(events).cause == "exit:7"
        assert wrapper.wait(ANSWER_SECONDS) == 7


def test_a_taken_id_starts_nothing(agent: Agent, disco: Disco, tmp_path: Path) -> None:
    """6, naming the owner; with `--replace` it is taken over."""
    disco.register("web", port=80)
    sign = tmp_path / "started"
    run = ("run", "web", "--port", "80", "--socket", agent.socket)
    answer = ctl(*run, "-o", "json", "--", "touch", str(sign))

    assert answer.code == 6
    assert str(os.getpid()) in answer.error["message"]
    assert not sign.exists()
    assert ctl(*run, "--replace", "--", "touch", str(sign)).code == 0
    assert sign.exists()


@pytest.mark.parametrize("flag", ["--verify", "--check=tcp"])
def test_what_the_agent_refuses_starts_nothing(agent: Agent, tmp_path: Path, flag: str) -> None:
    """It is asked before CMD begins, for a moment would be enough for what cannot be undone."""
    sign = tmp_path / "sign"
    answer = ctl("run", "web", flag, "--socket", agent.socket, "--", "touch", str(sign))

    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1
    assert not sign.exists()


def test_what_cannot_be_executed_was_never_registered(agent: Agent, events: Watch) -> None:
    """No event of it."""
    assert ctl("run", "web", "--socket", agent.socket, "--", "/no/such/command").code == 127
    assert ctl("run", "web", "--socket", agent.socket, "--", "/dev/null").code == 126
    with Disco(agent.socket, timeout=ANSWER_SECONDS) as disco:
        disco.register("last", static=True)
        assert added(events).instance.service == "last"  # type: ignore[union-attr]


def test_an_agent_that_comes_later(tmp_path: Path) -> None:
    """One warning; registered as soon as the agent is there."""
    with Agent("a", tmp_path) as agent:
        with started("run", "web", "--socket", agent.socket, "--", *SLEEPER) as wrapper:
            assert "not registered yet" in talk(wrapper)
            agent.start()
            with (
                Disco(agent.socket, timeout=ANSWER_SECONDS) as disco,
                disco.watch("web", timeout=30) as events,
            ):
                while next(events).kind != "added":
                    pass
            wrapper.send_signal(signal.SIGTERM)
            _, err = wrapper.communicate(timeout=ANSWER_SECONDS)

        assert (wrapper.returncode, err) == (128 + signal.SIGTERM, "")


def test_an_agent_that_is_required(nobody: str, tmp_path: Path) -> None:
    """3, and CMD is not started."""
    sign = tmp_path / "started"
    answer = ctl("run", "web", "--require", "--socket", nobody, "--", "touch", str(sign))

    assert (answer.code, sign.exists()) == (3, False)
    assert len(answer.err.splitlines()) == 1


def test_a_restart_of_the_agent_is_no_event(agent: Agent) -> None:
    """The new life is told of CMD again; its end is told with the true cause."""
    with (
        started("watch", "web", "--socket", agent.socket) as events,
        started("run", "web", "--socket", agent.socket, "--", *SLEEPER) as wrapper,
    ):
        kinds = [json.loads(line(events))["kind"] for _ in range(2)]
        assert sorted(kinds) == ["added", "synced"]
        agent.stop(signal.SIGKILL)
        agent.start()
        assert [talk(events).rpartition(" ")[2] for _ in range(2)] == ["it", "back"]
        with (
            Disco(agent.socket, timeout=ANSWER_SECONDS) as anew,
            anew.watch("web", timeout=ANSWER_SECONDS) as present,
        ):
            while (event := next(present)).kind != "added":
                pass
        wrapper.send_signal(signal.SIGTERM)
        gone = json.loads(line(events))

    assert event.instance is not None
    assert (gone["kind"], gone["cause"]) == ("removed", "exit:SIGTERM")
    assert gone["before"] == event.instance.to_json()


def test_nothing_is_said_but_by_the_command(agent: Agent) -> None:
    """Its output can be piped."""
    answer = ctl("run", "web", "--socket", agent.socket, "-o", "json", "--", "echo", '{"a": 1}')

    assert (answer.code, json.loads(answer.out), answer.err) == (0, {"a": 1}, "")
