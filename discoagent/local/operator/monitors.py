"""Who listens to the agent's log: `discoctl monitor`, each at a level of its own."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

from discoagent import api

Line = tuple[int, str, str]  # milliseconds since the epoch, level, message
LINES_MAX = 1_000  # that wait for a turn: what exceeds them is dropped


class Listening(Protocol):
    """Begin to listen at a level, and be given what ends it."""

    def __call__(self, level: str, take: Callable[[int, str, str], None]) -> Callable[[], None]:
        """Let `take` have each line from now on; return what ends that."""


class _Monitor(NamedTuple):
    lines: list[Line]
    stop: Callable[[], None]


class Monitors:
    """Sends the log's lines to who asked for them. A line may come from any thread."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        send: Callable[[bytes, bytes], bool],
        listen: Listening,
    ) -> None:
        """`send` says whether anybody is there."""
        self._loop = loop
        self._send = send
        self._listen = listen
        self._open: dict[tuple[bytes, int], _Monitor] = {}

    def open(self, name: bytes, number: int, level: str) -> None:
        """Begin to send lines of at least this level as MORE answers to this request."""
        key = (name, number)
        self._end(key)
        lines: list[Line] = []

        def take(at_ms: int, word: str, message: str) -> None:
            if not lines:
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(self._flush, key)
            if len(lines) < LINES_MAX:
                lines.append((at_ms, word, message))

        self._open[key] = _Monitor(lines, self._listen(level, take))

    def cancel(self, name: bytes, number: int) -> None:
        """End one, and say so; no effect if there is none."""
        if self._end((name, number)):
            self._send(name, api.done(number, {}))

    def drop(self, name: bytes) -> None:
        """Forget those of a connection that is gone."""
        for key in [key for key in self._open if key[0] == name]:
            self._end(key)

    def close(self) -> None:
        """End all of them."""
        for key in list(self._open):
            self.cancel(*key)

    def _end(self, key: tuple[bytes, int]) -> bool:
        monitor = self._open.pop(key, None)
        if monitor is not None:
            monitor.stop()
        return monitor is not None

    def _flush(self, key: tuple[bytes, int]) -> None:
        monitor = self._open.get(key)
        if monitor is None or not monitor.lines:
            return
        lines = monitor.lines.copy()
        monitor.lines.clear()
        name, number = key
        if not self._send(name, api.more(number, lines)):
            self._end(key)
