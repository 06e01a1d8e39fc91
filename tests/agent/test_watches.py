"""Watches: the present, synced, then changes; room, overflow, and who is gone."""

import pytest

from discoagent import api
from discoagent.core.entry import Kind
from discoagent.errors import InvalidRequest
from discoagent.instance import Event
from discoagent.local.events import watches as module
from discoagent.local.requests.queries import Scope
from tests.agent.local_world import World, in_world, turn

SERVICE = {"lifetime": ["static"]}


def replayed(events: list[Event]) -> set[str]:
    """Return the names a watcher holds after these events, each of which must make sense."""
    held: set[str] = set()
    for event in events:
        if event.kind == "reset":
            held = set()
        if event.instance is not None:
            assert (event.instance.name in held) == (event.kind == "updated")
            held.add(event.instance.name)
        elif event.before is not None:
            held.remove(event.before.name)
    return held


def shown(world: World) -> set[str]:
    """Return the names of what the agent shows."""
    return {f"{entry.name}/{entry.id}@a" for entry in world.replica.own if entry.shown}


def begin(world: World, name: bytes = b"w", number: int = 1, *services: str) -> None:
    """Open a watch and let it begin."""
    world.watches.begin(world.watches.open(name, number, Scope(frozenset(services))))


def kinds(world: World, name: bytes = b"w") -> list[str]:
    """Return the kinds of all events sent to that connection."""
    return [event.kind for event in world.told(name)]


def test_the_present_then_changes() -> None:
    """Every event is sent at the end of the turn in which it happened."""

    async def story(world: World) -> None:
        world.ask("register", service="web", id="a", **SERVICE)
        begin(world)
        await turn()
        assert kinds(world) == ["added", "synced"]

        world.ask("update", id="a", tag=["x"])
        world.ask("deregister", id="a")
        await turn()
        added, _, updated, removed = world.told()
        assert (updated.kind, updated.cause) == ("updated", "updated")
        assert updated.before == added.instance
        assert (removed.kind, removed.cause) == ("removed", "deregistered")
        assert removed.before == updated.instance
        assert removed.actor is not None

    in_world(story)


def test_a_change_in_the_turn_of_the_beginning() -> None:
    """It is in the present, and is not told twice."""

    async def story(world: World) -> None:
        begin(world)
        world.ask("register", service="web", id="a", **SERVICE)
        await turn()
        assert kinds(world) == ["added", "synced"]

    in_world(story)


def test_filter() -> None:
    """Only the services that were named; each watch its own."""

    async def story(world: World) -> None:
        begin(world, b"w", 1, "web", "db")
        begin(world, b"v", 1, "web")
        begin(world, b"u", 1)
        await turn()
        for service in ("web", "db", "mq"):
            world.ask("register", service=service, **SERVICE)
        await turn()
        assert kinds(world, b"w") == ["synced", "added", "added"]
        assert kinds(world, b"v") == ["synced", "added"]
        assert kinds(world, b"u") == ["synced", "added", "added", "added"]

    in_world(story)


def test_numbers_and_cancel() -> None:
    """One connection may have many watches; a number twice is refused; cancel ends one."""

    async def story(world: World) -> None:
        begin(world, b"w", 1)
        begin(world, b"w", 2)
        with pytest.raises(InvalidRequest):
            world.watches.open(b"w", 2, Scope())
        await turn()
        world.watches.cancel(b"w", 1)
        world.watches.cancel(b"w", 1)
        world.watches.more(b"w", 1, 5)
        assert world.sent[-1] == (b"w", [1, 0, {}])
        world.ask("register", service="web", **SERVICE)
        await turn()
        assert [answer[0] for _, answer in world.sent] == [1, 2, 1, 2]
        assert len(world.watches) == 1

    in_world(story)


def test_cancelled_before_it_began() -> None:
    """Nothing is told any more."""

    async def story(world: World) -> None:
        watch = world.watches.open(b"w", 1, Scope())
        world.watches.cancel(b"w", 1)
        world.watches.begin(watch)
        await turn()
        assert world.told() == []

    in_world(story)


def test_room() -> None:
    """A watch is sent as many batches as it has room for, and goes on when it gets more."""

    async def story(world: World) -> None:
        begin(world)
        await turn()
        for number in range(20):
            world.ask("register", service="web", id=f"w{number}", **SERVICE)
            await turn()
        assert len(world.sent) == api.WATCH_CREDIT
        world.watches.more(b"w", 1, 1)
        await turn()
        assert len(world.sent) == api.WATCH_CREDIT + 1
        assert replayed(world.told()) == shown(world)

    in_world(story)


def test_batches_are_bounded() -> None:
    """By their number of events."""

    async def story(world: World) -> None:
        for number in range(2 * api.WATCH_BATCH_EVENTS + 1):
            world.ask("register", service="web", id=f"w{number}", **SERVICE)
        begin(world)
        await turn()
        sizes = [len(body) for _, (_, _, body) in world.sent]
        assert sizes == [500, 500, 2]

    in_world(story)


