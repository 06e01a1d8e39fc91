"""The check `exec`: a command, run as the owner of the entry, never in a shell.

It gets a session of its own, an environment that holds nothing of the agent's, and nothing to read.
When it ends, or its time is over, or the agent is no more (`guard.py`), its whole process group is
killed: what it left behind does not pile up. Whatever it writes beyond the first KiB is read slowly
and dropped, so that a command that floods waits, not the agent.
"""

import asyncio
import contextlib
import os
import pwd
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from discoagent.checks.spec import CRITICAL, PASSING, WARNING
from discoagent.local.entries.checks.guard import Guard
from discoagent.local.entries.checks.health import Outcome
from discoagent.local.entries.checks.shown import OUTPUT_BYTES, reason
from discoagent.local.entries.checks.workers import Workers
from discoagent.local.host import capabilities

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
READ_BYTES = 64 * 1024
LAST_WAIT = 0.2  # seconds for one that was killed, at the end
FLOOD_PAUSE = 0.05  # seconds between two reads of what is dropped
NOBODY_S_GROUP = 65_534

Done = Callable[[Outcome], None]


class User(NamedTuple):
    """Whom a command runs as. None: as the agent itself, who is the same user."""

    uid: int | None
    gid: int | None
    groups: tuple[int, ...] | None
    environment: Mapping[str, str]


def may_run_as(uid: int, agent_uid: int) -> bool:
    """Can this agent run commands as that user, and end them, without its powers being theirs?"""
    if uid == agent_uid:
        return True
    switch = (capabilities.CAP_SETUID, capabilities.CAP_SETGID)
    if agent_uid == 0:
        return capabilities.have(*switch)
    return capabilities.have(*switch, capabilities.CAP_KILL) and capabilities.are_ours_alone()


def user_of(uid: int, agent_uid: int) -> User:
    """Look up a user's groups and home; a uid without a name has no groups."""
    environment = {"PATH": SEARCH_PATH, "LANG": "C.UTF-8", "HOME": "/", "SHELL": "/bin/sh"}
    gid = NOBODY_S_GROUP
    groups: tuple[int, ...] = ()
    with contextlib.suppress(KeyError):
        known = pwd.getpwuid(uid)
        environment |= {"HOME": known.pw_dir, "USER": known.pw_name, "LOGNAME": known.pw_name}
        gid = known.pw_gid
        groups = tuple(os.getgrouplist(known.pw_name, gid))
    if uid == agent_uid:
        return User(None, None, None, environment)
    return User(uid, gid, groups, environment)


class Running:
    """One run of a command. `done` is called once, unless it is cancelled before."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        workers: Workers,
        command: Sequence[str],
        timeout: float,
        done: Done,
        *,
        uid: int,
        agent_uid: int,
        environment: Mapping[str, str],
        guard: Guard,
    ) -> None:
        self._loop = loop
        self._guard = guard
        self._done = done
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._output = b""
        self._reading: asyncio.TimerHandle | None = None
        self._over = False
        self._starting = True
        self._spawned: subprocess.Popen[bytes] | None = None  # until the loop knows of it
        self._began = threading.Event()
        self._timer = loop.call_later(timeout, self._give_up, timeout)
        start = workers.do(lambda: self._begun(user_of(uid, agent_uid), environment))
        start.add_done_callback(self._take_start)

    @property
    def lingers(self) -> bool:
        """Is it not gone yet? The kernel kills nobody who waits for a disk or a file server."""
        return self._starting or self._process is not None

    def cancel(self) -> None:
        """Kill the command; `done` is not called any more."""
        self._over = True
        self._timer.cancel()
        self._kill()

    def close(self) -> None:
        """Kill the command and see that it is gone, for the loop will not; it takes a moment."""
        self.cancel()
        if self._starting:
            self._began.wait(LAST_WAIT)
        if self._process is not None:
            self._reap(self._process)
            self._forget()
        elif self._spawned is not None:
            self._reap(self._spawned)

    def _begun(self, user: User, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start the command, in a thread: that may take long where disks or file servers do."""
        self._guard.begin()
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd="/",
            env={**user.environment, **environment},
            user=user.uid,
            group=user.gid,
            extra_groups=user.groups,
            start_new_session=True,
        )
        self._guard.watch(process.pid)
        self._spawned = process
        self._began.set()
        return process

    def _take_start(self, start: "asyncio.Future[subprocess.Popen[bytes]]") -> None:
        self._starting, self._spawned = False, None
        try:
            process = start.result()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._end(CRITICAL, f"cannot run {self._command[0]}: {reason(error)}")
            return
        try:
            self._pidfd = os.pidfd_open(process.pid)
        except OSError as error:  # no descriptor is left: without one its end is not seen
            _kill_group(process)
            self._guard.forget(process.pid)
            process.wait()
            self._end(CRITICAL, f"cannot watch {self._command[0]}: {reason(error)}")
            return
        self._process = process
        self._loop.add_reader(self._pidfd, self._ended)
        if self._over:  # its time was over before it began
            self._kill()
        else:
            os.set_blocking(self._stdout, False)
            self._read_on()

    @property
    def _stdout(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _read_on(self) -> None:
        self._reading = None
        self._loop.add_reader(self._stdout, self._read)

    def _read(self) -> None:
        data = b""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._stdout, READ_BYTES)
            if not data:
                self._loop.remove_reader(self._stdout)
                return
        self._output += data[: OUTPUT_BYTES - len(self._output)]
        if len(self._output) >= OUTPUT_BYTES:
            self._loop.remove_reader(self._stdout)
            self._reading = self._loop.call_later(FLOOD_PAUSE, self._read_on)

    def _kill(self) -> None:
        """Kill the command, if it began; `_ended` follows when the kernel has done it."""
        if self._process is not None:
            self._read_no_more()
            _kill_group(self._process)

    def _read_no_more(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        if self._reading is not None:
            self._reading.cancel()
        if not self._process.stdout.closed:
            self._loop.remove_reader(self._stdout)
            self._process.stdout.close()

    def _ended(self) -> None:
        """Take in that the command has ended; what it wrote last may not have been read yet."""
        assert self._process is not None
        if not self._over:
            with contextlib.suppress(BlockingIOError):
                self._output += os.read(self._stdout, READ_BYTES)
                self._output = self._output[:OUTPUT_BYTES]
        self._read_no_more()
        _kill_group(self._process)  # what it left behind; the group is its own until it is reaped
        self._guard.forget(self._process.pid)
        code = self._process.wait()
        self._forget()
        self._end(*_verdict(code, self._said()))

    def _reap(self, process: "subprocess.Popen[bytes]") -> None:
        """Kill a process and wait a moment until it is gone."""
        _kill_group(process)
        self._guard.forget(process.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LAST_WAIT)
        assert process.stdout is not None
        process.stdout.close()

    def _forget(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process = None

    def _give_up(self, timeout: float) -> None:
        self._end(CRITICAL, f"not done within {timeout:g} s {self._said()}".rstrip())

    def _said(self) -> str:
        return self._output.decode(errors="replace").strip()

    def _end(self, state: str, output: str) -> None:
        if not self._over:
            self.cancel()
            self._done(Outcome(state, output))


def _verdict(code: int, output: str) -> tuple[str, str]:
    state = {0: PASSING, 1: WARNING}.get(code, CRITICAL)
    how = f"exit code {code}" if code >= 0 else f"ended by {_signal_name(-code)}"
    if state == CRITICAL and output:
        return state, f"{how}: {output}"
    return state, output or how


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
