"""Registering, changing and ending instances: who may, what is an event, and what lives on."""

import os
import sys
from typing import Any

import pytest

from discoagent.errors import Conflict, InvalidRequest, NoInstance, Refused
from discoagent.instance import Body, Owner, unpack_actor
from discoagent.local.host import endings
from discoagent.local.host.owners import Asker
from tests.agent.local_world import (
    EXECUTABLE,
    ME,
    ROOT,
    STRANGER,
    World,
    a_process,
    end,
    in_world,
    refusal,
)


def test_register_fills_in() -> None:
    """Address, id, state, owner and times come from the agent."""

    async def story(world: World) -> None:
        web = world.ask("register", service="web", port=80, tags=["b", "a", "b"])

        assert (web.name, web.address, web.tags) == ("web/web-80@a", "10.0.0.5", ("b", "a"))
        assert (web.state, web.lifetime.kind) == ("passing", "process")
        assert (web.owner.uid, web.owner.pid) == (ME.uid, ME.pid)
        assert web.owner.exe == EXECUTABLE
        assert web.ref == f"a.{world.replica.id.incarnation}.2"
        assert web.registered_at == web.updated_at
        assert world.story() == [("added", "registered")]
        actor = unpack_actor(world.events[0].cause.actor)
        assert actor == Owner(ME.uid, ME.pid, web.owner.exe, web.owner.unit)

    in_world(story)


def test_default_ids() -> None:
    """NAME-PORT, else NAME-PID of the owner; leases and static ones without a port: NAME."""

    async def story(world: World) -> None:
        assert world.ask("register", service="web", port=80).id == "web-80"
        assert world.ask("register", service="job").id == f"job-{ME.pid}"
        assert world.ask("register", service="l", lifetime=["lease", 5_000]).id == "l"
        assert world.ask("register", service="s", lifetime=["static"]).id == "s"
        assert world.ask("register", service="s", port=1, lifetime=["static"]).id == "s-1"
        too_long = refusal(world, "register", service="x" * 128)
        assert too_long.field == "id"

    in_world(story)


def test_same_owner_again() -> None:
    """Nothing that differs, no event; else an update that keeps ref and registered_at."""

    async def story(world: World) -> None:
        first = world.ask("register", service="web", port=80)
        again = world.ask("register", service="web", port=80)
        assert again == first
        assert world.story() == [("added", "registered")]

        changed = world.ask("register", service="web", port=80, meta={"zone": "b"})
        assert (changed.ref, changed.registered_at) == (first.ref, first.registered_at)
        assert changed.updated_at > first.updated_at
        assert world.story()[1:] == [("updated", "updated")]
        assert world.events[1].before is not None

    in_world(story)


def test_a_lease_belongs_to_the_user() -> None:
    """Another process of the same user updates it; nothing differs by the process alone."""

    async def story(world: World) -> None:
        with a_process() as other:
            first = world.ask("register", service="x", lifetime=["lease", 60_000])
            asker = ME._replace(pid=other.pid)
            assert world.ask("register", asker, service="x", lifetime=["lease", 60_000]) == first
            assert len(world.events) == 1

            longer = world.ask("register", asker, service="x", lifetime=["lease", 90_000])
            assert longer.owner.pid == other.pid
            assert world.story()[1:] == [("updated", "updated")]

    in_world(story)


def test_a_living_owner_keeps_its_id() -> None:
    """Another process or kind is a conflict that names the owner; replace takes over."""

    async def story(world: World) -> None:
        with a_process() as other:
            first = world.ask("register", service="web", port=80)
            for lifetime in (["process", other.pid], ["lease", 5_000], ["static"]):
                error = refusal(world, "register", service="web", port=80, lifetime=lifetime)
                assert isinstance(error, Conflict)
                assert error.field == "id"
                for word in (f"uid {ME.uid}", f"pid {ME.pid}", sys.executable.split("/")[-1][:6]):
                    assert word in error.message

            lifetime = ["process", other.pid]
            taken = world.ask("register", service="web", port=80, lifetime=lifetime, replace=True)
            assert taken.owner.pid == other.pid
            assert taken.ref == first.ref
            assert world.story()[1:] == [("updated", "replaced")]

            other.kill()
            await world.event(3)
            assert world.story()[2:] == [("removed", "exit:SIGKILL")]

    in_world(story)


def test_who_may_replace() -> None:
    """Replacing is for the same user and for root."""

    async def story(world: World) -> None:
        owner = Asker(4_000, 4_000, 0)
        world.ask("register", owner, service="x", lifetime=["static"])
        for asker in (STRANGER, ROOT):
            error = refusal(world, "register", asker, service="x", lifetime=["static"])
            assert isinstance(error, Conflict)
        error = refusal(world, "register", STRANGER, service="x", lifetime=["static"], replace=True)
        assert isinstance(error, Refused)

        taken = world.ask("register", ROOT, service="x", lifetime=["static"], replace=True)
        assert taken.owner.uid == 0

    in_world(story)


def test_an_ended_owner_makes_way() -> None:
    """Removed, then added: the agent did not wait for the news of the end."""

    async def story(world: World) -> None:
        with a_process() as other:
            first = world.ask("register", service="web", port=80, lifetime=["process", other.pid])
            end(other)

            second = world.ask("register", service="web", port=80)

            assert second.ref != first.ref
            assert world.story() == [
                ("added", "registered"),
                ("removed", "exit:SIGKILL"),
                ("added", "registered"),
            ]

    in_world(story)


