"""Child processes that end with us, and signals that are read instead of suffered.

A child is started with PR_SET_PDEATHSIG: the kernel ends it when this process ends, however it
ends. Signals are blocked and taken one by one, SIGCHLD among them, so the end of a child is known
at once and nothing is lost between two looks. Threads started later inherit the blocked signals, so
all of them come here.
"""

import ctypes
import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import IO, NamedTuple, Self

PR_SET_PDEATHSIG = 1
SI_KERNEL = 0x80  # the kernel sent it: from a terminal, to everyone in the foreground
NOT_EXECUTABLE, NOT_FOUND = 126, 127
PASSED_ON = frozenset(
    {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)
STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


Delay = Callable[[], float]


class NotStartedError(Exception):
    """CMD could not be executed; `code` is what a shell would give."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Ending(NamedTuple):
    """How a process ended: the exit code a shell would give, and the cause of the contract."""

    code: int
    cause: str


def heeded(wanted: Collection[signal.Signals]) -> frozenset[signal.Signals]:
    """Return those of `wanted` that are not ignored, as nohup or a shell's `&` has it."""
    return frozenset(one for one in wanted if signal.getsignal(one) is not signal.SIG_IGN)


class Signals:
    """Signals that wait to be read, ignored ones too: blocked, the kernel keeps them all the same.

    Children ignore what was ignored when we started, unless they choose otherwise; so whether a
    signal that is passed on means anything is theirs to say.
    """

    def __init__(self, wanted: Collection[signal.Signals]) -> None:
        self.wanted = {*wanted, signal.SIGCHLD}
        self.before: set[int] = set()

    def __enter__(self) -> Self:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, children would leave no exit code
        self.before = set(signal.pthread_sigmask(signal.SIG_BLOCK, self.wanted))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What came too late has nobody to be passed on to, and must not change our exit code.
        while self.next(0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self.before)

    def next(self, seconds: float | None) -> signal.struct_siginfo | None:
        """Wait for the next signal; None when `seconds` are over."""
        if seconds is None:
            return signal.sigwaitinfo(self.wanted)
        return signal.sigtimedwait(self.wanted, seconds)


class Child:
    """One child process. It is reaped by `poll`, and by nothing else."""

    def __init__(
        self,
        argv: Sequence[str],
        signals: Signals,
        *,
        at_our_death: signal.Signals = signal.SIGTERM,
        apart: bool = False,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
        stdout: IO[bytes] | int | None = None,
        stderr: IO[bytes] | int | None = None,
        pass_fds: Collection[int] = (),
    ) -> None:
        """Start `argv`; returns once it was executed. `apart`: a session of its own, out of the
        terminal's reach.

        Raises NotStartedError if it cannot be executed.
        """
        try:
            self.process = subprocess.Popen(
                argv,
                env=env,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=pass_fds,
                start_new_session=apart,
                # Safe with threads: all it does is three system calls, with nothing to be loaded.
                preexec_fn=_before_exec(at_our_death, signals.before),  # noqa: PLW1509
            )
        except OSError as error:
            raise _not_started(argv[0], error) from error
        self.pid = self.process.pid
        self.ending: Ending | None = None

    def poll(self) -> Ending | None:
        """Return how it ended, or None while it runs."""
        if self.ending is None:
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG)
            if found is not None:
                self.ending = _ending(found.si_code, found.si_status)
                self.process.returncode = self.ending.code
        return self.ending

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.ending is None:
            os.kill(self.pid, number)  # not reaped yet, so the pid is still its own

    def pass_on(self, info: signal.struct_siginfo) -> None:
        """Send it the signal that we got, unless the terminal has told it already."""
        if self.ending is not None:
            return
        if info.si_code != SI_KERNEL or os.getpgid(self.pid) != os.getpgrp():
            self.send(info.si_signo)

    def attend(
        self, signals: Signals, look: Callable[[], None], delay: Delay | None = None
    ) -> Ending:
        """Pass signals on until it ends; `look` is called at first and after each signal.

        `delay` says for how many seconds the first SIGTERM is held back; a second one is not.
        """
        held, until = None, 0.0
        while True:
            look()
            ending = self.poll()
            if ending is not None:
                return ending
            info = signals.next(None if held is None else max(until - time.monotonic(), 0.0))
            if info is None:
                info, held = held, None
            elif info.si_signo == signal.SIGTERM and delay is not None:
                held, until, delay = info, time.monotonic() + delay(), None
                continue
            if info is not None and info.si_signo != signal.SIGCHLD:
                self.pass_on(info)

    def stop(self, signals: Signals, patience: float = 5.0) -> Ending:
        """End it: SIGTERM, and after `patience` seconds SIGKILL."""
        return stop_all([self], signals, patience)[0]


def stop_all(children: Sequence[Child], signals: Signals, patience: float = 5.0) -> list[Ending]:
    """End children together: SIGTERM to all, and after `patience` seconds SIGKILL to who is
    left."""
    for child in children:
        if child.poll() is None:
            child.send(signal.SIGTERM)
            child.send(signal.SIGCONT)
    deadline = time.monotonic() + patience
    endings = [child.poll() for child in children]
    while None in endings:
        left = deadline - time.monotonic()
        if left <= 0:
            for child in children:
                child.send(signal.SIGKILL)
            left = 1.0
        signals.next(left)
        endings = [child.poll() for child in children]
    return [ending for ending in endings if ending is not None]


def _before_exec(at_our_death: signal.Signals, mask: Collection[int]) -> Callable[[], None]:
    """Return what the child does between fork and exec. All it needs is loaded before."""
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, at_our_death, 0, 0, 0)
        if os.getppid() != parent:  # we ended before the kernel knew what to do then
            os._exit(128 + at_our_death)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    return prepare


def _ending(si_code: int, status: int) -> Ending:
    if si_code == os.CLD_EXITED:
        return Ending(status, f"exit:{status}")
    return Ending(128 + status, f"exit:{signal_name(status)}")


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; real-time signals count from SIGRTMIN."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def _not_started(command: str, error: OSError) -> NotStartedError:
    """Say why CMD could not be executed, with a shell's code for it."""
    missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    if missing and shutil.which(command) is None:
        return NotStartedError(f"{command}: command not found", NOT_FOUND)
    reason = "its interpreter does not exist" if missing else os.strerror(error.errno or 0).lower()
    return NotStartedError(f"{command}: cannot execute: {reason}", NOT_EXECUTABLE)
