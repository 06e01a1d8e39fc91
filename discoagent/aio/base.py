"""What all parts of an `AsyncDisco` share."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakSet

from discoagent.aio.keeper import AsyncKeeper
from discoagent.aio.line import Line
from discoagent.aio.watch import AsyncFollowing
from discoagent.client.lasting import milliseconds
from discoagent.client.session import Call
from discoagent.sockets import client_paths

T = TypeVar("T")


class Base:
    """The line to the agent, the watches, and what holds the registrations."""

    def __init__(self, socket: str | None = None, *, timeout: str | float = 2.0) -> None:
        path = client_paths(socket)[0] if socket else None
        self.timeout = milliseconds(timeout, "timeout") / 1000
        self._line = Line(path, self.timeout)
        self._keeper = AsyncKeeper(self._line)
        self._pending: set[asyncio.Task[Any]] = set()
        self._watches: WeakSet[AsyncFollowing[Any]] = WeakSet()

    async def _ask(self, call: Call[T], timeout: float | None = None) -> T:
        return await self._line.ask(call, timeout)

    async def _whole(
        self, work: Coroutine[Any, Any, T], unwanted: Callable[[T], object] = lambda _: None
    ) -> T:
        """Do something to its end, also if this is cancelled; `unwanted` takes the result then."""
        task = asyncio.get_running_loop().create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(
                lambda done: done.cancelled() or done.exception() or unwanted(done.result())
            )
            raise
