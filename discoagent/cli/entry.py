"""A child process and its registration: made once the agent is there, and told how it ended."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from discoagent.cli.child import Child, Delay, Ending, NotStartedError, Signals
from discoagent.cli.output import talk
from discoagent.errors import (
    AgentUnavailable,
    Conflict,
    DiscoError,
    InvalidRequest,
    NoInstance,
    Refused,
    TimeoutExpired,
)

if TYPE_CHECKING:
    from discoagent.client import Disco

AWAY = (AgentUnavailable, TimeoutExpired)
WRONG = (InvalidRequest, Refused, Conflict)
RETRY_SECONDS = 0.5


Tell = Callable[[str], object]
"""Tells the agent how the child ended; takes the cause."""

Register = Callable[[int], Tell]
"""Registers the child of that pid, for which this process is the wrapper."""


def as_instance(
    disco: "Disco", spec: dict[str, Any], made: Callable[[str], object] = lambda _: None
) -> Register:
    """Return what registers a child as an instance; `made` is told its name."""

    def register(pid: int) -> Tell:
        name = disco.register(**spec, pid=pid, wrapper=os.getpid()).name
        made(name)
        return lambda cause: disco.deregister(name, cause=cause)

    return register


def attended(
    command: Sequence[str],
    signals: Signals,
    register: Register,
    *,
    quiet: bool,
    delay: Delay | None = None,
) -> int:
    """Run CMD, registered exactly as long as it runs; return its exit code.

    One that is refused at the first word is ended, and the refusal is raised. `delay` says how long
    the first SIGTERM is held back.
    """
    try:
        child = Child(command, signals)
    except NotStartedError as error:
        talk(str(error), quiet=quiet)
        return error.code
    entry = Entry(register, child.pid, quiet=quiet)
    entry.keep_trying()
    try:
        ending = child.attend(signals, entry.look, delay)
    except WRONG:
        child.stop(signals)
        raise
    entry.end(ending)
    return ending.code


class Entry:
    """One registration, bound to a child's pid.

    `keep_trying` registers in a thread of its own, so that an agent that hangs holds up neither the
    child's signals nor its end.
    """

    def __init__(self, register: Register, pid: int, *, quiet: bool) -> None:
        self._register = register
        self._pid = pid
        self._quiet = quiet
        self._refused: DiscoError | None = None
        self._tell: Tell | None = None
        self._warned = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_trying, name="register", daemon=True)

    def look(self) -> None:
        """Raise what the agent said against it at the first word."""
        if self._refused is not None:
            raise self._refused

    def register(self) -> None:
        """Register now. Raises whatever the agent says against it."""
        with contextlib.suppress(NoInstance):  # the child has ended already
            self._tell = self._register(self._pid)

    def keep_trying(self) -> None:
        """Register as soon as the agent is there."""
        self._thread.start()

    def end(self, ending: Ending) -> None:
        """Tell the agent how the child ended. If it cannot be told it sees for itself: `exit`."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._refused is not None:
            self._warn(f"ran unregistered: {self._refused.message}")
        if self._tell is not None:
            with contextlib.suppress(DiscoError):
                self._tell(ending.cause)

    def _keep_trying(self) -> None:
        first = True
        while not self._over.is_set():
            try:
                self.register()
            except WRONG as error:
                if first:
                    self._refused = error
                    os.kill(os.getpid(), signal.SIGCHLD)  # wakes who attends to the child
                    return
                self._warn(f"runs unregistered: {error.message}")
            except AWAY as error:
                self._warn(f"not registered yet, as soon as the agent is there: {error.message}")
            except DiscoError as error:
                self._warn(f"runs unregistered: {error.message}")
            else:
                return
            first = False
            self._over.wait(RETRY_SECONDS)

    def _warn(self, text: str) -> None:
        """Say the first thing that is to be said, and no more."""
        if not self._warned:
            talk(text, quiet=self._quiet)
        self._warned = True
