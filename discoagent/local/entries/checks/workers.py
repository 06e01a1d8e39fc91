"""A few threads for what may block: looking names up, starting commands.

They are daemons, unlike those of `concurrent.futures`: a name server that does not answer must not
hold up the agent's end.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

WORKERS_MAX = 8

T = TypeVar("T")
Job = Callable[[], None]


class Workers:
    """Threads that are made when they are needed, and kept."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads = 0
        self._pending = 0

    def do(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Do this in a thread. What nobody waits for any more, or has not begun, is not done."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._pending += 1
        future.add_done_callback(self._done)

        def job() -> None:
            if future.cancelled():
                return
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - told to whoever waits
                self._tell(_fail, future, error)
            else:
                self._tell(_succeed, future, result)

        if self._threads < min(self._pending, WORKERS_MAX):
            self._threads += 1
            threading.Thread(target=self._work, name="check", daemon=True).start()
        self._jobs.put(job)
        return future

    def close(self) -> None:
        """Let the threads end after what they do."""
        for _ in range(self._threads):
            self._jobs.put(None)
        self._threads = 0

    def _done(self, _: "asyncio.Future[T]") -> None:
        self._pending -= 1

    def _tell(self, tell: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(tell, *arguments)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _succeed(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[T]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
