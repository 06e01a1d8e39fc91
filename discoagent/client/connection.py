"""One connection of a client to one life of its agent. No other file of the client knows zmq."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from math import ceil
from typing import Any, NamedTuple

import zmq

from discoagent import sockets
from discoagent.client import calls
from discoagent.client.calls import Greeting
from discoagent.client.session import Answer, Call, Quality, Session
from discoagent.errors import AgentUnavailable, DiscoError, TimeoutExpired

WINDOW = (
    512  # requests under way in a pipeline: enough to hide the round trip, too few to fill a queue
)
LINGER_MS = 500  # what was said last still goes out when a connection is closed
QUEUE_FRAMES_MAX = 10_000
# A connection lasts as long as the agent at its other end, so it shall not be made anew: not for
# eleven days, longer than anybody keeps one that is lost. With -1 (never) libzmq would take the
# socket's pipe away when the agent ends, and with it the last answers, if nobody has read them yet.
NEVER_MS = 1_000_000_000
POLL_MS_MAX = 2**31 - 1  # about 25 days

# Any of these ends a connection. It never reconnects: a new agent is not the old one.
_ENDINGS = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

_contexts: dict[int, zmq.Context[zmq.Socket[bytes]]] = {}


def _context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return this process's context; never ended, for that could wait for a socket for ever."""
    found = _contexts.get(os.getpid())
    if found is None:
        found = _contexts[os.getpid()] = zmq.Context()
        found.set(zmq.MAX_SOCKETS, 16_384)
    return found


