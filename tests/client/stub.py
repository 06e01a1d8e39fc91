"""A raw ROUTER in the agent's place, for what no agent does: silence, nonsense, disorder."""

import os
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import msgpack
import pytest
import zmq

from discoagent.errors import DiscoError
from tests.client.specimens import SYNCED, added, row

SHORT = 0.2  # seconds; nothing that is expected to succeed depends on it
DEADLINE = 10.0

Reply = tuple[int, int, Any] | bytes  # number, status, body; or a frame as it is
Handler = Callable[[str, int, dict[str, Any]], Iterable[Reply]]

GREETING = {
    "node": "a",
    "incarnation": 1,
    "cluster": "c",
    "version": "0",
    "api": 1,
    "wire": 1,
    "pid": 1,
}


class Stub:
    """Answers each request with what `handler` returns; nothing: with silence."""

    def __init__(self, path: str, handler: Handler) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.arrived = threading.Condition()
        self._handler = handler
        self._stop = os.eventfd(0)
        self._last_words_ms = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind(f"ipc://{path}")
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self, *, last_words_ms: int = 0) -> None:
        """End, as an agent that is killed, or one that takes so long to say its last words."""
        if self._thread.is_alive():
            self._last_words_ms = last_words_ms
            os.eventfd_write(self._stop, 1)
            self._thread.join()
            os.close(self._stop)

    def wait_for(self, operation: str, count: int = 1) -> None:
        """Wait until so many requests of a kind have come."""
        with self.arrived:
            assert self.arrived.wait_for(
                lambda: [name for name, _ in self.seen].count(operation) >= count, 10
            )

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._stop, zmq.POLLIN)
        while self._stop not in dict(poller.poll()):
            asker, frame = self._socket.recv_multipart()
            _, number, operation, arguments = msgpack.unpackb(frame)
            with self.arrived:
                self.seen.append((operation, arguments))
                self.arrived.notify_all()
            for reply in self._handler(operation, number, arguments):
                raw = reply if isinstance(reply, bytes) else msgpack.packb(reply)
                self._socket.send_multipart([asker, raw])
        self._socket.close(self._last_words_ms)
        self._context.term()


def silent(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
    """Answer nothing."""
    return []


def friendly(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
    """Answer what an agent with one instance would."""
    match operation:
        case "hello":
            return [(number, 0, GREETING)]
        case "ping":
            return [(number, 0, {"node": "a"})]
        case "watch":
            return [(number, 2, [added(row()), SYNCED])]
        case "register":
            return [(number, 0, {"row": row(id=arguments["id"] or "w"), "adopted": False})]
        case "deregister":
            return [(number, 0, {"row": row()})]
        case _:
            return []


def in_thread(*steps: Callable[[], object]) -> threading.Thread:
    """Do some steps in another thread, and return it."""

    def run() -> None:
        for step in steps:
            step()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def error_of(ask: Callable[[], object]) -> DiscoError:
    """Return what `ask` raises."""
    with pytest.raises(DiscoError) as caught:
        ask()
    return caught.value
