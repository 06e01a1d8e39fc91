"""The record: what an agent showed at any moment, and all that led there, over its restarts."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from discoagent.core.effects import EventKind
from discoagent.core.entry import Entry
from discoagent.local.events import past as past_module
from discoagent.local.events.record import Missing, Name, Now, Record, State, Then, Wanted
from discoagent.rules import Target
from discoagent.store.events import LoggedEvent
from tests.agent.harness import wait_until
from tests.agent.token_world import NODES, World, end, three
from tests.core.vocabulary import entry

ALL = Wanted()
DAY = 86_400.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Three agents with a place to keep their logs."""
    world = three(tmp_path)
    yield world
    world.close()


def record(world: World, node: str, since_ms: int = 0) -> Record:
    """Return the record of a running agent; what is on disk is read from there."""
    history, past = world.histories[node], world.pasts[node]
    shown = world.running[node].everything()
    return Record(world.stores[node], Now(past.lives(), shown, history.tail, since_ms))


def shown(world: World, node: str) -> State:
    """Return what an agent shows now."""
    return {(of, it.key): it for of, it in world.running[node].everything()}


def state(then: Then) -> State:
    """Return what was shown, by name."""
    return {(node, it.key): it for node, it in then.shown}


def story(events: list[LoggedEvent]) -> list[tuple[str, str, str]]:
    """Return kind, id and cause of each."""
    told = []
    for each in events:
        about = each.event.entry or each.event.before
        assert about is not None
        told.append((each.event.kind.value, about.id, each.event.cause.word))
    return told


def replayed(events: list[LoggedEvent]) -> State:
    """Return what is shown after these; each must follow from those before it."""
    held: dict[Name, Entry] = {}
    for each in events:
        event = each.event
        about = event.entry or event.before
        assert about is not None
        name = (event.node, about.key)
        assert held.get(name) == event.before, f"{event.kind} {name} does not follow"
        assert event.entry != event.before, "a change that changes nothing"
        assert (event.kind is EventKind.REMOVED) == (event.entry is None)
        if event.entry is None:
            del held[name]
        else:
            held[name] = event.entry
    return held


def moments(world: World, node: str, *steps: Callable[[], object]) -> list[tuple[int, State]]:
    """Do each step, a second apart; return what an agent showed after each, and when."""
    found = []
    for step in steps:
        world.now += 1
        step()
        found.append((world.wall_ms(), shown(world, node)))
    world.now += 1
    return found


def test_any_moment_of_this_life(world: World) -> None:
    """Also between two events, and of others' entries as of this node's own."""
    known = moments(
        world,
        "a",
        lambda: world.put("b", entry("1")),
        lambda: world.put("a", entry("2"), entry("3")),
        lambda: world.put("b", entry("1", b"v2")),
        lambda: end(world, "a", "2"),
        lambda: end(world, "b", "1"),
    )

    for ms, expected in known:
        for later in (0, 500):
            assert state(record(world, "a").at(ms + later, ALL)) == expected
            assert record(world, "a").at(ms + later, ALL).missing is None


@pytest.mark.parametrize("killed", [False, True])
def test_any_moment_of_a_former_life(world: World, killed: bool) -> None:
    """Before its checkpoint and after it; and those of the present one."""
    before = moments(world, "a", lambda: world.put("b", entry("1")), lambda: end(world, "b", "1"))
    world.checkpoint("a")
    after = moments(world, "a", lambda: world.put("c", entry("2")), lambda: end(world, "c", "of-c"))
    world.pasts["a"]._write()
    world.restart("a", killed=killed)
    now = moments(world, "a", lambda: world.put("c", entry("3")))

    for ms, expected in [*before, *after, *now]:
        found = record(world, "a").at(ms, ALL)
        assert (state(found), found.missing) == (expected, None)


def test_while_the_agent_was_away(world: World) -> None:
    """It is told what was shown before, and from when until when nobody saw anything."""
    world.checkpoint("a")
    ((_, before),) = moments(world, "a", lambda: world.put("b", entry("1")))
    world.end("a")
    ended = world.wall_ms()
    world.wait(3)
    away = world.wall_ms()
    end(world, "b", "1")
    world.wait(3)
    world.begin("a", "b")
    back = world.wall_ms()

    found = record(world, "a").at(away, ALL)

    assert state(found) == before
    assert found.missing == Missing(ended, back)
    assert record(world, "a").at(back, ALL).missing is None


