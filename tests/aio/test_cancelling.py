"""Cancelled anywhere: nothing is left registered that nobody has, and no change is half known."""

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from typing import Any

from discoagent.aio import AsyncDisco
from tests.aio.stories import until, with_client
from tests.client.specimens import row
from tests.client.stub import DEADLINE, Reply, Stub, friendly


class Slow:
    """Answers one operation when it is released, and not before."""

    def __init__(self, operation: str) -> None:
        self.released = threading.Event()
        self._operation = operation

    def __call__(self, operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        if operation == self._operation:
            assert self.released.wait(DEADLINE)
        if operation == "update":
            return [(number, 0, {"row": row(id="w", port=5)})]
        return friendly(operation, number, arguments)


async def cancelled_on_the_way(stub: Stub, asked: Coroutine[Any, Any, Any], operation: str) -> None:
    """Cancel what is asked when the agent has it."""
    asking = asyncio.create_task(asked)
    await asyncio.to_thread(stub.wait_for, operation)
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()


def test_a_registration_that_nobody_got_is_ended(path: str) -> None:
    slow = Slow("register")

    async def story(disco: AsyncDisco) -> None:
        await cancelled_on_the_way(stub, disco.register("web", id="w"), "register")
        assert ended(stub) == []

        slow.released.set()
        await asyncio.to_thread(stub.wait_for, "deregister")
        assert ended(stub) == ["web/w@a"]
        assert (await disco.ping())["node"] == "a"

    with Stub(path, slow) as stub:
        with_client(path, story)
    assert ended(stub) == ["web/w@a"]


def test_closing_waits_for_what_is_on_its_way(path: str) -> None:
    slow = Slow("register")

    async def story(disco: AsyncDisco) -> None:
        await cancelled_on_the_way(stub, disco.register("web", id="w"), "register")
        closing = asyncio.create_task(disco.close())
        await asyncio.sleep(0)
        slow.released.set()
        await closing

        assert ended(stub) == ["web/w@a"]

    with Stub(path, slow) as stub:
        with_client(path, story)


def test_a_change_is_known_when_the_agent_has_made_it(path: str) -> None:
    """It is said again with the registration."""
    slow = Slow("update")

    async def story(disco: AsyncDisco) -> None:
        held = await disco.register("web", id="w")
        await cancelled_on_the_way(stub, held.update(port=5), "update")
        assert held.instance.port == 80

        slow.released.set()

        async def known() -> bool:
            return held.instance.port == 5

        assert await until(known)

    with Stub(path, slow) as stub:
        with_client(path, story)


def test_an_end_goes_on_to_its_end(path: str) -> None:
    slow = Slow("deregister")

    async def story(disco: AsyncDisco) -> None:
        held = await disco.register("web", id="w")
        await cancelled_on_the_way(stub, held.close(), "deregister")
        slow.released.set()

    with Stub(path, slow) as stub:
        with_client(path, story)
    assert ended(stub) == ["web/w@a"]


def test_a_query_is_forgotten(path: str) -> None:
    slow = Slow("ping")

    async def story(disco: AsyncDisco) -> None:
        await cancelled_on_the_way(stub, disco.ping(), "ping")
        slow.released.set()
        assert (await disco.hello()).node == "a"
        link = await disco._line.link()
        assert (link._waiting, link._connection.session.open) == ({}, 0)

    with Stub(path, slow) as stub:
        with_client(path, story)


def ended(stub: Stub) -> list[str]:
    """Return what the agent was told to deregister."""
    return [arguments["id"] for name, arguments in stub.seen if name == "deregister"]
