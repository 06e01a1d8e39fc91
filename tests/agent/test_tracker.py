"""Tracking, changing and ending metas: each its own, with the owners and lifetimes of instances."""

from typing import Any

from discoagent import rules
from discoagent.core.entry import Entry
from discoagent.errors import Conflict, InvalidRequest, NoInstance, Refused
from discoagent.local.entries import entries
from discoagent.presence import MetaBody, Tracked, by_key
from tests.agent.local_world import (
    ME,
    ROOT,
    STRANGER,
    World,
    a_process,
    end,
    in_world,
    refusal,
)

FOREVER = {"lifetime": ["static"]}


def metas(world: World, topic: str = "room") -> dict[str, list[Any]]:
    """Return what the agent shows of a topic."""
    return by_key(map(Tracked.from_row, world.queries.metas(topic)))


def body(entry: Entry | None) -> MetaBody:
    """Return what an entry says."""
    assert entry is not None
    assert isinstance(entry.body, bytes)
    return MetaBody.unpack(entry.body)


def test_each_is_a_meta_of_its_own() -> None:
    """A key has as many as were tracked, also by one process, in the order of their refs."""

    async def story(world: World) -> None:
        tv = world.ask("track", topic="room", key="alice", meta={"device": "tv"})
        for _ in range(10):
            world.ask("track", topic="room", key="bob")
        web = world.ask("track", topic="room", key="alice", meta={"device": "web", "n": [1, None]})

        assert tv.shown == {"ref": tv.ref, "device": "tv"}
        assert (tv.topic, tv.key, tv.node, tv.owner.pid) == ("room", "alice", "a", ME.pid)
        assert tv.tracked_at == tv.updated_at
        assert metas(world)["alice"] == [tv.shown, web.shown]
        assert [len(found) for found in metas(world).values()] == [2, 10]
        assert sorted((tv.ref, web.ref)) == [tv.ref, web.ref]
        assert world.story() == [("added", "registered")] * 12
        assert world.queries.topics() == [("room", 2, 12)]

    in_world(story)


def test_an_update_changes_the_ref_and_leaves_the_others() -> None:
    """The meta as a whole; the same again is no change."""

    async def story(world: World) -> None:
        tv = world.ask("track", topic="room", key="alice", meta={"device": "tv"})
        web = world.ask("track", topic="room", key="alice", meta={"device": "web"})
        phone = world.ask("retrack", topic="room", id=tv.ref, meta={"is": "phone"})

        assert (phone.meta, phone.tracked_at) == ({"is": "phone"}, tv.tracked_at)
        assert phone.ref not in (tv.ref, web.ref)
        assert phone.updated_at > tv.updated_at
        assert metas(world) == {"alice": [web.shown, phone.shown]}
        assert world.story()[2:] == [("updated", "updated")]
        assert body(world.events[2].before).meta == {"device": "tv"}

        assert world.ask("retrack", topic="room", id=phone.ref, meta={"is": "phone"}) == phone
        assert len(world.events) == 3

    in_world(story)


def test_named_by_id_and_by_the_present_ref() -> None:
    """The id stays, the ref changes; those of before, of other topics and nodes name nothing."""

    async def story(world: World) -> None:
        row, _ = world.tracker.track(_call("room", "alice"), ME)
        first = Tracked.from_row(row)
        assert first.ref == f"a.{row[1]}"
        again = world.ask("retrack", topic="room", id=row[1], meta={"n": 1})
        last = world.ask("retrack", topic="room", id=again.ref, meta={"n": 2})

        for name in (first.ref, again.ref):
            error = refusal(world, "untrack", topic="room", id=name)
            assert isinstance(error, NoInstance)
        assert isinstance(refusal(world, "untrack", topic="hall", id=row[1]), NoInstance)
        elsewhere = refusal(world, "untrack", topic="room", id=f"b.{row[1]}")
        assert (type(elsewhere), elsewhere.kind) == (Refused, "other-node")
        assert "node b" in elsewhere.message

        assert world.ask("untrack", topic="room", id=last.ref) == last
        assert world.story()[-1] == ("removed", "deregistered")
        assert metas(world) == {}

    in_world(story)


