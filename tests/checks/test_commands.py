"""The check `exec`: commands that end well, badly, or never."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from discoagent.local.entries.checks.commands import NOBODY_S_GROUP, Running, may_run_as
from discoagent.local.entries.checks.guard import Guard
from discoagent.local.entries.checks.health import Outcome
from discoagent.local.entries.checks.workers import Workers
from discoagent.local.host import capabilities
from tests.agent.harness import scratch_directory
from tests.processes import command_line

DEADLINE = 15.0
PATIENT = 10.0
USER = 4_001
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


async def ran(*command: str, within: float = PATIENT, uid: int | None = None) -> Outcome:
    """Run a command once, and wait until it is gone."""
    loop = asyncio.get_running_loop()
    workers, guard = Workers(loop), Guard()
    outcome: asyncio.Future[Outcome] = loop.create_future()
    me = os.geteuid()
    running = Running(
        loop,
        workers,
        command,
        within,
        outcome.set_result,
        uid=me if uid is None else uid,
        agent_uid=me,
        environment={"DISCO_SERVICE": "web"},
        guard=guard,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            found = await outcome
            while running.lingers:
                await asyncio.wait_for(asyncio.shield(_a_moment()), 1)
            return found
    finally:
        workers.close()
        guard.close()


async def _a_moment() -> None:
    loop = asyncio.get_running_loop()
    passed: asyncio.Future[None] = loop.create_future()
    loop.call_later(0.005, passed.set_result, None)
    await passed


def outcome_of(*command: str, **options: float) -> Outcome:
    """Run a command once."""
    return asyncio.run(ran(*command, **options))  # type: ignore[arg-type]


def sh(script: str, **options: float) -> Outcome:
    """Run a shell, which is the command here."""
    return outcome_of("sh", "-c", script, **options)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("echo fine", Outcome("passing", "fine")),
        ("exit 0", Outcome("passing", "exit code 0")),
        ("echo so so >&2; exit 1", Outcome("warning", "so so")),
        ("exit 1", Outcome("warning", "exit code 1")),
        ("echo no; exit 2", Outcome("critical", "exit code 2: no")),
        ("exit 200", Outcome("critical", "exit code 200")),
        ("kill -9 $$", Outcome("critical", "ended by SIGKILL")),
        ("kill -40 $$", Outcome("critical", "ended by signal 40")),
    ],
)
def test_how_it_ended(script: str, outcome: Outcome) -> None:
    """0 passes, 1 warns, all else fails; with what it wrote."""
    assert sh(script) == outcome


def test_no_shell() -> None:
    """The words are the arguments."""
    assert outcome_of("echo", "$HOME; exit 2", "*").output == "$HOME; exit 2 *"


@pytest.mark.parametrize("command", ["no-such-command", "/etc/passwd", "/", "\ud800"])
def test_what_cannot_be_run(command: str) -> None:
    """Is said."""
    outcome = outcome_of(command)

    assert outcome.state == "critical"
    assert outcome.output.startswith("cannot run")


def test_it_sees_nothing_of_the_agent() -> None:
    """Neither environment nor descriptors nor terminal; nothing to read; the root directory."""
    os.environ["SECRET_OF_THE_AGENT"] = "x"
    try:
        found = sh("env; ls /proc/self/fd; pwd; cat; ps -o sid= -p $$ 2>/dev/null; true").output
    finally:
        del os.environ["SECRET_OF_THE_AGENT"]

    assert "SECRET" not in found
    assert "DISCO_SERVICE=web" in found
    lines = found.splitlines()
    descriptors = [line for line in lines if line.isdigit() and len(line) < 3]
    assert set(descriptors) <= {"0", "1", "2", "3"}  # ls itself opens the directory
    assert "/" in lines


def test_one_that_hangs() -> None:
    """Is killed when its time is over."""
    outcome = sh("echo waiting; sleep 600", within=0.3)

    assert outcome == Outcome("critical", "not done within 0.3 s waiting")


def test_one_that_will_not_be_told() -> None:
    """No signal but the last."""
    outcome = sh("trap '' TERM INT HUP; while :; do sleep 1; done", within=0.2)

    assert outcome.state == "critical"


def test_one_that_floods() -> None:
    """It waits, the agent does not: the first KiB is kept, and little of the time is spent."""
    began = time.process_time()
    outcome = outcome_of("yes", "0123456789", within=0.5)

    assert outcome.state == "critical"
    assert outcome.output.startswith("not done within 0.5 s 0123456789")
    assert len(outcome.output) < 1_200
    assert time.process_time() - began < 0.25


def test_much_output_and_a_good_end() -> None:
    """More than a pipe holds is read to the end."""
    outcome = sh("head -c 300000 /dev/zero | tr '\\0' x; exit 0")

    assert outcome.state == "passing"
    assert len(outcome.output) == 1_024


def processes_with(mark: str) -> list[int]:
    """Return who has this among its arguments."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and mark in command_line(pid)]


