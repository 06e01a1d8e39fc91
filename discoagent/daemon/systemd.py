"""Tells the service manager how this process is (sd_notify(3)); nobody, where there is none.

    READY=1        it serves
    STATUS=...     a line for `systemctl status`
    WATCHDOG=1     its loop turns: said again and again, or the manager ends the process
    RELOADING=1    it reads its configuration again; the next READY=1 ends that
    STOPPING=1     it ends

A message is a datagram of such lines. None is waited for: one that finds no room is said again.
"""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, MutableMapping

STATUS_INTERVAL = 2.0  # seconds between two looks at what `STATUS=` should say
SIGNS_PER_LIMIT = 3  # so many signs of life in the time that the manager allows for one
MICROSECOND = 1e-6
HOST_STATE = ("systemctl", "is-system-running")
HOST_STATE_SECONDS = 3.0  # that an answer may take: the manager stops other units meanwhile


def address(environ: Mapping[str, str]) -> str | None:
    """Return the socket to which notifications go; None if nobody wants them."""
    path = environ.get("NOTIFY_SOCKET", "")
    if path.startswith("@"):  # of the abstract namespace
        return "\0" + path[1:]
    return path if path.startswith("/") else None


def watchdog_limit(environ: Mapping[str, str], pid: int) -> float | None:
    """Return how many seconds the manager allows between two signs of life; None: any number."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        limit = int(environ.get("WATCHDOG_USEC", "")) * MICROSECOND
    except ValueError:
        return None
    return limit if limit > 0 else None


def host_stops() -> bool:
    """Ask the service manager whether the whole host is being shut down; if it is silent, no."""
    try:
        told = subprocess.run(
            HOST_STATE,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HOST_STATE_SECONDS,
            check=False,  # it says 1 for each state but one
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return told.stdout.strip() == "stopping"


def message(lines: Mapping[str, str]) -> bytes:
    """Return the datagram that assigns these; a value is one line, whatever it holds."""
    return "\n".join(f"{name}={' '.join(value.split())}" for name, value in lines.items()).encode()


class Manager:
    """The service manager, as this process sees it."""

    def __init__(
        self, environ: MutableMapping[str, str], now: Callable[[], float] = time.monotonic
    ) -> None:
        """Take what concerns us out of the environment: it is not for the children.

        `now` counts as CLOCK_MONOTONIC does, in seconds.
        """
        self._address = address(environ)
        limit = watchdog_limit(environ, os.getpid()) if self._address else None
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            environ.pop(name, None)
        self._now = now
        self._sign_interval = None if limit is None else limit / SIGNS_PER_LIMIT
        self._next_sign = self._next_status = float("-inf")
        self._status = ""

    @property
    def listens(self) -> bool:
        """Is there one?"""
        return self._address is not None

    def ready(self, status: str) -> None:
        """Say that the process serves, or has read its configuration again."""
        if self._say({"READY": "1", "STATUS": status}):
            self._status = status

    def tick(self, status: Callable[[], str]) -> None:
        """Let the manager know that the loop turns, and what `status` says if that has changed.

        Called in every round of the loop; most rounds say nothing.
        """
        if not self.listens:
            return
        now, lines = self._now(), {}
        if self._sign_interval is not None and now >= self._next_sign:
            lines["WATCHDOG"] = "1"
        if now >= self._next_status:
            self._next_status = now + STATUS_INTERVAL
            text = status()
            if text != self._status:
                lines["STATUS"] = text
        if lines and self._say(lines):
            self._status = lines.get("STATUS", self._status)
            if "WATCHDOG" in lines and self._sign_interval is not None:
                self._next_sign = now + self._sign_interval

    def reloading(self) -> None:
        """Say that the configuration is read again; `ready` follows."""
        self._say({"RELOADING": "1", "MONOTONIC_USEC": str(int(self._now() / MICROSECOND))})

    def stopping(self, status: str) -> None:
        """Say that the process ends."""
        self._say({"STOPPING": "1", "STATUS": status})

    def _say(self, lines: Mapping[str, str]) -> bool:
        """Send a message; did the manager get it?"""
        if self._address is None:
            return False
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way,
        ):
            way.sendto(message(lines), socket.MSG_DONTWAIT, self._address)
            return True
        return False
