"""One connection to one life of the agent, in an event loop: many requests at a time, and streams.

The socket's descriptor is edge-triggered, and every call on the socket may eat its signal: so after
each send there is another look, and each look reads until nothing is there.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any

from discoagent.client import calls
from discoagent.client.calls import Greeting
from discoagent.client.connection import WINDOW, Outcome, connect, outcome_of
from discoagent.client.session import Answer, Call
from discoagent.errors import DiscoError, TimeoutExpired

ANSWERS_PER_LOOK = 1_000  # then the loop looks at everything else first


class Stream:
    """The answers to one request that has many, as they come; None of them waits for its reader."""

    def __init__(self, link: "Link", number: int) -> None:
        self._link = link
        self._number = number
        self._answers: deque[Answer] = deque()
        self._stirred = asyncio.Event()

    @property
    def number(self) -> int:
        """The request's number."""
        return self._number

    @property
    def lost(self) -> DiscoError | None:
        """Why no more answers come; those that came before can still be taken."""
        return self._link.lost

    def take(self) -> Answer | None:
        """Return the next answer that has come, or None."""
        return self._answers.popleft() if self._answers else None

    async def wait(self, seconds: float | None) -> None:
        """Wait until there is an answer, none will come any more, or somebody stirs."""
        if self._answers or self.lost is not None:
            return
        self._stirred.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stirred.wait()

    def stir(self) -> None:
        """Let who waits look again."""
        self._stirred.set()

    def put(self, answer: Answer) -> None:
        """Keep an answer; used by the link."""
        self._answers.append(answer)
        self.stir()

    def tell(self, call: Call[None]) -> None:
        """Say what has no answer. Raises AgentUnavailable."""
        self._link.tell(call)

    def close(self) -> None:
        """Want no more answers."""
        self._link.end(self)

    def abandon(self) -> None:
        """Want no more answers; safe in any thread, for a collector runs where it likes."""
        self._link.soon(self.close)