def test_before_the_record(world: World) -> None:
    """It is told what was shown when it began, and that this was later."""
    world.now += 60
    world.begin("d", "a")
    began, first = world.wall_ms(), shown(world, "d")
    moments(world, "d", lambda: end(world, "b", "of-b"))

    found = record(world, "d").at(began - 10_000, ALL)

    assert state(found) == first
    assert found.missing == Missing(None, began)


def test_what_is_older_than_the_bound(world: World) -> None:
    """It is not told, though it is still there."""
    known = moments(world, "a", lambda: world.put("b", entry("1")), lambda: end(world, "b", "1"))
    (first, _), (second, then) = known

    found = record(world, "a", since_ms=second).at(first, ALL)
    told = record(world, "a", since_ms=second).told(ALL, None, find=False)

    assert (state(found), found.missing) == (then, Missing(None, second))
    assert story(told.events) == [("removed", "1", "deregistered")]
    assert told.begins_ms == second


def test_a_clock_that_was_set_back(world: World) -> None:
    """Of two moments with one name the later one is meant; nothing is lost or doubled."""
    moments(world, "a", lambda: world.put("b", entry("1")), lambda: world.put("b", entry("2")))
    world.set_back_ms = 2_500
    known = moments(world, "a", lambda: end(world, "b", "1"), lambda: world.put("c", entry("3")))

    for ms, expected in known:
        assert state(record(world, "a").at(ms, ALL)) == expected
    told = record(world, "a").told(ALL, None, find=True)
    assert replayed(told.events) == shown(world, "a")
    world.checkpoint("a")
    world.restart("a")
    for ms, expected in known[:1]:
        assert state(record(world, "a").at(ms, ALL)) == expected


def test_of_what_is_asked_for(world: World) -> None:
    ((ms, _),) = moments(
        world, "a", lambda: world.put("b", entry("1"), entry("of-a"), entry("x", name="db"))
    )
    world.checkpoint("a")
    world.restart("a")
    read = record(world, "a")

    def ids(**wanted: object) -> list[str]:
        return sorted(it.id for _, it in read.at(ms, Wanted(**wanted)).shown)  # type: ignore[arg-type]

    assert ids(node="c") == ["of-c"]
    assert ids(services=frozenset({"db"})) == ["x"]
    assert ids(services=frozenset({"db", "nope"}), node="c") == []
    told = read.told(Wanted.of(Target(None, "of-a", None)), None, find=True)
    assert {it.event.node for it in told.events} == {"a", "b"}


def test_what_ended_while_the_agent_was_away(world: World) -> None:
    """This node's own with its cause; of others nobody saw why. What stayed is not told again."""
    world.put("b", entry("1"), entry("2"))
    world.checkpoint("a")
    world.end("a")
    end(world, "b", "1")
    world.put("b", entry("2", b"v2"), entry("3"))
    world.begin("a", "b", lost=1)

    told = record(world, "a").told(ALL, None, find=True)

    assert replayed(told.events) == shown(world, "a")
    after = story([it for it in told.events if it.seen_ms >= world.pasts["a"].lives()[-1].begun_ms])
    assert sorted(after[-4:]) == [
        ("added", "3", "unknown"),
        ("removed", "1", "unknown"),
        ("removed", "of-a", "exit"),
        ("updated", "2", "unknown"),
    ]


def test_who_is_late_after_a_restart_is_no_change(world: World) -> None:
    """Ready is not all: what is known again is the same, and only what stays away is gone."""
    world.checkpoint("a")
    world.end("a")
    world.caught_up = False
    world.begin("a")  # it knows nobody yet
    assert story(record(world, "a").told(ALL, None, find=True).events)[-1][0] == "added"
    world.now += 1
    world.run("a", world.running["a"].seeds(["b:1"], world.now))
    end(world, "c", "of-c")
    told = record(world, "a").told(ALL, None, find=True)

    assert replayed(told.events) == shown(world, "a")
    assert story(told.events)[-1] == ("removed", "of-c", "deregistered")
    assert [kind for kind, of, _ in story(told.events) if of == "of-b"] == ["added"]


