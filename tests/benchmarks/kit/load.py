"""What the benchmarks put on agents: records like those of the peers' figures, asked for raw.

A record is about 120 bytes of JSON: service, id, address, port, three tags, a small map.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import msgpack
import zmq

from tests.agent.harness import AgentProcess

SERVICES = 100
WINDOW = 500  # requests under way when they are pipelined
PATIENCE_MS = 60_000


def record(number: int, service: str | None = None) -> dict[str, Any]:
    """Return the arguments of one registration."""
    return {
        "service": service or f"service-{number % SERVICES}",
        "id": f"instance-{number}",
        "address": "10.0.0.17",
        "port": 8080,
        "tags": ["v2", "blue", "http"],
        "meta": {"zone": "a", "weight": "10"},
    }


def request(number: int, operation: str, **arguments: Any) -> bytes:
    """Return the frame of a request."""
    frame: bytes = msgpack.packb([1, number, operation, arguments])
    return frame


def registrations(count: int, first: int = 0, service: str | None = None) -> list[bytes]:
    """Return the frames of registrations that are all different."""
    return [
        request(number, "register", **record(number, service))
        for number in range(first, first + count)
    ]


def pause(seconds: float) -> None:
    """Let everything come to rest."""
    threading.Event().wait(seconds)


class Bare:
    """A bare DEALER; whatever takes longer than a minute ends the benchmark."""

    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
        self._socket.set_hwm(0)
        self._socket.connect(address if "://" in address else f"ipc://{address}")
        self.send = self._socket.send
        self.receive = self._socket.recv

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._context.term()

    def ask(self, frame: bytes) -> bytes:
        """Send a frame and return the answer's."""
        self.send(frame)
        return self.receive()

    def question(self, operation: str, **arguments: Any) -> Any:
        """Ask one thing and return the body of the answer, which must be no error."""
        return done(self.ask(request(0, operation, **arguments)))

    def pipeline(self, frames: Sequence[bytes]) -> list[bytes]:
        """Send all frames, a window of them under way, and return all that was answered."""
        for frame in frames[:WINDOW]:
            self.send(frame)
        answers = []
        for frame in frames[WINDOW:]:
            answers.append(self.receive())
            self.send(frame)
        answers += (self.receive() for _ in frames[:WINDOW])
        return answers


def done(answer: bytes) -> Any:
    """Return the body of a last answer; an error ends the benchmark."""
    _, status, body = msgpack.unpackb(answer)
    assert status == 0, body
    return body


class Watcher(Bare):
    """A raw watcher: batches of events as they arrive, the present passed by."""

    def __init__(self, agent: AgentProcess, *services: str) -> None:
        super().__init__(f"ipc://{agent.socket}")
        self.send(request(1, "watch", services=services, wait_ms=PATIENCE_MS))
        while not any(event[0] == "synced" for event in self.batch()):
            pass

    def batch(self) -> list[Any]:
        """Wait for the next batch; room is given for another one."""
        number, status, events = msgpack.unpackb(self.receive())
        assert (number, status) == (1, 2), events
        self.send(request(2, "more", watch=1, batches=1))
        return list(events)


def fill(agent: AgentProcess, count: int, service: str | None = None, first: int = 0) -> "Bare":
    """Register so many entries; they live as long as this process, not this connection."""
    asker = Bare(agent.socket)
    for answer in asker.pipeline(registrations(count, first, service)):
        done(answer)
    return asker


def until_held(agents: Sequence[AgentProcess], count: int) -> float:
    """Wait until each of these agents shows so many entries; return the seconds it took."""
    began = time.monotonic()
    for agent in agents:
        with Bare(agent.socket) as asker:
            next(held for held in _totals(asker) if held >= count)
    return time.monotonic() - began


def _totals(asker: Bare) -> Iterator[int]:
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        yield int(asker.question("status")["instances"]["total"])
        pause(0.002)
    raise TimeoutError("the entries do not arrive")