def test_a_sleeper_gets_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than is kept: a reset and the present anew; replayed, it equals what is shown."""
    monkeypatch.setattr(api, "WATCH_PENDING_MAX", 50)

    async def story(world: World) -> None:
        begin(world)
        await turn()
        for number in range(100):
            world.ask("register", service="web", id=f"w{number}", **SERVICE)
            if number % 3 == 0:
                world.ask("deregister", id=f"w{number}")
            await turn()
        (watch,) = world.watches._watches.values()
        assert watch.behind
        assert not watch.pending

        world.watches.more(b"w", 1, 10)
        world.ask("register", service="web", id="w100", **SERVICE)
        await turn()
        world.ask("deregister", id="w100")
        await turn()
        assert kinds(world).count("reset") == 1
        assert kinds(world).count("synced") == 2
        assert replayed(world.told()) == shown(world)

    in_world(story)


def test_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large entries fill the room of a sleeper as well as many do."""
    monkeypatch.setattr(module, "PENDING_BYTES_MAX", 10_000)

    async def story(world: World) -> None:
        begin(world)
        await turn()
        for number in range(40):
            world.ask("register", service="web", id=f"w{number}", meta={"k": "v" * 900}, **SERVICE)
            await turn()
        (watch,) = world.watches._watches.values()
        assert watch.behind
        assert watch.pending_bytes == 0

    in_world(story)


def test_who_asks_for_it_is_told_that_the_agent_has_caught_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the present: at once if it has, else when it does; and after each present anew."""
    monkeypatch.setattr(api, "WATCH_PENDING_MAX", 10)

    async def story(world: World) -> None:
        marked = world.watches.open(b"early", 1, Scope(), marked=True)
        world.watches.begin(marked)
        begin(world, b"deaf")
        await turn()
        assert kinds(world, b"early") == ["synced"]

        world.watches.caught_up()
        world.watches.begin(world.watches.open(b"late", 1, Scope(), marked=True))
        await turn()
        assert kinds(world, b"early") == kinds(world, b"late") == ["synced", "caught-up"]

        marked.credit = 0
        for number in range(11):
            world.ask("register", service="web", id=str(number), **SERVICE)
        world.watches.more(b"early", 1, 1)
        await turn()
        assert kinds(world, b"early")[2:] == ["reset", *["added"] * 11, "synced", "caught-up"]
        assert "caught-up" not in kinds(world, b"deaf")

    in_world(story)


def test_who_is_gone_is_forgotten() -> None:
    """All watches of a connection go with the first word that cannot be sent."""

    async def story(world: World) -> None:
        begin(world, b"w", 1)
        begin(world, b"w", 2, "web")
        begin(world, b"v", 1)
        await turn()
        world.gone.add(b"w")
        world.ask("register", service="web", **SERVICE)
        await turn()
        assert len(world.watches) == 1
        assert not world.watches._by_group.get((Kind.SERVICE, "web"))

    in_world(story)


def test_quiet_watches_are_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty batch, which takes no room, shows whether anybody is there."""
    monkeypatch.setattr(module, "QUIET", 0.0)

    async def story(world: World) -> None:
        begin(world, b"w", 1)
        begin(world, b"v", 1)
        await turn()
        (watch, _) = world.watches._watches.values()
        credit = watch.credit
        world.gone.add(b"v")
        world.watches._look_after()
        assert world.sent[-2:] == [(b"w", [1, 2, []]), (b"v", [1, 2, []])]
        assert watch.credit == credit
        assert len(world.watches) == 1

    in_world(story)


def test_watches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the bound."""
    monkeypatch.setattr(module, "WATCHES_MAX", 2)

    async def story(world: World) -> None:
        begin(world, b"w", 1)
        begin(world, b"w", 2)
        with pytest.raises(InvalidRequest, match="at most 2"):
            world.watches.open(b"w", 3, Scope())

    in_world(story)


def test_topics_are_watched_apart_from_services() -> None:
    """One, or all, or with services; of a watch of services they are no part."""

    async def story(world: World) -> None:
        scopes = {
            b"services": Scope(),
            b"web": Scope(frozenset({"web"})),
            b"topics": Scope(None, frozenset()),
            b"room": Scope(None, frozenset({"room"})),
            b"both": Scope(frozenset({"db"}), frozenset({"web"})),
        }
        world.ask("track", topic="web", key="alice", **SERVICE)
        for name, scope in scopes.items():
            world.watches.begin(world.watches.open(name, 1, scope))
        await turn()
        world.ask("register", service="web", id="i", **SERVICE)
        world.ask("register", service="db", id="i", **SERVICE)
        world.ask("track", topic="room", key="bob", **SERVICE)
        await turn()

        def heard(name: bytes) -> list[str]:
            rows = [row[2] or ["-", "synced"] for row in world.rows(name)]
            return [f"{row[0]}:{row[6]}" if len(row) > 6 else row[0] for row in rows]

        assert heard(b"services") == ["-", "web", "db"]
        assert heard(b"web") == ["-", "web"]
        assert heard(b"topics") == ["web:presence", "-", "room:presence"]
        assert heard(b"room") == ["-", "room:presence"]
        assert heard(b"both") == ["web:presence", "-", "db"]
        for name in scopes:
            world.watches.drop(name)
        assert not world.watches._by_group

    in_world(story)


def test_a_watch_is_of_something() -> None:
    """Neither services nor topics: refused."""

    async def story(world: World) -> None:
        with pytest.raises(InvalidRequest, match="services or topics") as caught:
            world.watches.open(b"w", 1, Scope(None))
        assert caught.value.field == "services"
        assert len(world.watches) == 0

    in_world(story)