class Outcome(NamedTuple):
    """What became of one call: its value, or the error in its place."""

    value: Any = None
    error: DiscoError | None = None
    quality: Quality = Quality()

    def result(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


class Connection:
    """A DEALER on one agent, used and closed by one thread at a time."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.session = Session()
        self.broken: DiscoError | None = None
        self._greeting: Greeting | None = None
        self._socket = _context().socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, LINGER_MS)
        self._socket.set(zmq.RECONNECT_IVL, NEVER_MS)
        self._socket.set(zmq.SNDHWM, QUEUE_FRAMES_MAX)
        self._socket.set(zmq.RCVHWM, QUEUE_FRAMES_MAX)
        self._monitor = self._socket.get_monitor_socket(_ENDINGS)
        self._poller, self._answers = zmq.Poller(), zmq.Poller()
        for poller in (self._poller, self._answers):
            poller.register(self._socket, zmq.POLLIN)
            poller.register(self._monitor, zmq.POLLIN)
        self._socket.connect(f"ipc://{path}")

    @property
    def descriptors(self) -> tuple[int, int]:
        """What a loop may watch: readable when `receive` or `lost` may have changed.

        Edge-triggered: whoever relies on it looks again after each call.
        """
        return self._socket.FD, self._monitor.FD

    @property
    def lost(self) -> bool:
        """Is the connection over? What arrived before can still be received."""
        return bool(self._monitor.poll(0))

    def gone(self) -> AgentUnavailable:
        """Return the error of a connection that ended before the answer came."""
        return AgentUnavailable(f"the agent on {self.path} went away before it answered")

    def wait_on(self, descriptor: int) -> None:
        """Let `wait` return as well when `descriptor` is readable."""
        self._poller.register(descriptor, zmq.POLLIN)

    def wait(self, seconds: float | None) -> bool:
        """Wait until something arrived, or the connection was lost or woken; False: time over."""
        return bool(self._poller.poll(_ms(seconds)))

    def send(self, frame: bytes) -> None:
        """Send one frame.

        Raises AgentUnavailable if the connection is over, TimeoutExpired if the agent has not
        taken the last ten thousand.
        """
        try:
            self._socket.send(frame, zmq.DONTWAIT)
        except zmq.Again:
            if self.lost:
                raise self.gone() from None
            raise TimeoutExpired(f"the agent on {self.path} takes no more requests") from None

    def receive(self) -> Answer | None:
        """Return the next answer that has arrived, or None if nothing is there."""
        while True:
            try:
                frame = self._socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                return None
            if answer := self.session.receive(frame):
                return answer

    def exchange(
        self, asked: Iterable[Call[Any] | DiscoError], timeout: float
    ) -> Iterator[Outcome]:
        """Ask with a window of requests under way; yield what became of each, in order.

        An error among the calls is its own outcome. `timeout`: seconds without any answer. When it
        is over, or the connection is lost, or nonsense comes, that error (`broken`) is the outcome
        of whatever was not answered, and the connection is of no more use.
        """
        waiting: deque[int | Outcome] = deque()
        finished: dict[int, Outcome] = {}
        source = iter(asked)
        exhausted = False
        while waiting or not exhausted:
            while not exhausted and len(waiting) < WINDOW:
                call = next(source, None)
                if call is None:
                    exhausted = True
                else:
                    waiting.append(self._ask(call))
            while waiting:
                head = waiting[0]
                outcome = head if isinstance(head, Outcome) else finished.pop(head, None)
                if outcome is None:
                    break
                waiting.popleft()
                yield outcome
            if waiting:
                self._collect(waiting, finished, timeout)

    def _ask(self, call: Call[Any] | DiscoError) -> int | Outcome:
        """Send a request; an error that this side finds is its outcome at once."""
        if isinstance(call, DiscoError) or self.broken is not None:
            return Outcome(error=call if isinstance(call, DiscoError) else self.broken)
        try:
            number, frame = self.session.ask(call)
        except DiscoError as error:
            return Outcome(error=error)
        try:
            self.send(frame)
        except DiscoError as error:
            self.broken = error
        return number

    def _collect(
        self, waiting: deque[int | Outcome], finished: dict[int, Outcome], timeout: float
    ) -> None:
        """Take in every answer that is there, at least one; once broken, end what waits."""
        try:
            answer: Answer | None = self.next_answer(timeout)
            while answer is not None:
                finished[answer.number] = outcome_of(answer)
                answer = self.receive()
        except DiscoError as error:
            self.broken = self.broken or error
            for number in waiting:
                if not isinstance(number, Outcome):
                    finished.setdefault(number, Outcome(error=self.broken))

    def next_answer(self, timeout: float) -> Answer:
        """Wait for an answer. Raises AgentUnavailable, TimeoutExpired, DiscoError for nonsense."""
        deadline = time.monotonic() + timeout
        while True:
            over = self.lost  # looked at first: what came before the end is still taken
            answer = self.receive()
            if answer is not None:
                return answer
            if over:
                raise self.gone()
            # Not on what wakes us besides: that stays readable until we look, after the answer.
            if not self._answers.poll(_ms(deadline - time.monotonic())):
                raise TimeoutExpired(
                    f"the agent on {self.path} did not answer within {timeout:g} s"
                )

    def ask(self, call: Call[Any], timeout: float) -> Outcome:
        """Ask one thing and wait at most `timeout` seconds for what becomes of it."""
        return next(self.exchange((call,), timeout))

    def greeting(self, timeout: float) -> Greeting:
        """Return who the agent is; asked once, for the other end is one life of one agent."""
        if self._greeting is None:
            found: Greeting = self.ask(calls.hello(), timeout).result()
            self._greeting = found
        return self._greeting

    def close(self) -> None:
        """End the connection; what was sent last still goes out."""
        if not self._socket.closed:
            self._socket.disable_monitor()
            self._monitor.close(0)
            self._socket.close()


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else min(ceil(max(seconds, 0) * 1000), POLL_MS_MAX)


def outcome_of(answer: Answer) -> Outcome:
    """Return what the last answer to a call makes of it."""
    try:
        value, quality = answer.result()
    except DiscoError as error:
        return Outcome(error=error)
    return Outcome(value, None, quality)


def dial(path: str | None, timeout: float) -> Connection:
    """Connect to the first agent that listens (see `sockets.py`).

    Raises AgentUnavailable at once if nobody does, naming the paths; Refused, TimeoutExpired.
    """
    return connect(sockets.listening_path(sockets.client_paths(path), timeout))


def connect(path: str) -> Connection:
    """Connect to an agent that listens there. Raises DiscoError if that cannot be done."""
    try:
        return Connection(path)
    except zmq.ZMQError as error:  # no descriptors left
        raise DiscoError(f"no connection to the agent on {path}: {error}") from error
