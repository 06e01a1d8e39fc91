"""Checks that are asked before an instance is made: the state that others know it by was lost."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from discoagent.checks import Check
from discoagent.core.entry import Kind
from discoagent.errors import DiscoError
from discoagent.local.requests.operations import Register
from discoagent.local.requests.parsing import parse_call
from tests.agent.local_world import ME, World, a_process, end, in_world
from tests.checks.test_checking import details, number, states, tcp, until

FORMER = {"ref": [4_000, 1], "registered_ms": 1, "updated_ms": 1}
STATIC = {"lifetime": ["static"]}
KEY = (Kind.SERVICE, "web", "x")


class Again:
    """A registration that is said again, as the door does it."""

    def __init__(self, world: World, **arguments: Any) -> None:
        call = parse_call("register", {"service": "web", "id": "x", **FORMER, **arguments})
        assert isinstance(call, Register)
        self.error: DiscoError | None = None
        self._world = world
        self._call = call
        self.waited = world.registrar.waits(call, ME, self._make)
        if not self.waited:
            self._make()

    def _make(self) -> None:
        try:
            self._world.registrar.register(self._call, ME)
        except DiscoError as error:
            self.error = error


def unsettled(story: Callable[[World], Any], **options: Any) -> None:
    """Run a story in a life that may have to go on with what was shown before."""
    in_world(story, settled=False, **options)


def test_it_is_made_as_it_is() -> None:
    """Once, and passing; then it is checked on as ever."""

    async def story(world: World) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            assert Again(world, checks=[tcp(number(listener))], **STATIC).waited
            assert world.events == []
            await world.event(1)
        await world.event(2)

        assert world.story() == [("added", "registered"), ("updated", "check")]
        assert states(world) == ["passing", "critical"]

    unsettled(story)


def test_one_that_fails_is_pending() -> None:
    """As a new one is; said twice meanwhile it is made once."""

    async def story(world: World) -> None:
        both = [Again(world, checks=[tcp(1)], **STATIC) for _ in range(2)]
        await world.event(1)

        assert [it.error for it in both] == [None, None]
        assert states(world) == ["pending"]
        assert details(world, "x")[0]["failures"] == 1

    unsettled(story)


def test_until_the_life_is_settled() -> None:
    """Then nobody shows what was before any more."""

    async def story(world: World) -> None:
        hangs = Check.exec(["sleep", "600"], timeout=60).packed()
        assert Again(world, checks=[hangs], **STATIC).waited
        world.registrar.settle()

        assert states(world) == ["pending"]
        world.registrar.settle()
        assert len(world.events) == 1

    unsettled(story)


def test_its_process_ends_meanwhile() -> None:
    """Nothing is made, and nothing is checked on."""

    async def story(world: World) -> None:
        hangs = Check.exec(["sleep", "600"], timeout=60).packed()
        with a_process() as process:
            again = Again(world, checks=[hangs], lifetime=["process", process.pid])
            end(process)
            world.registrar.settle()

        assert again.error is not None
        assert again.error.kind == "none"
        assert world.events == []
        assert world.own.checking.states(KEY) == []

    unsettled(story)


def test_another_owner_is_quicker() -> None:
    """At another port it begins as pending, whatever was found of the other, who is told that it is
    taken."""

    async def story(world: World) -> None:
        hangs = Check.exec(["sleep", "600"], timeout=60).packed()
        with socket.create_server(("127.0.0.1", 0)) as listener, a_process() as process:
            here = {"address": "127.0.0.1", "port": number(listener)}
            lifetime = ["process", process.pid]
            again = Again(world, checks=[tcp(), hangs], lifetime=lifetime, **here)
            await until(lambda: found_first(world) == "passing")
            there = {**here, "port": 1}
            world.ask("register", service="web", id="x", checks=[tcp()], **there, **STATIC)
            world.registrar.settle()

        assert states(world) == ["pending"]
        assert again.error is not None
        assert again.error.code == 6

    unsettled(story)


def found_first(world: World) -> str:
    """Return the state of the first check of what is not there yet."""
    return world.own.checking.states(KEY)[0][0]


def test_one_that_is_too_large(tmp_path: Path) -> None:
    """Is refused before anything is asked, as ever."""

    async def story(world: World) -> None:
        meta = ", ".join(f"k{n} = '{'x' * 1_000}'" for n in range(20))
        text = (
            f"[[service]]\nname = 'web'\nmeta = {{ {meta} }}\ncheck = {{ tcp = '127.0.0.1:1' }}\n"
        )
        (tmp_path / "a.toml").write_text(text)
        (problem,) = world.own.services.apply().problems
        assert "16384" in problem.message
        world.registrar.settle()
        assert world.events == []
        assert world.own.checking.states((Kind.SERVICE, "web", "web")) == []

    unsettled(story, services_dir=str(tmp_path))


def test_what_does_not_wait() -> None:
    """What is new, has no checks, or one by which its owner alone says how it is."""

    async def story(world: World) -> None:
        assert not Again(world, id="a", **STATIC).waited
        assert not Again(world, id="b", checks=[Check.ttl("1h").packed()], **STATIC).waited
        assert not Again(world, id="c", checks=[tcp(1)], ref=None, **STATIC).waited
        assert not Again(world, id="c", checks=[tcp(1)], **STATIC).waited  # it is there
        assert [kind for kind, _ in world.story()] == ["added"] * 3

    unsettled(story)
    in_world(settled)


async def settled(world: World) -> None:
    """In a life that knows all that was before, nothing waits."""
    assert not Again(world, checks=[tcp(1)], **STATIC).waited


def test_service_files(tmp_path: Path) -> None:
    """Likewise, at the start; a reload does not wait for it."""

    async def story(world: World) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            text = "[[service]]\nname = 'web'\nid = '{}'\ncheck = {{ tcp = '127.0.0.1:{}' }}\n"
            (tmp_path / "a.toml").write_text(text.format("a", number(listener)))
            world.own.services.apply()
            assert world.events == []
            await until(lambda: world.events)
            assert states(world) == ["passing"]
            (tmp_path / "b.toml").write_text(text.format("b", number(listener)))
            world.own.services.apply()
            (tmp_path / "b.toml").unlink()
            world.own.services.apply()

        assert world.story() == [
            ("added", "reload"),
            ("added", "reload"),
            ("removed", "reload"),
        ]

    unsettled(story, services_dir=str(tmp_path))
