"""What operators say of instances: `maint` and `draining`, who may, and when it is over."""

import asyncio
import socket
from typing import Any

import pytest

from discoagent.checks import Check
from discoagent.core.entry import Entry, Kind
from discoagent.errors import Refused
from discoagent.instance import Instance, unpack_actor
from discoagent.local.host.owners import Asker
from discoagent.local.requests.operations import Drain, Maint
from discoagent.local.requests.parsing import parse_call
from discoagent.local.requests.presence_operations import Track
from tests.agent.local_world import ME, STRANGER, World, a_process, in_world

STATIC = {"lifetime": ["static"]}


def maint(world: World, asker: Asker = ME, **arguments: Any) -> list[Instance]:
    """Do it as the door does."""
    call = parse_call("maint", {"on": True, **arguments})
    assert isinstance(call, Maint)
    return [Instance.from_row(row) for row in world.own.upkeep.maint(call, asker)]


def drain(world: World, asker: Asker = ME, **arguments: Any) -> list[Instance]:
    """Do it as the door does."""
    call = parse_call("drain", arguments)
    assert isinstance(call, Drain)
    return [Instance.from_row(row) for row in world.own.upkeep.drain(call, asker)]


def test_maint_and_back() -> None:
    """One event each, with cause and actor; twice the same is none."""

    async def story(world: World) -> None:
        before = world.ask("register", service="web", **STATIC)
        (during,) = maint(world, id="web", reason="new disk")
        maint(world, id="web", reason="new disk")
        (after,) = maint(world, id="web", on=False)
        maint(world, id="web", on=False)

        assert (during.state, during.usable) == ("maint", False)
        assert during.maint == {"reason": "new disk", "until": None}
        assert (after.state, after.maint) == ("passing", None)
        assert (after.ref, after.registered_at) == (before.ref, before.registered_at)
        assert world.story()[1:] == [("updated", "maint")] * 2
        actor = unpack_actor(world.events[1].cause.actor)
        assert actor is not None
        assert actor.pid == ME.pid

    in_world(story)


def test_a_maint_that_is_over_by_itself() -> None:
    """Nobody's doing; and one that was prolonged ends later."""

    async def story(world: World) -> None:
        world.ask("register", service="web", **STATIC)
        maint(world, id="web", for_ms=200)
        await world.event(3)

        assert world.story()[1:] == [("updated", "maint")] * 2
        assert world.events[2].cause.actor == b""
        maint(world, id="web", for_ms=100)
        maint(world, id="web")
        maint(world, id="web", for_ms=60_000)
        world.ask("register", service="mark", lifetime=["lease", 150])
        await world.event(8)
        assert world.story()[-1] == ("removed", "lease-expired")

    in_world(story)


def test_whatever_the_checks_say() -> None:
    """They go on, and their word counts again afterwards."""

    async def story(world: World) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            check = Check.tcp(f"127.0.0.1:{port}", interval=0.1, timeout=5, fall=1).packed()
            world.ask("register", service="web", checks=[check], **STATIC)
            await world.event(2)
            maint(world, id="web")
        failed = await world.event(4)
        (after,) = maint(world, id="web", on=False)

        assert failed.entry is not None
        assert failed.cause.word == "check"
        assert of(failed.entry).state == "maint"
        assert of(failed.entry).checks[0]["state"] == "critical"
        assert after.state == "critical"

    in_world(story)


def of(entry: Entry) -> Instance:
    """Return the instance that an entry holds."""
    assert isinstance(entry.body, bytes)
    return Instance.of(entry.name, entry.id, "a", "", entry.owner, entry.body)


def test_draining() -> None:
    """Found by nobody new; `maint off` ends it, `maint on` takes its place."""

    async def story(world: World) -> None:
        world.ask("register", service="web", **STATIC)
        (draining,) = drain(world, id="web")
        assert (draining.state, draining.usable) == ("draining", False)
        assert drain(world, id="web") == [draining]
        assert maint(world, id="web")[0].state == "maint"
        assert maint(world, id="web", on=False)[0].state == "passing"
        causes = [word for _, word in world.story()[1:]]
        assert causes == ["drained", "maint", "maint"]

    in_world(story)


def test_a_whole_node() -> None:
    """All of its instances, and nothing else of it; for those alone who run the node."""

    async def story(world: World) -> None:
        for name in ("web", "db"):
            world.ask("register", service=name, **STATIC)
        call = parse_call("track", {"topic": "room", "key": "alice"})
        assert isinstance(call, Track)
        world.tracker.track(call, ME)
        assert [it.name for it in drain(world)] == ["db/db@a", "web/web@a"]
        assert {it.state for it in maint(world)} == {"maint"}
        assert {it.state for it in maint(world, on=False)} == {"passing"}
        with pytest.raises(Refused):
            drain(world, STRANGER)
        with pytest.raises(Refused):
            maint(world, STRANGER, id="web")
        assert drain(World(incarnation=1)) == []

    in_world(story)


def test_said_again_it_stays() -> None:
    """By the same owner; who takes over is not draining, but what is out of use stays that."""

    async def story(world: World) -> None:
        with a_process() as other:
            what: dict[str, Any] = {"service": "web", "id": "web", "port": 1}
            over = {**what, "lifetime": ["process", other.pid], "replace": True}
            world.ask("register", **what)
            drain(world, id="web")
            assert world.ask("register", **what).state == "draining"
            assert world.ask("update", id="web", tag=["x"]).state == "draining"
            assert world.ask("register", **over).state == "passing"
            maint(world, id="web", reason="r")
            again = world.ask("register", **{**what, "replace": True})
            assert (again.state, again.maint) == ("maint", {"reason": "r", "until": None})

    in_world(story)


def test_it_outlives_the_agent() -> None:
    """With its end, which may have passed meanwhile."""

    async def story() -> None:
        former, world = World(incarnation=1), World(incarnation=2)
        for name in ("short", "long", "ever"):
            former.ask("register", service=name, **STATIC)
        maint(former, id="short", for_ms=100)
        maint(former, id="long", for_ms=3_600_000)
        maint(former, id="ever")
        world.wall_ms = former.wall_ms + 1_000
        try:
            for entry in list(former.replica.own):
                if entry.kind is Kind.SERVICE:
                    world.perform(world.replica.put(entry, former.events[0].cause, 0.0))
                    world.own.revive(entry)
            event = await world.event(4)
            assert event.entry is not None
            assert (event.entry.name, event.cause.word) == ("short", "maint")
            states = {it.name: of(it).state for it in world.replica.own if it.name}
            assert states == {"short": "passing", "long": "maint", "ever": "maint"}
        finally:
            former.close()
            world.close()

    asyncio.run(story())
