"""The way of one client to whichever life of its agent is there."""

import asyncio
import os
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

from discoagent import sockets
from discoagent.aio.link import Link
from discoagent.client.pool import forked
from discoagent.client.session import Call, Quality
from discoagent.errors import DiscoError, TimeoutExpired

T = TypeVar("T")
BUSY_SECONDS = 0.02  # between two tries while the agent's listener accepts nothing


class Line:
    """The link to the agent, made when it is needed, and anew when the agent was restarted."""

    def __init__(self, path: str | None, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self.closed = False  # nobody is to ask any more
        self.on_lost: Callable[[], None] = lambda: None
        self._pid = os.getpid()
        self._quality: ContextVar[Quality | None] = ContextVar("quality", default=None)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._link: Link | None = None

    @property
    def ours(self) -> bool:
        """Was this made in this very process, and not before a fork?"""
        return self._pid == os.getpid()

    @property
    def quality(self) -> Quality:
        """How far can the last answer to this task be relied on?"""
        return self._quality.get() or Quality()

    def check(self) -> None:
        """Raise DiscoError in the child of a fork, in another loop, and after `close`."""
        self._check_place()
        if self.closed:
            raise DiscoError("this AsyncDisco was closed", kind="closed")

    def _check_place(self) -> None:
        if not self.ours:
            raise forked("AsyncDisco", self._pid)
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise DiscoError(
                "this AsyncDisco is used in another event loop: make a new one in this loop",
                kind="loop",
            )

    async def ask(self, call: Call[T], timeout: float | None = None) -> T:
        """Ask one thing. Raises the error that is answered, AgentUnavailable, TimeoutExpired."""
        self.check()
        link = await self.link()
        outcome = await link.ask(call, self.timeout if timeout is None else timeout)
        if outcome.quality != self.quality:
            self._quality.set(outcome.quality)
        value: T = outcome.result()
        return value

    async def link(self) -> Link:
        """Return the link to the agent of now. Raises AgentUnavailable at once if nobody listens.

        Where the listener accepts nothing, TimeoutExpired comes after the timeout. To `close` it
        can still be had.
        """
        self._check_place()
        until = time.monotonic() + self.timeout
        while self._link is None or not self._link.alive():
            try:
                self._link = Link(
                    sockets.listening_path(sockets.client_paths(self.path), 0.0), self._lost
                )
            except TimeoutExpired as error:
                if time.monotonic() >= until:
                    raise TimeoutExpired(
                        f"{self.path or 'the agent'} accepts nothing: no answer within "
                        f"{self.timeout:g} s"
                    ) from error
                await asyncio.sleep(BUSY_SECONDS)
        return self._link

    def _lost(self) -> None:
        self.on_lost()

    def close(self) -> None:
        """Let go of the link; who still waits for an answer is told."""
        if self._link is not None:
            self._link.close()
