"""Watches for asyncio: the present and every change, over any number of restarts of the agent."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar

from discoagent.aio.closing import AsyncClosing
from discoagent.aio.line import Line
from discoagent.aio.link import Stream
from discoagent.api import Status
from discoagent.client import calls
from discoagent.client.calls import Since
from discoagent.client.keeper import pause_before
from discoagent.client.session import Answer, Call
from discoagent.client.view import EventRow, View
from discoagent.client.watch import ROOM_BATCHES
from discoagent.errors import DiscoError, TimeoutExpired
from discoagent.instance import Event
from discoagent.presence import AnyEvent, PresenceEvent, event_of

E = TypeVar("E")


class AsyncFollowing(AsyncClosing, AsyncIterator[E], Generic[E]):
    """Events as they happen: first the present as `added`, then `synced`, then every change.

    Iterate over it in one task at a time; it ends after `close`. While the agent is away it waits,
    and shows what changed meanwhile, as `Watch` does. Awaited, it asks the agent now, and raises
    AgentUnavailable or TimeoutExpired if that cannot be asked; so does the first event.
    """

    read: Callable[[EventRow], E]
    """Makes an event of its row."""

    def __init__(
        self,
        line: Line,
        asking: Callable[[Since | None], Call[None]],
        *,
        from_token: str | None = None,
        timeout: float | None = None,
        on_link: Callable[[bool], None] | None = None,
    ) -> None:
        """Prepare to ask the agent; see `Disco.watch`. `asking` gives what is asked."""
        self._line = line
        self._asking = asking
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._on_link = on_link
        self._view = View(self.read, from_token)
        self._ready: deque[E] = deque()
        self._reading = asyncio.Lock()
        self._closing = asyncio.Event()
        self._stream: Stream | None = None
        self._consumed = 0
        self._tries = 0
        self._away = False
        self._began = False  # from then on it outlives its agent

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """Wait for the next event. Raises TimeoutExpired when the watch's own `timeout` is over."""
        event = await self._next(self._deadline)
        if event is None:
            if self.closed:
                raise StopAsyncIteration
            raise TimeoutExpired(f"the watch's {self._timeout:g} s are over")
        return event

    def __await__(self) -> Generator[Any, None, Self]:
        return self._begin().__await__()

    async def poll(self, timeout: float) -> E | None:
        """Wait at most `timeout` seconds for the next event; None: none came, or it is closed."""
        deadline = time.monotonic() + timeout
        return await self._next(
            deadline if self._deadline is None else min(deadline, self._deadline)
        )

    @property
    def closed(self) -> bool:
        """Was it closed?"""
        return self._closing.is_set()

    async def close(self) -> None:
        """End the watch: whoever waits for its next event wakes and finds it ended."""
        self._closing.set()
        stream, self._stream = self._stream, None
        if stream is not None and self._line.ours:
            stream.close()
            stream.stir()

    async def __aenter__(self) -> Self:
        return await self

    def __del__(self) -> None:
        # `async for event in disco.watch(): break` leaves nothing behind.
        stream = getattr(self, "_stream", None)
        if stream is not None and self._line.ours:
            stream.abandon()

    # -- the reader's side -------------------------------------------------------------------------

    async def _begin(self) -> Self:
        async with self._reading:
            if not self._began and not self.closed:
                await self._open()
        return self

    async def _next(self, deadline: float | None) -> E | None:
        if not self.closed:
            self._line.check()
        try:
            async with self._reading:
                while not self._ready and not self.closed:
                    if deadline is not None and time.monotonic() >= deadline:
                        return None
                    await self._step(deadline)
                return None if self.closed else self._ready.popleft()
        except DiscoError:
            await self.close()
            raise

    async def _step(self, deadline: float | None) -> None:
        """Do one thing that brings the next event nearer, or wait for one."""
        stream = self._stream
        if stream is None:
            await self._reopen(deadline)
            return
        now = time.monotonic()
        answer = stream.take()
        if answer is not None:
            self._take(stream, answer, now)
        elif stream.lost is not None:
            self._lose()
        else:
            self._ready.extend(self._view.expire(now))
            if not self._ready:
                self._make_room(stream)
                await stream.wait(self._pause(deadline, now))

    def _pause(self, deadline: float | None, now: float) -> float | None:
        known = [end for end in (deadline, self._view.deadline()) if end is not None]
        return min(known) - now if known else None

    def _take(self, stream: Stream, answer: Answer, now: float) -> None:
        if answer.status is Status.ERROR:
            answer.result()
        elif answer.status is Status.DONE:
            self._lose()  # nobody cancelled it: the agent is about to go
        else:
            self._make_room(stream)
            batch = answer.bodies[0]
            self._consumed += 1 if batch else 0
            self._ready.extend(self._view.receive(batch, now))

    def _make_room(self, stream: Stream) -> None:
        """Tell the agent that what it sent was consumed; who does not iterate gives no room."""
        if self._consumed >= ROOM_BATCHES and stream.lost is None:
            stream.tell(calls.more(stream.number, self._consumed))
            self._consumed = 0

    # -- the link ----------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Ask the agent of now. Raises AgentUnavailable, TimeoutExpired."""
        link = await self._line.link()
        await link.greeting(self._line.timeout)
        if self.closed:
            return
        self._stream = link.stream(self._asking(self._view.begin()))
        self._began = True
        self._consumed = self._tries = 0
        self._tell_link(up=True)

    async def _reopen(self, deadline: float | None) -> None:
        """Look for the agent again; between two looks, wait."""
        if self._tries:
            pause = pause_before(self._tries - 1)
            if deadline is not None:
                pause = min(pause, deadline - time.monotonic())
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._closing.wait()
            if self.closed:
                return
        self._tries += 1
        try:
            await self._open()
        except DiscoError:
            if not self._began:
                raise

    def _lose(self) -> None:
        """Go on without the agent, until it is back."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        self._tell_link(up=False)

    def _tell_link(self, *, up: bool) -> None:
        """Tell the watcher that the agent went away or came back, each once."""
        if self._away is up:
            self._away = not up
            if self._on_link is not None:
                self._on_link(up)


class AsyncWatch(AsyncFollowing[Event]):
    """Events of services."""

    read = staticmethod(Event.from_row)


class AsyncPresenceWatch(AsyncFollowing[PresenceEvent]):
    """Events of topics: replayed they are what `presence` shows."""

    read = staticmethod(PresenceEvent.from_row)


class AsyncMixedWatch(AsyncFollowing[AnyEvent]):
    """Events of services and of topics."""

    read = staticmethod(event_of)