@pytest.mark.parametrize("end", ["exit 0", "sleep 600"])
def test_one_that_forks(end: str) -> None:
    """Its children hold its output open, and are killed with it: nothing piles up."""
    mark = f"31.{os.getpid()}"
    outcome = sh(f"for i in 1 2 3 4 5; do sleep {mark} & done; {end}", within=1.0)

    assert outcome.state == ("passing" if end == "exit 0" else "critical")
    until = time.monotonic() + DEADLINE
    while processes_with(mark):
        assert time.monotonic() < until


@root_only
def test_as_the_owner() -> None:
    """User, group and groups are those of the owner, who has no capabilities."""
    found = outcome_of("cat", "/proc/self/status", uid=USER).output
    fields = dict(line.split(":\t", 1) for line in found.splitlines() if ":\t" in line)

    assert fields["Uid"].split() == [str(USER)] * 4
    assert set(fields["Gid"].split()) == {str(NOBODY_S_GROUP)}
    assert fields["Groups"].strip() == ""


@root_only
def test_a_user_with_a_name() -> None:
    """Has its own home and groups."""
    assert outcome_of("sh", "-c", "id -un; echo $HOME", uid=65_534).output.splitlines() == [
        "nobody",
        "/nonexistent",
    ]


@root_only
def test_the_owner_may_not_do_what_the_agent_may() -> None:
    """A file of root stays shut."""
    with scratch_directory() as directory:
        secret = directory / "secret"
        secret.write_text("x")
        secret.chmod(0o600)

        assert outcome_of("cat", str(secret)).output == "x"
        assert outcome_of("cat", str(secret), uid=USER).state == "warning"  # cat says 1


@pytest.fixture
def own_status(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Put a file in the place of what the kernel says of this process."""
    file = tmp_path / "status"
    monkeypatch.setattr(capabilities, "OWN_STATUS", file)
    return file


SWITCHING = f"{1 << 5 | 1 << 6 | 1 << 7:016x}"


@pytest.mark.parametrize(
    ("uids", "effective", "ambient", "may"),
    [
        pytest.param((1_000, 1_000), "0", "0", True, id="oneself"),
        pytest.param((0, 1_000), "0", "0", False, id="root"),
        pytest.param((1_001, 1_000), "0", "0", False, id="another"),
        pytest.param((1_000, 0), "000001ffffffffff", "0", True, id="by root"),
        pytest.param((1_000, 0), "0", "0", False, id="by root in a container"),
        pytest.param((1_000, 0), f"{1 << 6:016x}", "0", False, id="group alone"),
        pytest.param((1_001, 1_000), SWITCHING, "0", True, id="by who has the power"),
        pytest.param((1_001, 1_000), f"{1 << 6 | 1 << 7:016x}", "0", False, id="but not to kill"),
        pytest.param((1_001, 1_000), SWITCHING, SWITCHING, False, id="commands would have it, too"),
    ],
)
def test_who_may_be_run_as(
    own_status: Path, uids: tuple[int, int], effective: str, ambient: str, may: bool
) -> None:
    """Oneself; anybody else only with the power to switch, which is not for the command."""
    own_status.write_text(f"Name:\tx\nCapEff:\t{effective}\nCapAmb:\t{ambient}\n")

    assert may_run_as(*uids) is may


def _cancelled_after(pause: Callable[[Running], bool]) -> list[Outcome]:
    async def story() -> list[Outcome]:
        loop = asyncio.get_running_loop()
        workers, guard = Workers(loop), Guard()
        outcomes: list[Outcome] = []
        me = os.geteuid()
        running = Running(
            loop,
            workers,
            ("sleep", "600"),
            PATIENT,
            outcomes.append,
            uid=me,
            agent_uid=me,
            environment={},
            guard=guard,
        )
        async with asyncio.timeout(DEADLINE):
            while not pause(running):
                await _a_moment()
            running.cancel()
            while running.lingers:
                await _a_moment()
        workers.close()
        guard.close()
        return outcomes

    return asyncio.run(story())


def test_one_that_is_cancelled_says_nothing() -> None:
    """Before it began, and while it runs."""
    assert _cancelled_after(lambda _: True) == []
    assert _cancelled_after(lambda running: running._process is not None) == []