def test_who_does_not_come_back_is_gone(world: World) -> None:
    """Once the agent has caught up."""
    world.checkpoint("a")
    world.end("a")
    world.kill("c")
    world.kill("b")
    world.caught_up = False
    world.begin("a")
    before = record(world, "a").told(ALL, None, find=True).events
    assert "removed" not in {it[0] for it in story(before)}
    world.now += 5
    world.pasts["a"].catch_up()

    told = record(world, "a").told(ALL, None, find=True)

    assert replayed(told.events) == shown(world, "a")
    gone = [it for it in told.events if it.event.kind is EventKind.REMOVED]
    assert {(it.event.node, it.event.cause.word, it.seen_ms) for it in gone} == {
        ("b", "unknown", world.wall_ms()),
        ("c", "unknown", world.wall_ms()),
    }


def test_events_that_the_disk_missed(world: World) -> None:
    """What was shown is known on this side of the hole alone, and it says so."""
    moments(world, "a", lambda: world.put("b", entry("1")))
    world.pasts["a"]._write()
    world.stores["a"].flush(5.0)
    ((lost, _),) = moments(world, "a", lambda: world.put("b", entry("2")))
    world.histories["a"].unwritten.clear()
    known = moments(world, "a", lambda: world.put("b", entry("3")), lambda: end(world, "b", "1"))
    world.pasts["a"]._write()
    world.checkpoint("a")
    world.restart("a")

    for ms, expected in known:
        assert state(record(world, "a").at(ms, ALL)) == expected
    missing = record(world, "a").at(lost, ALL).missing
    assert missing is not None
    assert missing.since_ms is None


def test_checkpoints_come_with_the_events(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So some of the events that are kept always lead from one; after the end there is none."""
    monkeypatch.setattr(past_module, "CHECKPOINT_EVENTS", 3)
    monkeypatch.setattr(past_module, "CHECKPOINT_SHARE", 0)
    world.checkpoint("a")
    (first,) = world.stores["a"].shelves()[1].checkpoints
    world.put("b", entry("1"), entry("2"))
    world.pasts["a"]._write()
    assert world.pasts["a"]._checkpointing is None, "too few events"
    world.put("b", entry("3"))
    world.pasts["a"]._write()

    def checkpoints() -> list[int]:
        world.turn()
        world.stores["a"].flush(5.0)
        return world.stores["a"].shelves()[1].checkpoints

    assert wait_until(lambda: (found := checkpoints())[1:] and found) == [first, first + 3]
    world.put("b", *(entry(each, b"v2") for each in "123"))
    world.pasts["a"].close()
    assert world.pasts["a"]._checkpointing is None


def random_story(seed: int, steps: int, directory: Path) -> None:
    """Random changes and restarts: each moment is told as it was, or as not sure."""
    luck = random.Random(seed)
    world = three(directory)
    node = "a"
    known: list[tuple[int, State]] = []
    world.checkpoint(node)
    try:
        for _ in range(steps):
            world.now += luck.choice((0.01, 0.5))
            match luck.randrange(10):
                case 0:
                    world.restart(node, killed=luck.random() < 0.5)
                case 1:
                    world.restart(luck.choice("bc"), lost=luck.randrange(2))
                case 2 | 3:
                    end(world, luck.choice(NODES), luck.choice("123"))
                case 4:
                    world.checkpoint(node)
                case 5:
                    world.pasts[node]._write()
                case _:
                    world.put(luck.choice(NODES), entry(luck.choice("123"), luck.randbytes(2)))
            known.append((world.wall_ms(), shown(world, node)))
        read = record(world, node)
        unsure = 0
        for ms, expected in known:
            found = read.at(ms, ALL)
            assert state(found) == expected or found.missing is not None
            unsure += found.missing is not None
        assert unsure < len(known)
        told = read.told(ALL, None, find=True)
        assert replayed(told.events) == shown(world, node)
        since = luck.choice(known)[0]
        latest = read.told(ALL, since, find=True).events
        assert latest == [it for it in told.events if it.seen_ms >= since]
    finally:
        world.close()


@pytest.mark.parametrize("seed", range(12))
def test_a_random_story(tmp_path: Path, seed: int) -> None:
    random_story(seed, 80, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 400))
def test_many_random_stories(tmp_path: Path, seed: int) -> None:
    random_story(seed, 300, tmp_path)
