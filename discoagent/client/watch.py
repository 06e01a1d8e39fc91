"""A watch: the present and every change, over any number of restarts of the agent."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Generic, Self, TypeVar

from discoagent.api import WATCH_CREDIT, Status
from discoagent.client import calls
from discoagent.client.bell import Bell
from discoagent.client.calls import Since
from discoagent.client.closing import Closing
from discoagent.client.connection import Connection, dial
from discoagent.client.keeper import pause_before
from discoagent.client.pool import forked
from discoagent.client.session import Answer, Call
from discoagent.client.view import EventRow, View
from discoagent.errors import AgentUnavailable, DiscoError, TimeoutExpired
from discoagent.instance import Event
from discoagent.presence import AnyEvent, PresenceEvent, event_of

E = TypeVar("E")
ROOM_BATCHES = WATCH_CREDIT // 2  # consumed before the agent is told that there is room again


class Following(Closing, Iterator[E], Generic[E]):
    """Events as they happen: first the present as `added`, then `synced`, then every change.

    Iterate over it in one thread; it ends after `close`, which may come from any thread. While the
    agent is away it waits; when the agent is back, what changed meanwhile is shown as the
    difference, so that the events replayed are always what `list(all=True)` shows. Only what a
    restarted agent does not know (yet) is shown until that agent has caught up, some seconds.
    """

    read: Callable[[EventRow], E]
    """Makes an event of its row."""

    def __init__(
        self,
        path: str | None,
        asking: Callable[[Since | None], Call[None]],
        *,
        answer_timeout: float,
        from_token: str | None = None,
        timeout: float | None = None,
        on_link: Callable[[bool], None] | None = None,
    ) -> None:
        """Ask the agent; see `Disco.watch`. `asking` gives what is asked, from a token or not."""
        self._path = path
        self._asking = asking
        self._answer_timeout = answer_timeout
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._on_link = on_link
        self._pid = os.getpid()
        self._view = View(self.read, from_token)
        self._ready: deque[E] = deque()
        self._reading = threading.Lock()
        self._bell = Bell()
        self._closed = False
        self._connection: Connection | None = None
        self._hello: int | None = None
        self._watch: int | None = None
        self._consumed = 0
        self._answer_by = 0.0
        self._tries = 0
        self._away = False
        self._began = False  # from then on it outlives its agent
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> E:
        """Wait for the next event. Raises TimeoutExpired when the watch's own `timeout` is over."""
        event = self._next(self._deadline)
        if event is None:
            if self._closed:
                raise StopIteration
            raise TimeoutExpired(f"the watch's {self._timeout:g} s are over")
        return event

    def poll(self, timeout: float) -> E | None:
        """Wait at most `timeout` seconds for the next event; None: none came, or it is closed."""
        deadline = time.monotonic() + timeout
        return self._next(deadline if self._deadline is None else min(deadline, self._deadline))

    @property
    def closed(self) -> bool:
        """Was it closed?"""
        return self._closed

    def close(self) -> None:
        """End the watch: whoever waits for its next event wakes and finds it ended. Never waits."""
        if self._pid != os.getpid():
            return
        self._closed = True
        self._bell.ring()
        self._release()

    def __del__(self) -> None:
        # `for event in disco.watch(): break` leaves nothing behind.
        if hasattr(self, "_bell"):
            self.close()

    # -- the reader's side -------------------------------------------------------------------------

    def _next(self, deadline: float | None) -> E | None:
        if self._pid != os.getpid():
            raise forked("watch", self._pid)
        try:
            with self._reading:
                while not self._ready and not self._closed:
                    if deadline is not None and time.monotonic() >= deadline:
                        return None
                    self._step(deadline)
                return None if self._closed else self._ready.popleft()
        except DiscoError:
            self.close()
            raise
        finally:
            if self._closed:
                self._release()

    def _release(self) -> None:
        """Give everything back, unless a reader is at it: that one will do it."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            self._drop(cancel=True)
            self._bell.close()
        finally:
            self._reading.release()

    def _step(self, deadline: float | None) -> None:
        """Do one thing that brings the next event nearer, or wait for one."""
        connection = self._connection
        if connection is None:
            self._reopen(deadline)
            return
        try:
            self._converse(connection, deadline)
        except AgentUnavailable:
            self._lose()

    def _converse(self, connection: Connection, deadline: float | None) -> None:
        """Take in one answer, or wait. Raises AgentUnavailable if the agent went away."""
        answer = connection.receive()
        if answer is None and connection.lost:
            answer = connection.receive()  # it may have come between the two looks
            if answer is None:
                raise connection.gone()
        now = time.monotonic()
        if answer is not None:
            self._take(connection, answer, now)
        elif self._watch is None and now >= self._answer_by:
            self._unanswered()
        else:
            self._ready.extend(self._view.expire(now))
            if not self._ready:
                self._make_room(connection)
                connection.wait(self._pause(deadline, now))

    def _pause(self, deadline: float | None, now: float) -> float | None:
        ends = (
            deadline,
            self._view.deadline(),
            self._answer_by if self._watch is None else None,
        )
        known = [end for end in ends if end is not None]
        return min(known) - now if known else None

    def _take(self, connection: Connection, answer: Answer, now: float) -> None:
        if answer.number == self._hello:
            answer.result()
            asked = self._asking(self._view.begin())
            self._watch, frame = connection.session.ask(asked, stream=True)
            connection.send(frame)
            self._consumed = self._tries = 0
            self._tell_link(up=True)
        elif answer.number == self._watch:
            self._take_batch(connection, answer, now)

    def _take_batch(self, connection: Connection, answer: Answer, now: float) -> None:
        if answer.status is Status.ERROR:
            answer.result()
        elif answer.status is Status.DONE:
            raise connection.gone()  # nobody cancelled it: the agent is about to go
        else:
            self._make_room(connection)
            batch = answer.bodies[0]
            self._consumed += 1 if batch else 0
            self._ready.extend(self._view.receive(batch, now))

    def _make_room(self, connection: Connection) -> None:
        """Tell the agent that what it sent was consumed; who does not iterate gives no room."""
        if self._watch is not None and self._consumed >= ROOM_BATCHES:
            connection.send(connection.session.tell(calls.more(self._watch, self._consumed)))
            self._consumed = 0

    # -- the connection ----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Ask for the first time: the agent must be there, and answer."""
        self._open()
        while self._watch is None:
            self._step(None)
        self._began = True

    def _open(self) -> None:
        connection = self._connection = dial(self._path, self._answer_timeout)
        connection.wait_on(self._bell.descriptor)
        self._hello, frame = connection.session.ask(calls.hello())
        self._answer_by = time.monotonic() + self._answer_timeout
        connection.send(frame)

    def _reopen(self, deadline: float | None) -> None:
        """Look for the agent again; between two looks, wait."""
        if self._tries:
            pause = pause_before(self._tries - 1)
            if deadline is not None:
                pause = min(pause, deadline - time.monotonic())
            self._bell.wait(pause)
            if self._closed:
                return
        self._tries += 1
        try:
            self._open()
        except DiscoError:
            self._drop()

    def _unanswered(self) -> None:
        if not self._began:
            raise TimeoutExpired(f"the agent did not answer within {self._answer_timeout:g} s")
        self._drop()

    def _lose(self) -> None:
        """Go on without the agent, until it is back."""
        lost = self._connection
        self._drop()
        if not self._began and lost is not None:
            raise lost.gone()
        self._tell_link(up=False)

    def _tell_link(self, *, up: bool) -> None:
        """Tell the watcher that the agent went away or came back, each once."""
        if self._away is up:
            self._away = not up
            if self._on_link is not None:
                self._on_link(up)

    def _drop(self, *, cancel: bool = False) -> None:
        connection, self._connection = self._connection, None
        watch, self._watch, self._hello = self._watch, None, None
        if connection is None:
            return
        if cancel and watch is not None and not connection.lost:
            with suppress(DiscoError):
                connection.send(connection.session.tell(calls.cancel(watch)))
        connection.close()


class Watch(Following[Event]):
    """Events of services."""

    read = staticmethod(Event.from_row)


class PresenceWatch(Following[PresenceEvent]):
    """Events of topics: replayed they are what `presence` shows."""

    read = staticmethod(PresenceEvent.from_row)


class MixedWatch(Following[AnyEvent]):
    """Events of services and of topics."""

    read = staticmethod(event_of)
