"""A client's connections: any thread may ask, on a connection of its own meanwhile."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from discoagent.client.connection import Connection, dial
from discoagent.client.session import Call, Quality
from discoagent.errors import DiscoError

T = TypeVar("T")
IDLE_MAX = 4


class Pool:
    """Connections to one agent. A slow answer to one thread keeps no other waiting."""

    def __init__(self, path: str | None, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False
        self._last = threading.local()

    @property
    def ours(self) -> bool:
        """Was this made in this very process, and not before a fork?"""
        return self._pid == os.getpid()

    @property
    def closed(self) -> bool:
        """Was it closed?"""
        return self._closed

    @property
    def quality(self) -> Quality:
        """How far can the last answer to this thread be relied on?"""
        quality: Quality = getattr(self._last, "quality", Quality())
        return quality

    def check(self) -> None:
        """Raise DiscoError in the child of a fork, and after `close`."""
        if not self.ours:
            raise forked("Disco", self._pid)
        if self._closed:
            raise DiscoError("this Disco was closed", kind="closed")

    def ask(self, call: Call[T], timeout: float | None = None) -> T:
        """Ask one thing. Raises the error that is answered, AgentUnavailable, TimeoutExpired."""
        with self.connection() as connection:
            outcome = connection.ask(call, self.timeout if timeout is None else timeout)
        self._last.quality = outcome.quality
        value: T = outcome.result()
        return value

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection. Broken then, or left by an exception, it is not used again."""
        self.check()
        connection = self._take()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if connection.broken is not None:
            connection.close()
        else:
            self._give(connection)

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return dial(self.path, self.timeout)
            if not connection.lost:
                return connection
            connection.close()

    def _give(self, connection: Connection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < IDLE_MAX:
                self._idle.append(connection)
                return
        connection.close()


def forked(what: str, pid: int) -> DiscoError:
    """Return the error for something that a fork took into another process."""
    return DiscoError(
        f"this {what} was made in process {pid} and does not work after a fork: "
        f"make a new Disco in process {os.getpid()}",
        kind="fork",
    )