def _call(topic: str, key: str, **more: Any) -> Any:
    from discoagent.local.requests.parsing import parse_call

    return parse_call("track", {"topic": topic, "key": key, **more})


def test_lives_as_long_as_its_process() -> None:
    """It goes with the true cause, and the metas of others stay."""

    async def story(world: World) -> None:
        with a_process() as process:
            mine = world.ask("track", topic="room", key="alice")
            its = world.ask("track", topic="room", key="alice", lifetime=["process", process.pid])
            assert its.owner.pid == process.pid
            end(process)
            removed = await world.event(3)

        assert (removed.kind, removed.cause.word) == ("removed", "exit:SIGKILL")
        assert metas(world) == {"alice": [mine.shown]}

    in_world(story)


def test_a_lease_is_renewed_by_saying_something_of_it() -> None:
    """With a meta or without one; without one it takes a lease."""

    async def story(world: World) -> None:
        lease = ["lease", 60_000]
        held = world.ask("track", topic="room", key="alice", lifetime=lease)
        (key,) = world.lifetimes.leases.keys()
        granted = world.lifetimes.leases.get(key)
        assert granted is not None
        said: list[dict[str, Any]] = [{}, {"meta": {}}, {"meta": {"n": 1}}]
        for meta in said:
            granted.deadline = 0.0
            held = world.ask("retrack", topic="room", id=held.ref, **meta)
            assert granted.deadline > 0.0
        assert world.story() == [("added", "registered"), ("updated", "updated")]

        lasting = world.ask("track", topic="room", key="bob", **FOREVER)
        error = refusal(world, "retrack", topic="room", id=lasting.ref)
        assert (type(error), error.field) == (InvalidRequest, "id")
        assert "only a lease" in error.message

    in_world(story)


def test_a_lease_that_is_not_renewed_ends() -> None:
    """With its cause."""

    async def story(world: World) -> None:
        world.ask("track", topic="room", key="alice", lifetime=["lease", 100])
        removed = await world.event(2)
        assert (removed.kind, removed.cause.word) == ("removed", "lease-expired")
        assert world.queries.topics() == []

    in_world(story)


def test_said_again_after_a_restart() -> None:
    """Under its id, with its ref and times: nothing differs from before."""

    async def before(world: World) -> tuple[Any, Tracked, int]:
        row, adopted = world.tracker.track(_call("room", "alice", meta={"n": 1}), ME)
        assert not adopted
        first = Tracked.from_row(row)
        last = world.ask("retrack", topic="room", id=first.ref, meta={"n": 2})
        (there,) = world.queries.metas("room")
        return row, last, MetaBody.unpack(there[5]).updated_ms

    row, last, updated = in_world(before, incarnation=5_000)
    held = MetaBody.unpack(row[5])

    async def after(world: World) -> None:
        again = _call(
            "room",
            "alice",
            meta=last.meta,
            id=row[1],
            ref=last.ref,
            registered_ms=held.tracked_ms,
            updated_ms=updated,
        )
        said, adopted = world.tracker.track(again, ME)
        assert adopted
        assert (said[1], Tracked.from_row(said)) == (row[1], last)
        assert world.tracker.track(again, ME) == (said, True)
        assert world.story() == [("added", "registered")]

        # Ended, and said again: it does not come back, this is another.
        world.ask("untrack", topic="room", id=row[1])
        other, adopted = world.tracker.track(again._replace(ref=(6_000, 2)), ME)
        assert not adopted
        assert other[1] == row[1]
        assert Tracked.from_row(other).ref == f"a.6000.{4:012d}"

    in_world(after, incarnation=6_000)


def test_said_again_otherwise_is_an_update() -> None:
    """With another meta or lifetime it gets another ref; the key is what it was."""

    async def story(world: World) -> None:
        row, _ = world.tracker.track(_call("room", "alice"), ME)
        first = Tracked.from_row(row)
        second = world.ask("track", topic="room", key="alice", id=row[1], meta={"n": 1})
        assert second.ref > first.ref
        assert world.story()[1:] == [("updated", "updated")]
        error = refusal(world, "track", topic="room", key="bob", id=row[1])
        assert (type(error), error.field) == (InvalidRequest, "key")
        assert "'alice'" in error.message

    in_world(story)


