"""`run` as the parent of its command, with no agent anywhere: CMD runs all the same."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.ctl import ANSWER_SECONDS, ARGV, ctl, environment

FOR_EVER = "import os, signal\nprint(os.getpid(), flush=True)\nwhile True: signal.pause()\n"
TELLS = """
import os, signal
names = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
told = {getattr(signal, name) for name in names}
signal.pthread_sigmask(signal.SIG_BLOCK, told)  # one that comes early waits
print(os.getpid(), flush=True)
for _ in names:
    print(signal.Signals(signal.sigwait(told)).name, flush=True)
"""


IGNORES = """
import os, signal, sys
for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextmanager
def running(
    nobody: str, script: str, *before: str
) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Run a Python script under `run`, itself executed by the command `before`; give the wrapper
    and the script's pid."""
    argv = [*ARGV, "run", "web", "--socket", nobody, "-q", "--", sys.executable, "-c", script]
    argv = [*before, *argv]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment()) as wrapper:
        try:
            assert wrapper.stdout is not None
            yield wrapper, int(wrapper.stdout.readline())
        finally:
            wrapper.kill()


@contextmanager
def watching(pid: int) -> Iterator[int]:
    """Give a descriptor that is readable once the process has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def ended(descriptor: int) -> bool:
    """Wait until the process has ended; False if it does not."""
    return bool(select.select([descriptor], [], [], ANSWER_SECONDS)[0])


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["false"], 1),
        (["sh", "-c", "exit 42"], 42),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["sh", "-c", "kill -KILL $$"], 128 + signal.SIGKILL),
        (["sh", "-c", f"kill -{signal.SIGRTMIN + 1} $$"], 128 + signal.SIGRTMIN + 1),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_the_code_is_the_command_s(command: list[str], code: int, nobody: str) -> None:
    """As a shell gives it; the agent that is away costs one warning."""
    answer = ctl("run", "web", "--socket", nobody, "--", *command)

    assert (answer.code, answer.out) == (code, "")
    assert len(answer.err.splitlines()) == 1
    assert "not registered yet" in answer.err


def test_what_cannot_be_executed(nobody: str, tmp_path: Path) -> None:
    """127 if it is not there, 126 if it is there and cannot be executed."""
    text = tmp_path / "text"
    text.write_text("no program\n")
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    empty = tmp_path / "empty"
    empty.write_bytes(b"\x00\x01\x02\x03")
    empty.chmod(0o755)
    cases = {
        "/no/such/command": 127,
        "no-such-command-anywhere": 127,
        str(text): 126,
        str(broken): 126,
        str(empty): 126,
        str(tmp_path): 126,
    }
    for command, code in cases.items():
        answer = ctl("run", "web", "--socket", nobody, "--", command)

        assert (command, answer.code) == (command, code)
        assert answer.err.startswith(f"discoctl: {command}: ")
        assert len(answer.err.splitlines()) == 1


def test_standard_streams_and_arguments_are_the_command_s(nobody: str) -> None:
    """Options of CMD are left alone, `--` among them; stdin and stdout are passed through."""
    answer = ctl(
        *("run", "web", "--socket", nobody, "-q", "--"),
        *("sh", "-c", 'cat; echo "$@"', "sh", "-o", "json", "--", "--help"),
        stdin="in\n",
    )

    assert (answer.code, answer.out, answer.err) == (0, "in\n-o json -- --help\n", "")


@pytest.mark.parametrize("before", [(), (sys.executable, "-c", IGNORES)], ids=["", "ignored"])
def test_signals_are_passed_on(nobody: str, before: tuple[str, ...]) -> None:
    """Six of them, one by one, also where whoever started the wrapper had them ignored, as a
    shell's `&` and nohup do; the wrapper itself ends with its command only."""
    with running(nobody, TELLS, *before) as (wrapper, _):
        assert wrapper.stdout is not None
        for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"):
            wrapper.send_signal(getattr(signal, name))
            assert wrapper.stdout.readline() == f"{name}\n"

        assert wrapper.wait(ANSWER_SECONDS) == 0


def test_the_command_s_signals_are_as_ever(nobody: str) -> None:
    """Nothing is blocked or ignored in CMD because it is blocked in the wrapper."""
    shown = "grep -E '^Sig(Blk|Ign)' /proc/self/status"
    bare = subprocess.run(["sh", "-c", shown], capture_output=True, text=True, check=True)

    assert ctl("run", "web", "--socket", nobody, "-q", "--", "sh", "-c", shown).out == bare.stdout


def test_a_killed_command_ends_the_wrapper(nobody: str) -> None:
    """128+9."""
    with running(nobody, FOR_EVER) as (wrapper, pid):
        os.kill(pid, signal.SIGKILL)

        assert wrapper.wait(ANSWER_SECONDS) == 128 + signal.SIGKILL


def test_a_killed_wrapper_ends_the_command(nobody: str) -> None:
    """The kernel sees to it."""
    with running(nobody, FOR_EVER) as (wrapper, pid), watching(pid) as process:
        wrapper.kill()

        assert ended(process)


COUNTS = """
import os, signal
count = 0
def interrupted(*_):
    global count
    count += 1
    print("interrupted", flush=True)
def asked(*_):
    print(count, flush=True)
    os._exit(0)
signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGUSR1, asked)
print("now", flush=True)
while True:
    signal.pause()
"""


def test_a_terminal_s_interrupt_is_not_doubled(nobody: str) -> None:
    """The terminal tells everyone in the foreground; what it told CMD is not told it again."""
    argv = [*ARGV, "run", "web", "--socket", nobody, "-q", "--", sys.executable, "-c", COUNTS]
    script = (
        "import fcntl, os, termios\n"
        "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        f"os.execv({argv[0]!r}, {argv!r})"
    )
    controller, terminal = os.openpty()
    with (
        open(controller, "r+b", buffering=0) as keyboard,
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=terminal,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=environment(),
        ) as wrapper,
    ):
        os.close(terminal)
        assert wrapper.stdout is not None
        assert wrapper.stdout.readline() == "now\n"
        keyboard.write(b"\x03")
        assert wrapper.stdout.readline() == "interrupted\n"
        # The wrapper takes its own SIGINT before this one, and passes on this one alone.
        wrapper.send_signal(signal.SIGUSR1)

        assert wrapper.stdout.readline() == "1\n"
        assert wrapper.wait(ANSWER_SECONDS) == 0
