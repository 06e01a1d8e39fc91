"""Keeps a client's registrations alive: one task, which begins with the first of them.

As `discoagent.client.keeper`, to whose thread it leaves what could not be said before its client
was closed.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress

from discoagent.aio.line import Line
from discoagent.aio.link import Link
from discoagent.client.held import Errand, Held, HeldKey, Holdings
from discoagent.client.keeper import BUSY_RETRY_SECONDS, Keeper, pause_before, succeed
from discoagent.errors import DiscoError, TimeoutExpired

_logger = logging.getLogger("discoagent.client")


class AsyncKeeper:
    """The held registrations of one `AsyncDisco`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._holdings = Holdings()
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()  # there may be something to say
        self._moved = asyncio.Event()  # something was said, or could not be
        self._helpless = False
        line.on_lost = self._wake.set

    def hold(self, path: str, registrations: Iterable[Held]) -> None:
        """Hold what was registered with the agent on `path`, in place of earlier ones of its id."""
        for held in registrations:
            succeed(path, held)
            self._holdings.add(held)
        self._go_on()

    def end_later(self, held: Held) -> None:
        """Have a registration ended: now, or once the agent is back."""
        self._holdings.close(held)
        self._go_on()

    def find(self, key: HeldKey) -> Held | None:
        """Return the held registration of this id."""
        return self._holdings.find(key)

    def instance(self, service: str | None, name: str) -> Held | None:
        """Return the held instance of this id, if it is just one."""
        return self._holdings.instance(service, name)

    def drop(self, held: Held) -> None:
        """Hold a registration no longer; it has ended."""
        held.closing = held.closed = True
        self._holdings.remove(held)

    @asynccontextmanager
    async def speaking_for(self, held: Held) -> AsyncIterator[None]:
        """Let nobody else speak for a registration meanwhile. Raises TimeoutExpired."""
        try:
            async with asyncio.timeout(self._line.timeout):
                await self._until(lambda: not held.busy)
        except TimeoutError:
            raise TimeoutExpired(
                f"{held.name}: another request for it is still under way"
            ) from None
        held.busy = True
        try:
            yield
        finally:
            held.busy = False
            self._move()

    async def close(self) -> None:
        """End all that ends with this client.

        Returns once that is done, or the agent cannot be asked: a thread goes on trying then, as
        long as this process lives. Cancelled, it leaves all that is left to that thread.
        """
        self._holdings.close_all()
        self._helpless = False
        task = self._task
        if task is None:
            return
        self._wake.set()
        try:
            await self._until(lambda: self._helpless or self._holdings.idle or task.done())
        finally:
            task.cancel()
            task.add_done_callback(lambda _: self._leave())
        await asyncio.wait({task})

    def _leave(self) -> None:
        """Leave what is left to say to a thread, which needs no loop."""
        Keeper(self._line.path, self._line.timeout).finish(self._holdings)

    def _go_on(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(lambda _: self._move())
        self._wake.set()

    def _move(self) -> None:
        """Let everybody look who waits for something."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._moved.wait()

    # -- the task ----------------------------------------------------------------------------------

    async def _run(self) -> None:
        tries = 0
        while True:
            self._wake.clear()  # before the look at what it stands for, which is never missed then
            try:
                link = await self._line.link()
                await self._serve(link)
                tries = 0
            except DiscoError:
                self._helpless = True
                self._move()
                await self._sleep(pause_before(tries))
                tries += 1
            else:
                await self._sleep(self._pause())

    async def _serve(self, link: Link) -> None:
        """Say what is to be said. Raises if the agent went away."""
        incarnation = (await link.greeting(self._line.timeout)).incarnation
        while errands := self._holdings.errands(incarnation, time.monotonic()):
            await self._say(link, errands, incarnation)

    async def _say(self, link: Link, errands: list[Errand], incarnation: int) -> None:
        asked = time.monotonic()
        left = list(reversed(errands))
        try:
            outcomes, broken = await link.exchange(
                (errand.call for errand in errands), self._line.timeout
            )
            for outcome in outcomes:
                if broken is not None and outcome.error is broken:
                    raise broken
                errand = left.pop()
                self._holdings.done(errand, outcome.value, outcome.error, incarnation, asked)
                if errand.held.ended is not None:
                    _logger.warning("%s is lost: %s", errand.held.name, errand.held.ended)
        finally:
            self._holdings.undone(left)
            self._move()

    def _pause(self) -> float | None:
        """Return how long nothing is to be said, as far as is known."""
        if self._holdings.unsettled:
            return BUSY_RETRY_SECONDS
        due = self._holdings.next_renewal()
        return None if due is None else due - time.monotonic()

    async def _sleep(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
