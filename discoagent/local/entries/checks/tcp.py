"""The check `tcp`: somebody accepts a connection.

A plain socket on the loop: a thousand of these every five seconds are a small part of a core, which
asyncio's streams are not.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from ipaddress import ip_address

from discoagent.checks.spec import CRITICAL, PASSING
from discoagent.local.entries.checks.health import Outcome
from discoagent.local.entries.checks.shown import reason
from discoagent.local.entries.checks.workers import Workers

Done = Callable[[Outcome], None]
Cancel = Callable[[], None]


class Connecting:
    """One attempt to connect. `done` is called once, unless it is cancelled before."""

    __slots__ = ("_done", "_lookup", "_loop", "_socket", "_timer", "_where")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        workers: Workers,
        where: tuple[str, int],
        timeout: float,
        done: Done,
    ) -> None:
        self._loop = loop
        self._where = where
        self._done = done
        self._socket: socket.socket | None = None
        self._lookup: asyncio.Future[list[tuple[str, int]]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if _is_literal(where[0]):
            self._connect([where], timeout)
            return
        self._timer = loop.call_later(timeout, self._give_up, timeout)
        self._lookup = workers.do(lambda: _resolve(*where))
        self._lookup.add_done_callback(lambda found: self._found(found, timeout))

    def cancel(self) -> None:
        """Let go of all; `done` is not called any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._lookup is not None:
            self._lookup.cancel()
        if self._socket is not None:
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._socket = None

    def _found(self, found: "asyncio.Future[list[tuple[str, int]]]", timeout: float) -> None:
        if found.cancelled():
            return
        self._lookup = None
        error = found.exception()
        if error is not None:
            self._end(CRITICAL, f"cannot look up {self._where[0]}: {reason(error)}")
        else:
            self._connect(found.result(), timeout)

    def _connect(self, addresses: list[tuple[str, int]], timeout: float) -> None:
        """Connect to the first of these, and if it is refused to the next."""
        (host, port), *others = addresses
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            self._end(CRITICAL, reason(error))
            return
        code = self._socket.connect_ex((host, port))
        if code == errno.EINPROGRESS:
            # On this host it is done by now: asking again saves the loop a round.
            code = self._socket.connect_ex((host, port))
        if code in (errno.EINPROGRESS, errno.EALREADY):
            if self._timer is None:
                self._timer = self._loop.call_later(timeout, self._give_up, timeout)
            self._loop.add_writer(self._socket, self._writable, others, timeout)
        else:
            self._connected(code, others, timeout)

    def _writable(self, others: list[tuple[str, int]], timeout: float) -> None:
        assert self._socket is not None
        self._loop.remove_writer(self._socket)
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._connected(code, others, timeout)

    def _connected(self, code: int, others: list[tuple[str, int]], timeout: float) -> None:
        assert self._socket is not None
        if code in (0, errno.EISCONN) and is_to_itself(self._socket):
            code = errno.ECONNREFUSED
        self._socket.close()
        self._socket = None
        if code in (0, errno.EISCONN):
            self._end(PASSING, "connected")
        elif others:
            self._connect(others, timeout)
        else:
            self._end(CRITICAL, os.strerror(code))

    def _give_up(self, timeout: float) -> None:
        self._timer = None
        self._end(CRITICAL, f"no connection within {timeout:g} s")

    def _end(self, state: str, output: str) -> None:
        self.cancel()
        self._done(Outcome(state, output))


def is_to_itself(connected: socket.socket) -> bool:
    """Did a socket reach itself, and nobody else? RFC 9293, 3.5: both ends open at once.

    The kernel may give it the very port that it connects to on this host, if nobody listens there:
    once in 28,000 times, which would let a dead service pass.
    """
    try:
        return bool(connected.getsockname() == connected.getpeername())
    except OSError:  # it was closed by its other end, which there was then
        return False


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _resolve(host: str, port: int) -> list[tuple[str, int]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(str(address[0]), port) for *_, address in found]
