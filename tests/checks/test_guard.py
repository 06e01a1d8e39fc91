"""Whatever becomes of this process, what its commands run ends with it."""

import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from discoagent.local.entries.checks.guard import Guard

DEADLINE = 15.0
HOLDS = """
import subprocess, sys
from discoagent.local.entries.checks.guard import Guard
guard = Guard()
guard.begin()
for script in ("sleep 600 & echo $!; wait", "echo $$; exec sleep 600"):
    group = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    guard.watch(group.pid)
guard.forget(group.pid)
print("told", flush=True)
sys.stdin.read()
"""


@contextmanager
def a_group() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that leads a group of its own."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def gone(pidfd: int) -> bool:
    """Wait until this process has ended."""
    ready = select.select([pidfd], [], [], DEADLINE)[0]
    os.close(pidfd)
    return bool(ready)


def test_when_it_is_killed() -> None:
    """The whole group is, a child of its leader too; one that is over is nobody's concern."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        lines = {holder.stdout.readline().strip() for _ in range(3)}
        ours, other = sorted(map(int, lines - {"told"}), key=_is_leader)
        watched, forgotten = os.pidfd_open(ours), os.pidfd_open(other)
        holder.kill()
    try:
        assert gone(watched)
        assert not select.select([forgotten], [], [], 0)[0]
    finally:
        os.kill(other, signal.SIGKILL)
        os.close(forgotten)


def _is_leader(pid: int) -> bool:
    return os.getpgid(pid) == pid


def test_a_warden_that_was_ended() -> None:
    """The next command begins another, which knows of all."""
    guard = Guard()
    guard.begin()
    with a_group() as one, a_group() as two:
        guard.watch(one.pid)
        first = guard._warden
        assert first is not None
        first.kill()
        first.wait()
        guard.watch(two.pid)  # told in vain
        guard.begin()
        second = guard._warden
        assert second is not None
        assert second.pid != first.pid
        assert second.stdin is not None
        watched = [os.pidfd_open(each.pid) for each in (one, two)]
        second.stdin.close()  # as at our end

        assert [gone(pidfd) for pidfd in watched] == [True, True]
        second.wait()


def test_a_good_end() -> None:
    """Kills nobody: whoever ends well has ended its commands."""
    guard = Guard()
    guard.begin()
    with a_group() as process:
        guard.watch(process.pid)
        guard.close()

        assert process.poll() is None


def test_no_warden_can_be_begun(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Said once; commands are run all the same."""
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    guard = Guard()
    with caplog.at_level(logging.WARNING):
        guard.begin()
        guard.begin()
        guard.watch(1)
        guard.forget(1)
        guard.close()

    (record,) = caplog.records
    assert "may outlive this agent" in record.getMessage()
