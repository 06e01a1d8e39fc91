"""Leases end at their deadline, and processes with their pidfd; nothing else ends anything."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence

import pytest

from discoagent.core.entry import Key, Kind
from discoagent.local.entries import lifetimes
from discoagent.local.entries.lifetimes import Leases
from discoagent.local.host import endings
from tests.agent.local_world import DEADLINE, ME, World, a_process, end, in_world, turn


def key(number: int) -> Key:
    """Return one of many keys."""
    return (Kind.SERVICE, "x", f"x{number}")


class Ended:
    """What leases ended, in order."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self._more = asyncio.Event()

    def __call__(self, keys: Sequence[Key]) -> None:
        self.keys += keys
        self._more.set()

    async def until(self, number: int) -> list[Key]:
        """Wait until so many have ended."""
        async with asyncio.timeout(DEADLINE):
            while len(self.keys) < number:
                self._more.clear()
                await self._more.wait()
        return self.keys


def with_leases(story: Callable[[Leases, Ended], Awaitable[None]]) -> None:
    """Run a story with leases on a loop of their own."""

    async def run() -> None:
        ended = Ended()
        leases = Leases(asyncio.get_running_loop(), ended)
        try:
            await story(leases, ended)
        finally:
            leases.close()

    asyncio.run(run())


def test_leases_end_in_the_order_of_their_deadlines() -> None:
    """Whatever order they came in."""

    async def story(leases: Leases, ended: Ended) -> None:
        for number, ttl in ((1, 0.03), (2, 0.01), (3, 0.02)):
            leases.grant(key(number), ttl)

        assert await ended.until(3) == [key(2), key(3), key(1)]
        assert key(1) not in leases

    with_leases(story)


def test_a_renewed_lease_lives_on() -> None:
    """It outlives one that was granted later and not renewed."""

    async def story(leases: Leases, ended: Ended) -> None:
        leases.grant(key(1), 0.2)
        leases.grant(key(2), 0.25)
        await turn()
        leases.grant(key(3), 0.1)
        await ended.until(1)
        leases.renew(key(1))

        assert await ended.until(3) == [key(3), key(2), key(1)]

    with_leases(story)


def test_a_shorter_grant_counts() -> None:
    """The newer time to live replaces the older one, also if it ends sooner."""

    async def story(leases: Leases, ended: Ended) -> None:
        leases.grant(key(1), 3600)
        leases.grant(key(2), 0.02)
        leases.grant(key(1), 0.01)

        assert await ended.until(2) == [key(1), key(2)]

    with_leases(story)


def test_ended_leases_leave_the_heap() -> None:
    """Churn of long leases costs bounded memory."""

    async def story(leases: Leases, ended: Ended) -> None:
        for number in range(5_000):
            leases.grant(key(number), 3600)
            assert leases.end(key(number))
        assert not leases.end(key(1))
        leases.grant(key(1), 0.01)

        assert await ended.until(1) == [key(1)]
        assert len(leases._heap) <= 2 * lifetimes.HEAP_SLACK

    with_leases(story)


def test_after_a_pause_of_our_own_renewals_go_first() -> None:
    """A lease found expired long ago gets a moment more: its renewal may lie unread."""

    async def story(leases: Leases, ended: Ended) -> None:
        loop = asyncio.get_running_loop()
        leases.grant(key(1), 0.01)
        leases.grant(key(2), 0.01)
        blocked_until = loop.time() + 0.02 + lifetimes.LATE
        while loop.time() < blocked_until:  # this agent does not run, as after SIGSTOP
            os.sched_yield()
        await turn()
        assert ended.keys == []
        leases.grant(key(1), 0.5)

        assert await ended.until(2) == [key(2), key(1)]

    with_leases(story)


def test_an_expired_lease_is_removed() -> None:
    """With its cause, and nobody's doing."""

    async def story(world: World) -> None:
        world.ask("register", service="x", lifetime=["lease", 100])
        event = await world.event(2)

        assert world.story() == [("added", "registered"), ("removed", "lease-expired")]
        assert event.cause.actor == b""

    in_world(story)


def test_a_watched_process_costs_one_descriptor() -> None:
    """However many entries it has; and none once it has ended."""

    async def story(world: World) -> None:
        with a_process() as process:
            world.ask("register", service="mine")
            before = len(os.listdir("/proc/self/fd"))
            lifetime = ["process", process.pid]
            for number in range(10):
                world.ask("register", service="x", id=f"x{number}", lifetime=lifetime)
            assert len(os.listdir("/proc/self/fd")) == before + 1
            process.kill()
            await world.event(21)
            assert len(os.listdir("/proc/self/fd")) == before

    in_world(story)


def test_facts_are_looked_up_again() -> None:
    """A process that became another program is shown as that, and is the same owner still."""

    async def story(world: World) -> None:
        with a_process("sh", "-c", "read line; exec cat") as process:
            assert process.stdin is not None
            lifetime = ["process", process.pid]
            first = world.ask("register", service="x", port=1, lifetime=lifetime)
            process.stdin.write(b"\n")
            process.stdin.flush()
            held = world.lifetimes.processes.find(process.pid)
            assert held is not None
            async with asyncio.timeout(DEADLINE):
                while (held.facts.exe or "") == first.owner.exe:
                    held.looked_up = float("-inf")
                    world.lifetimes.processes.find(process.pid)
                    await turn()
            again = world.ask("register", service="x", port=1, lifetime=lifetime)

        assert (again.owner.exe or "").endswith("cat")
        assert world.story()[:2] == [("added", "registered"), ("updated", "updated")]

    in_world(story)


def test_a_wrapper_that_ends_while_its_word_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command's end is told at once, and the timer that waited for that word is gone."""
    monkeypatch.setattr(endings, "cause", lambda *_: "exit")  # as where the kernel tells nothing

    async def story(world: World) -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: failures.append(what))
        with a_process() as wrapper, a_process() as process:
            asker = ME._replace(pid=wrapper.pid)
            lifetime = ["process", process.pid]
            world.ask("register", asker, service="x", lifetime=lifetime, wrapper=wrapper.pid)
            end(process)
            end(wrapper)
            await world.event(2)
        world.ask("register", service="later", lifetime=["lease", 100])
        await world.event(4)  # longer than a wrapper's word is waited for

        assert world.story()[:2] == [("added", "registered"), ("removed", "exit")]
        assert failures == []

    in_world(story)