def test_processes_of_others() -> None:
    """`pid` is of the asker's user, or the asker root; a pid that is not alive: there is none."""

    async def story(world: World) -> None:
        error = refusal(world, "register", STRANGER, service="x", lifetime=["process", os.getpid()])
        assert isinstance(error, InvalidRequest)  # pid 0: in another namespace
        assert "ttl" in error.message

        with a_process() as other:
            stranger = STRANGER._replace(pid=other.pid)
            error = refusal(
                world, "register", stranger, service="x", lifetime=["process", os.getpid()]
            )
            assert isinstance(error, Refused)
            assert error.field == "lifetime"

        error = refusal(world, "register", service="x", lifetime=["process", other.pid])
        assert isinstance(error, NoInstance)

    in_world(story)


def test_a_wrapper_tells_how_it_ended() -> None:
    """Its word within the patience is the cause; nobody else may tell."""

    async def story(world: World) -> None:
        with a_process() as child:
            wrapped = {"lifetime": ["process", child.pid], "wrapper": ME.pid}
            world.ask("register", service="web", port=80, **wrapped)
            stranger = Asker(0, 0, 0)
            error = refusal(world, "deregister", stranger, id="web-80", cause="exit:3")
            assert isinstance(error, Refused)
            assert error.field == "cause"

            end(child)
            world.ask("deregister", id="web-80", cause="exit:SIGKILL")
            assert world.story()[1:] == [("removed", "exit:SIGKILL")]

    in_world(story)


def test_where_the_kernel_tells_no_wrapper_is_waited_for() -> None:
    """The cause is told at once, and the wrapper's word comes too late."""

    async def story(world: World) -> None:
        with a_process() as child:
            wrapped = {"lifetime": ["process", child.pid], "wrapper": ME.pid}
            world.ask("register", service="web", **wrapped)
            end(child)
            assert (await world.event(2)).cause.word == "exit:SIGKILL"

    in_world(story)


def test_a_wrapper_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does the kernel: after a moment it is plain `exit`; at once where the wrapper ended."""
    monkeypatch.setattr(endings, "cause", lambda *_: "exit")

    async def story(world: World) -> None:
        with a_process() as child, a_process() as wrapper:
            world.ask("register", service="one", lifetime=["process", child.pid], wrapper=ME.pid)
            asker = ME._replace(pid=wrapper.pid)
            lifetime = ["process", child.pid]
            world.ask("register", asker, service="two", lifetime=lifetime, wrapper=wrapper.pid)
            end(wrapper)
            end(child)
            first, second = await world.event(3), await world.event(4)

            assert [first.cause.word, second.cause.word] == ["exit", "exit"]
            assert first.before is not None
            assert first.before.name == "two"

    in_world(story)


def test_wrapper_is_the_asker() -> None:
    """A wrapper speaks for itself, and has a process to wrap."""

    async def story(world: World) -> None:
        with a_process() as child:
            for arguments in (
                {"lifetime": ["process", child.pid], "wrapper": child.pid},
                {"lifetime": ["process", None], "wrapper": ME.pid},
                {"lifetime": ["static"], "wrapper": ME.pid},
            ):
                error = refusal(world, "register", service="x", **arguments)
                assert isinstance(error, InvalidRequest)
                assert error.field == "wrapper"

    in_world(story)


def test_said_again_after_a_restart() -> None:
    """With ref and times of before nothing differs: the very same bytes."""

    async def story(world: World) -> Any:
        made = world.ask("register", service="web", port=80)
        world.ask("update", id="web-80", tag=["v2"])
        (entry,) = [entry for entry in world.replica.own if entry.shown]
        return made, entry

    made, entry = in_world(story, incarnation=5_000)
    held = Body.unpack(entry.body)

    async def again(world: World) -> None:
        said = world.ask(
            "register",
            service="web",
            port=80,
            tags=["v2"],
            ref=made.ref,
            registered_ms=held.registered_ms,
            updated_ms=held.updated_ms,
        )
        assert said.ref == made.ref
        assert [each for each in world.replica.own if each.shown] == [entry]

    in_world(again, incarnation=6_000)


def test_what_ended_does_not_come_back() -> None:
    """A ref of this very life is an ended entry's: who says it is registered anew."""

    async def story(world: World) -> None:
        made = world.ask("register", service="web", port=80)
        world.ask("deregister", id="web-80")
        again = world.ask("register", service="web", port=80, ref=made.ref, registered_ms=1)

        assert again.ref != made.ref
        assert again.registered_at > made.registered_at

    in_world(story)


def test_times_said_again_are_bounded() -> None:
    """Nobody registered in the future, nor updated before it registered."""

    async def story(world: World) -> None:
        one = world.ask("register", service="x", ref=[1, 1], registered_ms=2**53, updated_ms=2**53)
        two = world.ask("register", service="y", ref=[1, 1], registered_ms=9, updated_ms=3)

        assert one.registered_at.startswith("2126-")
        assert (two.registered_at, two.updated_at) == ("1970-01-01T00:00:00.009Z",) * 2

    in_world(story)
