"""Tokens in a cluster of many nodes: not every event carries one; `seen` tells the rest."""

from typing import Any

import pytest

from discoagent import token as token_module
from discoagent.local.events import watches as watches_module
from discoagent.local.events.resuming import Wish
from discoagent.local.requests.queries import Scope
from discoagent.token import read
from tests.agent.local_world import World, in_world, turn

SERVICE = {"lifetime": ["static"]}


@pytest.fixture(autouse=True)
def crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one node be many."""
    monkeypatch.setattr(token_module, "NODES_TOLD", 0)


def rows(world: World, name: bytes = b"w") -> list[Any]:
    """Return the rows that were sent to a connection's watches."""
    sent = [(status, body) for to, (_, status, body) in world.sent if to == name]
    return [row for status, body in sent if status == 2 for row in body]


async def watching(world: World, *services: str) -> None:
    """Begin to watch, and be told the present."""
    world.watches.begin(world.watches.open(b"w", 1, Scope(frozenset(services))))
    await turn()


async def registered(world: World, *names: str) -> None:
    """Register services, each in a turn of its own."""
    for name in names:
        world.ask("register", service=name, **SERVICE)
        await turn()


def test_a_token_with_synced_and_numbers_with_events() -> None:
    """The number is the agent's own count of events, whatever is watched."""

    async def story(world: World) -> None:
        await registered(world, "db", "web")
        await watching(world, "web")
        await registered(world, "mq")
        world.ask("update", id="web", tag=["x"])
        await turn()

        added, synced, updated = rows(world)
        assert read(added[6]).vector is None
        found = read(synced[6])
        assert found.giver is not None
        assert found.giver.number == 2
        assert updated[6] == 4

    in_world(story)


def test_now_and_then_an_event_carries_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches_module, "TOKEN_EVERY", 0.0)

    async def story(world: World) -> None:
        await watching(world)
        await registered(world, "db")
        found = read(rows(world)[-1][6])
        assert found.giver is not None
        assert found.giver.number == 1
        assert found.vector == {"a": (5_000, 2)}

    in_world(story)


def test_who_goes_on_has_seen_more_than_its_token_says() -> None:
    """What comes after the number that it has seen is told, and no more."""

    async def story(world: World) -> None:
        await watching(world)
        await registered(world, "one", "two", "three")
        synced, _, two, _ = rows(world)
        wish = Wish(read(synced[6]), Scope(), seen=two[6])
        world.watches.go_on(world.watches.open(b"v", 1, Scope()), wish)
        await turn()
        await turn()

        told = [(row[0], row[2] and row[2][0]) for row in rows(world, b"v")]
        assert told == [("added", "three"), ("synced", None)]

    in_world(story)
