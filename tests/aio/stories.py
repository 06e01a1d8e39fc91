"""Runs what tests tell of a client, each in an event loop of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from discoagent.aio import AsyncDisco
from discoagent.errors import DiscoError
from tests.agent.harness import DEADLINE, LOOK_AGAIN

T = TypeVar("T")
Story = Callable[[AsyncDisco], Coroutine[Any, Any, T]]


def run(story: Coroutine[Any, Any, T]) -> T:
    """Run a story that ends, and see that it leaves no task behind."""

    async def whole() -> T:
        told = await asyncio.wait_for(story, 3 * DEADLINE)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert left == set()
        return told

    return asyncio.run(whole())


def with_client(socket: str, story: Story[T], *, timeout: float = DEADLINE) -> T:
    """Run a story with a client of its own."""

    async def whole() -> T:
        async with AsyncDisco(socket, timeout=timeout) as disco:
            return await story(disco)

    return run(whole())


async def error_of(asked: Awaitable[object]) -> DiscoError:
    """Return what is raised in place of an answer."""
    with pytest.raises(DiscoError) as caught:
        await asked
    return caught.value


async def until(holds: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Ask again and again until the answer is true, and return it; for what makes no event."""
    pause = asyncio.Event()
    while not (answer := await holds()):
        with suppress(TimeoutError):
            await asyncio.wait_for(pause.wait(), LOOK_AGAIN)
    return answer
