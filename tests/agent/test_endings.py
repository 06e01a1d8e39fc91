"""How a process ended, as the kernel tells: of one that was not reaped, of one that was, or not."""

import os
import signal
import subprocess

import pytest

from discoagent.local.host import endings, owners
from tests.agent.users import as_user


def started(script: str) -> tuple[subprocess.Popen[bytes], int, int]:
    """Start a process that waits for a line; return it, its start time and its pidfd."""
    process = subprocess.Popen(["sh", "-c", f"read line; {script}"], stdin=subprocess.PIPE)
    start = owners.start_time(process.pid)
    assert start is not None
    return process, start, os.pidfd_open(process.pid)


def go_on(process: "subprocess.Popen[bytes]") -> None:
    """Let it end, and return when it has, unreaped."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ("exit 0", "exit:0"),
        ("exit 3", "exit:3"),
        ("kill -9 $$", "exit:SIGKILL"),
        ("kill -TERM $$", "exit:SIGTERM"),
        ("kill -40 $$", f"exit:SIGRTMIN+{40 - signal.SIGRTMIN}"),
    ],
)
def test_one_that_its_parent_has_not_reaped(script: str, cause: str) -> None:
    """The kernel keeps it; and, where it is new, tells of it afterwards."""
    process, start, fd = started(script)
    try:
        go_on(process)
        assert endings.cause(process.pid, start, fd) == cause
        process.wait()
        assert endings.cause(process.pid, start, fd) in (cause, "exit")
    finally:
        os.close(fd)


def test_it_is_never_a_guess() -> None:
    """Another process by that pid, or one that lives, tells nothing."""
    process, start, fd = started("exit 0")
    try:
        assert endings.cause(process.pid, start, fd) == "exit"
        go_on(process)
        assert endings._unreaped(process.pid, start + 1) is None
        process.wait()
        assert endings._unreaped(process.pid, start) is None
    finally:
        os.close(fd)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_of_another_user_s_the_kernel_says_0() -> None:
    """Which is no exit code then."""
    process, start, fd = started("exit 3")
    try:
        go_on(process)
        assert as_user(4_001, lambda: endings._unreaped(process.pid, start)) is None
        process.wait()
    finally:
        os.close(fd)


def test_words() -> None:
    """A core dump is no other signal."""
    assert endings.word(0) == "exit:0"
    assert endings.word(255 << 8) == "exit:255"
    assert endings.word(signal.SIGSEGV | 0x80) == "exit:SIGSEGV"