def test_an_id_belongs_to_its_owner() -> None:
    """Another who lives has it: a conflict that names the owner; one that ended has left it."""

    async def story(world: World) -> None:
        with a_process() as process:
            its = {"lifetime": ["process", process.pid]}
            row, _ = world.tracker.track(_call("room", "alice", **its), ME)
            error = refusal(world, "track", topic="room", key="alice", id=row[1])
            assert isinstance(error, Conflict)
            assert f"pid {process.pid}" in error.message
            assert "a living process owner" in error.message

            end(process)
            world.ask("track", topic="room", key="alice", id=row[1])
        assert world.story() == [
            ("added", "registered"),
            ("removed", "exit:SIGKILL"),
            ("added", "registered"),
        ]

    in_world(story)


def test_ids_that_are_not_given_yet_are_not_taken() -> None:
    """Nobody can have the id that somebody's next meta will get."""

    async def story(world: World) -> None:
        for clock in (2, 99):
            error = refusal(world, "track", topic="room", key="x", id=f"5000.{clock}")
            assert (type(error), error.field) == (InvalidRequest, "id")
        row, _ = world.tracker.track(_call("room", "alice"), ME)
        assert row[1] == f"5000.{2:012d}"

    in_world(story)


def test_who_may() -> None:
    """The owner's user, root and the agent's own change and end a meta, and nobody else."""

    async def story(world: World) -> None:
        held = world.ask("track", topic="room", key="alice", **FOREVER)
        for operation in ("retrack", "untrack"):
            more: dict[str, Any] = {"meta": {}} if operation == "retrack" else {}
            error = refusal(world, operation, STRANGER, topic="room", id=held.ref, **more)
            assert (type(error), error.kind) == (Refused, "permission")
            assert held.ref in error.message
        world.ask("untrack", ROOT, topic="room", id=held.ref)

        its = world.ask("track", STRANGER, topic="room", key="bob", **FOREVER)
        assert its.owner.uid == STRANGER.uid
        assert world.ask("untrack", STRANGER, topic="room", id=its.ref) == its

    in_world(story)


def test_the_wrapper_tells_how_it_ended() -> None:
    """And nobody else does."""

    async def story(world: World) -> None:
        with a_process() as process:
            wrapped = {"lifetime": ["process", process.pid], "wrapper": ME.pid}
            its = world.ask("track", topic="room", key="alice", **wrapped)
            error = refusal(world, "untrack", ROOT, topic="room", id=its.ref, cause="exit:3")
            assert (type(error), error.field) == (Refused, "cause")
            world.ask("untrack", topic="room", id=its.ref, cause="exit:3")
        assert world.story()[-1] == ("removed", "exit:3")

    in_world(story)


def test_services_and_topics_do_not_meet() -> None:
    """Of one name, they are two things; neither is in the other's lists."""

    async def story(world: World) -> None:
        world.ask("register", service="room", id="alice")
        held = world.ask("track", topic="room", key="alice")
        assert len(world.queries.services()) == 1
        assert world.queries.topics() == [("room", 1, 1)]
        number = held.ref.removeprefix("a.")
        for name in (number, f"room/{number}", held.ref):
            assert isinstance(refusal(world, "deregister", id=name), NoInstance)

    in_world(story)


def test_a_node_holds_so_many(monkeypatch: Any) -> None:
    """One more is refused, by name."""
    monkeypatch.setattr(entries, "ENTRIES_PER_NODE_MAX", 3)

    async def story(world: World) -> None:
        for key in ("a", "b", "c"):
            world.ask("track", topic="room", key=key)
        error = refusal(world, "track", topic="room", key="d")
        assert (type(error), error.field) == (InvalidRequest, "topic")
        assert "the bound is 3" in error.message

    in_world(story)


def test_the_largest_meta_fits_into_an_entry() -> None:
    """Small floats take the most: nine bytes packed for the four of their JSON."""

    async def story(world: World) -> None:
        meta = {"n": [0.5] * 1_022}
        said = world.ask("track", topic="t" * 128, key="k" * 128, meta=meta, **FOREVER)
        assert said.meta == meta
        (entry,) = [it for it in world.replica.own if it.shown]
        assert isinstance(entry.body, bytes)
        rules.entry_size(entry.name, entry.id, entry.body)

    in_world(story)
