"""Watches in an event loop: what they show, how they wait, and how they end."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from discoagent.aio import AsyncDisco
from discoagent.errors import InvalidRequest, TimeoutExpired
from discoagent.instance import Event
from tests.agent.harness import AgentProcess
from tests.aio.stories import error_of, until, with_client


async def kinds(events: AsyncIterator[Any], count: int) -> list[str]:
    """Return the kinds of the next events."""
    return [(await anext(events)).kind for _ in range(count)]


def test_the_present_then_changes(agent: AgentProcess) -> None:
    async def story(disco: AsyncDisco) -> None:
        web = await disco.register("seen", id="1", port=1)
        seen: list[Event] = []
        async for event in disco.watch("seen"):
            seen.append(event)
            if event.kind == "synced":
                await disco.register("unseen")
                await web.update(port=2)
                await web.close()
            if event.kind == "removed":
                break

        assert [it.kind for it in seen] == ["added", "synced", "updated", "removed"]
        assert seen[-1].cause == "deregistered"

        token = seen[1].token
        async with disco.watch("seen", from_token=token) as missed:
            assert await kinds(missed, 3) == ["updated", "removed", "synced"]

    with_client(agent.socket, story)


def test_filters_and_topics(agent: AgentProcess) -> None:
    async def story(disco: AsyncDisco) -> None:
        sifted = await disco.watch("sifted", filter="port > 1")
        topics = await disco.watch_presence("room")
        both = await disco.watch_mixed(["sifted"], ["room"])
        for watch in (sifted, topics, both):
            assert await kinds(watch, 1) == ["synced"]
        web = await disco.register("sifted", port=1)
        await web.update(port=2)
        await disco.track("room", "alice")

        assert (await anext(sifted)).cause == "updated"
        assert (await anext(topics)).key == "alice"
        assert await kinds(both, 3) == ["added", "updated", "added"]

    with_client(agent.socket, story)


def test_one_that_is_cancelled_while_it_waits_loses_nothing(agent: AgentProcess) -> None:
    """Each event is shown once, however often the reader gives up waiting."""

    async def story(disco: AsyncDisco) -> None:
        watch = await disco.watch("patience")
        assert await kinds(watch, 1) == ["synced"]

        async def write() -> None:
            for number in range(100):
                await disco.register("patience", id=str(number))

        writing = asyncio.create_task(write())
        seen: list[Event] = []
        given_up = 0
        while len(seen) < 100:
            reading = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait({reading})
            given_up += reading.cancelled()
            found = await watch.poll(0.0) if reading.cancelled() else reading.result()
            seen += [found] if found is not None else []
        await writing

        assert [it.instance and it.instance.id for it in seen] == [str(n) for n in range(100)]
        assert given_up > 0

    with_client(agent.socket, story)


def test_a_burst_beyond_the_room_that_it_was_given(agent: AgentProcess) -> None:
    """The agent is told of room as the reader takes what came."""

    async def story(disco: AsyncDisco) -> None:
        from discoagent.client.calls import Spec

        watch = await disco.watch("burst")
        assert await kinds(watch, 1) == ["synced"]
        await disco.register_many([Spec("burst", id=str(n)) for n in range(10_000)])

        assert await kinds(watch, 10_000) == ["added"] * 10_000

    with_client(agent.socket, story)


def test_the_time_of_a_watch(agent: AgentProcess) -> None:
    async def story(disco: AsyncDisco) -> None:
        watch = await disco.watch("nothing", timeout=0.1)
        assert await kinds(watch, 1) == ["synced"]
        assert await watch.poll(0.0) is None

        error = await error_of(anext(watch))
        assert isinstance(error, TimeoutExpired)
        assert "0.1 s" in str(error)

    with_client(agent.socket, story)


def test_who_waits_wakes_when_it_is_closed(agent: AgentProcess) -> None:
    """By another task, or with its client."""

    async def story(disco: AsyncDisco) -> None:
        async def read(watch: AsyncIterator[Event]) -> list[str]:
            return [event.kind async for event in watch]

        one, other = await disco.watch("closed"), await disco.watch("closed")
        for watch in (one, other):
            assert await kinds(watch, 1) == ["synced"]
        reading = [asyncio.create_task(read(watch)) for watch in (one, other)]
        await asyncio.sleep(0)
        await one.close()
        assert await reading[0] == []
        assert not reading[1].done()
        await disco.close()
        assert await reading[1] == []
        assert (one.closed, other.closed) == (True, True)

    with_client(agent.socket, story)


def test_one_that_is_left_is_cancelled_when_it_is_collected(agent: AgentProcess) -> None:
    async def story(disco: AsyncDisco) -> None:
        async for _ in disco.watch("left"):
            break
        gc.collect()
        link = await disco._line.link()

        async def gone() -> bool:
            return not link._streams

        assert await until(gone)
        assert (await disco.ping())["node"] == "a"

    with_client(agent.socket, story)


def test_what_the_agent_refuses_ends_the_watch(agent: AgentProcess) -> None:
    async def story(disco: AsyncDisco) -> None:
        watch = disco.watch("no such name!")

        assert isinstance(await error_of(anext(watch)), InvalidRequest)
        assert watch.closed
        with pytest.raises(StopAsyncIteration):
            await anext(watch)

    with_client(agent.socket, story)


def test_a_reader_at_a_time(agent: AgentProcess) -> None:
    """Two tasks that iterate over one watch share its events."""

    async def story(disco: AsyncDisco) -> None:
        watch = await disco.watch("shared")
        assert await kinds(watch, 1) == ["synced"]
        readers = [asyncio.ensure_future(anext(watch)) for _ in range(3)]
        for number in range(3):
            await disco.register("shared", id=str(number))

        seen = [event.instance.id for event in await asyncio.gather(*readers) if event.instance]
        assert sorted(seen) == ["0", "1", "2"]

    with_client(agent.socket, story)