class Link:
    """A connection that reads by itself. `lost`: why it is over, or None."""

    def __init__(self, path: str, on_lost: Callable[[], None]) -> None:
        """Connect to the agent on `path`; `on_lost` is called when the agent went away."""
        self.path = path
        self.lost: DiscoError | None = None
        self._connection = connect(path)
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(WINDOW)
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._streams: dict[int, Stream] = {}
        self._greeting: Greeting | None = None
        self._look_is_due = False
        for descriptor in self._connection.descriptors:
            self._loop.add_reader(descriptor, self._look)
        self._look_again()

    def alive(self) -> bool:
        """Is the agent still there, as far as is known without waiting?"""
        if self.lost is None and self._connection.lost:
            self._look()
        return self.lost is None

    async def ask(self, call: Call[Any], timeout: float) -> Outcome:
        """Ask one thing and wait at most `timeout` seconds for what becomes of it."""
        try:
            async with asyncio.timeout(timeout), self._room:
                return await self._answer(self._ask(call))
        except TimeoutError:
            return Outcome(error=self._silence(timeout))

    async def greeting(self, timeout: float) -> Greeting:
        """Return who the agent is; asked once, for the other end is one life of one agent."""
        if self._greeting is None:
            found: Greeting = (await self.ask(calls.hello(), timeout)).result()
            self._greeting = found
        return self._greeting

    async def exchange(
        self, asked: Iterable[Call[Any] | DiscoError], timeout: float
    ) -> tuple[list[Outcome], DiscoError | None]:
        """Ask with a window of requests under way; return what became of each, in order.

        An error among the calls is its own outcome. `timeout`: seconds without the next answer.
        When it is over, or the agent went away, that error is the outcome of whatever was not
        answered, and returned beside.
        """
        waiting: deque[asyncio.Future[Outcome]] = deque()
        outcomes: list[Outcome] = []
        late: Outcome | None = None
        source = iter(asked)
        try:
            while True:
                for call in islice(source, WINDOW - len(waiting)):
                    waiting.append(self._ask(call) if late is None else self._done(late))
                if not waiting:
                    return outcomes, late.error if late is not None else self.lost
                first = waiting.popleft()
                if late is not None and not first.done():
                    first.cancel()
                    outcomes.append(late)
                    continue
                try:
                    async with asyncio.timeout(timeout):
                        outcomes.append(await self._answer(first))
                except TimeoutError:
                    late = Outcome(error=self._silence(timeout))
                    outcomes.append(late)
        finally:
            for future in waiting:
                future.cancel()

    def stream(self, call: Call[None]) -> Stream:
        """Ask what has many answers. Raises AgentUnavailable, TimeoutExpired."""
        if self.lost is not None:
            raise self.lost
        number, frame = self._connection.session.ask(call, stream=True)
        stream = self._streams[number] = Stream(self, number)
        self._send(frame)
        return stream

    def tell(self, call: Call[None]) -> None:
        """Say what has no answer. Raises AgentUnavailable, TimeoutExpired."""
        if self.lost is not None:
            raise self.lost
        self._send(self._connection.session.tell(call))

    def end(self, stream: Stream) -> None:
        """Let a stream end."""
        if self._streams.pop(stream.number, None) is not None and self.lost is None:
            self._connection.session.forget(stream.number)
            with suppress(DiscoError):
                self.tell(calls.cancel(stream.number))

    def soon(self, work: Callable[[], None]) -> None:
        """Do something in the loop's thread, if the loop still runs."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work)

    def close(self) -> None:
        """End the connection; what was sent last still goes out. Who still waits is told."""
        if self.lost is None:
            self._lose(DiscoError("this AsyncDisco was closed", kind="closed"))

    # -- asking ------------------------------------------------------------------------------------

    def _ask(self, call: Call[Any] | DiscoError) -> "asyncio.Future[Outcome]":
        """Send a request; an error that this side finds is its outcome at once."""
        if isinstance(call, DiscoError) or self.lost is not None:
            return self._done(Outcome(error=call if isinstance(call, DiscoError) else self.lost))
        try:
            number, frame = self._connection.session.ask(call)
            self._send(frame)
        except DiscoError as error:
            return self._done(Outcome(error=error))
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._waiting[number] = future
        future.add_done_callback(lambda _: self._forget(number))
        return future

    def _forget(self, number: int) -> None:
        self._waiting.pop(number, None)
        self._connection.session.forget(number)

    def _done(self, outcome: Outcome) -> "asyncio.Future[Outcome]":
        future: asyncio.Future[Outcome] = self._loop.create_future()
        future.set_result(outcome)
        return future

    async def _answer(self, future: "asyncio.Future[Outcome]") -> Outcome:
        """Wait for an outcome; nobody else does when this is cancelled."""
        try:
            return await future
        finally:
            future.cancel()

    def _silence(self, timeout: float) -> TimeoutExpired:
        return TimeoutExpired(f"the agent on {self.path} did not answer within {timeout:g} s")

    # -- the socket --------------------------------------------------------------------------------

    def _send(self, frame: bytes) -> None:
        self._connection.send(frame)
        self._look_again()

    def _look_again(self) -> None:
        if not self._look_is_due:
            self._look_is_due = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Take in all that has come; see whether the agent went away."""
        self._look_is_due = False
        if self.lost is not None:
            return
        over = self._connection.lost  # looked at first: what came before the end is still taken
        try:
            for _ in range(ANSWERS_PER_LOOK):
                answer = self._connection.receive()
                if answer is None:
                    break
                self._take(answer)
            else:
                self._look_again()
                return
        except DiscoError as error:  # nonsense: the connection is of no more use
            self._lose(error)
            return
        if over:
            self._lose(self._connection.gone())

    def _take(self, answer: Answer) -> None:
        stream = self._streams.get(answer.number)
        if stream is not None:
            stream.put(answer)
            return
        future = self._waiting.get(answer.number)
        if future is not None and not future.done():
            future.set_result(outcome_of(answer))

    def _lose(self, why: DiscoError) -> None:
        self.lost = why
        for descriptor in self._connection.descriptors:
            self._loop.remove_reader(descriptor)
        self._connection.close()
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_result(Outcome(error=why))
        for stream in self._streams.values():
            stream.stir()
        self._on_lost()
