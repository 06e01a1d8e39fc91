"""The registration of a child process: made once the agent is there, and told how it ended."""

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from discoagent.cli.child import Ending
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
    from discoagent.client import Disco, Registration

AWAY = (AgentUnavailable, TimeoutExpired)
WRONG = (InvalidRequest, Refused, Conflict)
RETRY_SECONDS = 0.5


class Entry:
    """One registration, bound to a child's pid.

    `keep_trying` registers in a thread of its own, so that an agent that hangs holds up neither the
    child's signals nor its end. `refused` is what the agent said against it at the first word.
    """

    def __init__(self, disco: "Disco", pid: int, spec: dict[str, Any], *, quiet: bool) -> None:
        self.disco = disco
        self.pid = pid
        self.spec = spec
        self.quiet = quiet
        self.refused: DiscoError | None = None
        self._registration: Registration | None = None
        self._warned = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_trying, name="register", daemon=True)

    def register(self) -> None:
        """Register now. Raises whatever the agent says against it."""
        with contextlib.suppress(NoInstance):  # the child has ended already
            self._registration = self.disco.register(**self.spec, pid=self.pid, wrapper=os.getpid())

    def keep_trying(self) -> None:
        """Register as soon as the agent is there."""
        self._thread.start()

    def end(self, ending: Ending) -> None:
        """Tell the agent how the child ended. If it cannot be told it sees for itself: `exit`."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._registration is not None:
            with contextlib.suppress(DiscoError):
                self.disco.deregister(self._registration.name, cause=ending.cause)

    def _keep_trying(self) -> None:
        first = True
        while not self._over.is_set():
            try:
                self.register()
            except WRONG as error:
                if first:
                    self.refused = error
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
            talk(text, quiet=self.quiet)
        self._warned = True
