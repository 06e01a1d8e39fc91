"""From a token on over restarts of the agent that gave it, whatever the others did meanwhile."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from discoagent.local.events import history as history_module
from discoagent.local.events import resuming as resuming_module
from discoagent.token import read
from tests.agent.token_world import NODES, Watcher, World, away, end, three
from tests.core.vocabulary import entry


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no clocks: all that was said has arrived."""
    monkeypatch.setattr(resuming_module, "REACH_SECONDS", 0.0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Three agents with a place to keep their logs."""
    world = three(tmp_path)
    yield world
    world.close()


def test_over_restarts_nothing_is_reset(world: World) -> None:
    """What happened before, between and after is told once, in order."""
    watcher = away(world, "a")
    world.put("b", entry("1"))
    world.restart("a")
    world.put("a", entry("2"))
    world.restart("a")
    world.put("c", entry("3"))

    world.go_on(watcher, "a")

    assert watcher.resets == []
    assert watcher.told == [("added", "1"), ("added", "2"), ("added", "3")]


def test_each_token_on_the_way_over_restarts(world: World) -> None:
    """Whoever stops anywhere in what was missed goes on from there."""
    watcher = away(world, "a")
    world.put("b", entry("1"), entry("2"))
    world.restart("a")
    world.put("a", entry("3"), entry("4"))
    told = []
    for _ in range(5):
        watcher.enough = 1
        world.go_on(watcher, "a")
        told += watcher.told

    assert told == [("added", each) for each in "1234"]


def test_what_ended_while_the_agent_was_away(world: World) -> None:
    """It is told with its cause, as the first event of the new life."""
    watcher = away(world, "a")
    world.restart("a", lost=1)

    world.go_on(watcher, "a")

    assert (watcher.told, watcher.resets) == ([("removed", "of-a")], [])


def test_who_changed_while_the_agent_was_away_is_reset(world: World) -> None:
    """Nobody saw how; the others go on."""
    watcher = away(world, "a")
    world.put("b", entry("1"))
    world.put("c", entry("2"))
    world.end("a")
    world.put("b", entry("3"))
    world.begin("a", "b", "c")
    world.put("c", entry("4"))
    world.put("b", entry("5"))

    world.go_on(watcher, "a")

    assert watcher.resets == ["b"]
    assert watcher.told[:3] == [("added", "1"), ("added", "2"), ("added", "4")]
    assert sorted(watcher.told[3:]) == [("added", each) for each in ("1", "3", "5", "of-b")]


@pytest.mark.parametrize("killed", [False, True])
def test_what_changed_since_the_start_is_told_step_by_step(world: World, killed: bool) -> None:
    """To whoever turns a reset into differences, which would else hide those changes."""
    watcher = away(world, "a")
    watcher.steps = True
    world.pasts["a"]._write()
    world.put("c", entry("1"))
    world.end("a", killed=killed)
    world.put("b", entry("2"))
    world.begin("a", "b", "c")
    world.put("b", entry("2", b"v2"), entry("3"))
    end(world, "b", "of-b")
    world.put("c", entry("1", b"v2"))

    world.go_on(watcher, "a")

    of_b = [
        ("added", "of-b"),
        ("added", "2"),
        ("updated", "2"),
        ("added", "3"),
        ("removed", "of-b"),
    ]
    told = [each for each in watcher.told if each[1] not in ("1", "of-c")]
    assert sorted(told[:2]) == sorted(of_b[:2])
    assert told[2:] == of_b[2:]
    assert [each for each in watcher.told if each[1] == "1"] == [("added", "1"), ("updated", "1")]
    assert watcher.resets == (["b", "c"] if killed else ["b"])


def test_whoever_stops_before_that_reset_has_it_before_him(world: World) -> None:
    """The token before it must not say that all was seen."""
    watcher = away(world, "a")
    world.end("a")
    world.put("b", entry("3"))
    world.begin("a", "b", "c")
    world.put("c", entry("4"))
    watcher.enough = 1
    world.go_on(watcher, "a")
    assert watcher.told == [("added", "4")]
    watcher.enough = None

    world.go_on(watcher, "a")

    assert watcher.resets == ["b"]
    assert sorted(watcher.told) == [("added", "3"), ("added", "of-b")]


def test_who_came_and_who_went_while_the_agent_was_away(world: World) -> None:
    watcher = away(world, "a")
    world.end("a")
    world.kill("c")
    world.begin("d", "b")
    world.put("d", entry("of-d"))
    world.wait(6)
    world.begin("a", "b")

    world.go_on(watcher, "a")

    assert watcher.resets == ["c"]
    assert watcher.told == [("added", "of-d")]


def test_a_kill_takes_the_last_words_of_the_log(world: World) -> None:
    """Whom they were of is reset, whoever did not change is not."""
    watcher = away(world, "a")
    world.put("b", entry("1"))
    world.pasts["a"]._write()
    seen = away(world, "a")
    world.put("b", entry("2"))
    unwritten = away(world, "a")
    world.restart("a", killed=True)

    world.go_on(watcher, "a")
    assert watcher.resets == ["b"]
    world.go_on(seen, "a")
    assert seen.resets == ["b"]
    world.go_on(unwritten, "a")
    assert (unwritten.told, unwritten.resets) == ([], [])


def test_a_kill_that_takes_an_own_change(world: World) -> None:
    """Its entry was kept, and its event was not: this node is reset, too."""
    world.pasts["a"]._write()
    watcher = away(world, "a")
    world.put("a", entry("1"))
    world.restart("a", killed=True)

    world.go_on(watcher, "a")

    assert watcher.resets == ["a"]


def test_without_a_good_store_the_node_itself_is_reset(world: World) -> None:
    watcher = away(world, "a")
    world.end("a")
    world.begin("a", "b", good=False)

    world.go_on(watcher, "a")

    assert watcher.resets == ["a"]


def test_a_token_of_another_agent_and_a_restart_of_this_one(world: World) -> None:
    """This agent knows how it went on itself, even where the other does not."""
    watcher = away(world, "b")
    world.restart("a", lost=1)
    world.put("a", entry("1"))
    elsewhere = Watcher(view=dict(watcher.view), token=watcher.token)

    world.go_on(watcher, "a")
    world.go_on(elsewhere, "c")

    assert watcher.told == [("removed", "of-a"), ("added", "1")]
    assert (watcher.resets, elsewhere.resets) == ([], ["a"])


def test_what_is_on_disk_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory keeps the last events; more of them are read."""
    monkeypatch.setattr(history_module, "EVENTS_KEPT", 5)
    watcher = away(world, "a")
    for number in range(250):
        world.put("b", entry("1", b"%d" % number))
    world.pasts["a"]._write()
    world.put("b", entry("2"))
    missed = [("added", "1"), *[("updated", "1")] * 249, ("added", "2")]

    world.go_on(watcher, "a")

    assert (watcher.told, watcher.resets) == (missed, [])
    assert read(watcher.token).giver == (*world.running["a"].id, world.histories["a"].number)


def random_story(seed: int, steps: int, directory: Path) -> None:
    """Random changes and restarts, watchers that go from agent to agent by their tokens."""
    luck = random.Random(seed)
    world = three(directory)
    watchers = [world.watch(luck.choice(NODES)) for _ in range(3)]
    watchers[0].steps = True
    seen_at = dict.fromkeys(range(3), world.now)
    killed_at = dict.fromkeys(NODES, 0.0)
    try:
        for _ in range(steps):
            step(world, luck, watchers, seen_at, killed_at)
            world.check()
            for place, watcher in enumerate(watchers):
                if watcher.at is not None:
                    seen_at[place] = world.now
            world.now += 0.01
    finally:
        world.close()


def step(  # noqa: C901 - one flat case a kind of step
    world: World,
    luck: random.Random,
    watchers: list[Watcher],
    seen_at: dict[int, float],
    killed_at: dict[str, float],
) -> None:
    """Let something happen."""
    node = luck.choice(NODES)
    match luck.randrange(14):
        case 0:
            killed = luck.random() < 0.5
            if killed:
                killed_at[node] = world.now
            world.restart(node, lost=luck.randrange(3), killed=killed)
        case 1 | 2:
            end(world, node, luck.choice("123"))
        case 3:
            world.wait(luck.choice((0.25, 0.5, 3)))
        case 4:
            luck.choice(watchers).at = None
        case 5 | 6:
            world.put(node, *(entry(luck.choice("123"), luck.randbytes(2)) for _ in range(4)))
        case 7 | 8 | 9:
            place = luck.randrange(3)
            resume(world, watchers[place], node, seen_at[place], killed_at[node])
        case 10:
            world.pasts[node]._write()
        case _:
            world.put(node, entry(luck.choice("123"), luck.randbytes(2)))


def resume(world: World, watcher: Watcher, node: str, seen_at: float, killed_at: float) -> None:
    """Go on; a reset needs a reason. At the agent that gave the token a kill alone is one."""
    since = read(watcher.token)
    world.go_on(watcher, node)
    if since.giver is not None and since.giver.node == node and killed_at < seen_at:
        assert watcher.resets == []
    for reset in watcher.resets:
        assert since.vector is not None
        assert reset is not None
        before, now = since.vector[reset], world.running[node].position(reset)
        restarted = now is None or now[0] != before[0] or not before[1]
        assert restarted or world.started[node] >= seen_at


@pytest.mark.parametrize("seed", range(12))
def test_a_random_story(tmp_path: Path, seed: int) -> None:
    random_story(seed, 60, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 400))
def test_many_random_stories(tmp_path: Path, seed: int) -> None:
    random_story(seed, 200, tmp_path)
