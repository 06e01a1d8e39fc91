"""Stories of splits: who finds most others silent waits, for it may be cut off itself."""

import pytest

from discoagent.core.timing import Timing
from discoagent.sim import Profile, World
from tests.sim.worlds import three, told

GRACE = 15.0
NAMES = "abcdef"


def split(larger: int, smaller: int, seconds: float, seed: int = 1) -> tuple[World, str, str]:
    """Split a cluster for so long; return it with its two sides, not healed yet."""
    names = NAMES[: larger + smaller]
    world = three(seed, names=names)
    one, other = names[:larger], names[larger:]
    world.partition(set(one), set(other))
    world.run(seconds)
    return world, one, other


def lost(world: World, observers: str, others: str) -> set[str]:
    """Return whose entries any of these agents ever saw go."""
    gone = {row[1] for name in observers for row in told(world, name) if row[0] == "removed"}
    assert gone <= {f"{name}@{name}" for name in others}
    return gone


def isolated(world: World, name: str) -> bool:
    """Does that agent think that it may be cut off?"""
    return world.replica(name).isolation(world.hosts[name].clock()) is not None


@pytest.mark.parametrize(
    ("larger", "smaller", "wait"),
    [(2, 1, ""), (2, 2, ""), (3, 2, "smaller"), (4, 1, "smaller"), (3, 3, "both")],
)
def test_a_split_of_twelve_seconds(larger: int, smaller: int, wait: str) -> None:
    """The side that finds more than half silent sees no event at all; the other takes them down.

    In a cluster of less than five nobody waits: two lone agents may as well be the only ones left.
    """
    world, one, other = split(larger, smaller, 12)

    for side, beyond, name in ((one, other, "larger"), (other, one, "smaller")):
        waits = wait in (name, "both")
        assert {isolated(world, observer) for observer in side} == {waits}
        assert (lost(world, side, beyond) == set()) is waits
        assert ({f"web/{far}@{far}" for far in beyond} <= set(world.shown(side[0]))) is waits
    if wait == "both":
        before = {name: len(world.events(name)) for name in one + other}
        world.settle()
        assert {name: len(world.events(name)) for name in one + other} == before
    else:
        world.settle()


@pytest.mark.parametrize(("larger", "smaller"), [(3, 2), (4, 1), (3, 3)])
def test_a_split_of_forty_seconds(larger: int, smaller: int) -> None:
    """Longer than anybody waits: each side goes on alone, and both agree again after it."""
    world, one, other = split(larger, smaller, 40)

    for side, beyond in ((one, other), (other, one)):
        assert not any(isolated(world, observer) for observer in side)
        assert lost(world, side, beyond) == {f"{far}@{far}" for far in beyond}
        assert world.shown(side[0]) == [f"web/{near}@{near}" for near in side]
    world.settle()


def test_three_of_five_really_die() -> None:
    """The survivors show them for `isolation_grace` beyond a suspicion, and not for ever."""
    for seed in range(4):
        world = three(seed, names="abcde")
        for name in "cde":
            world.power_off(name)

        world.run(GRACE)
        assert len(world.shown("a")) == len(world.shown("b")) == 5
        world.run(3)

        assert world.shown("a") == world.shown("b") == ["web/a@a", "web/b@b"]
        assert not isolated(world, "a")
        world.settle()


def test_refusals_are_no_silence() -> None:
    """Four of five agents are killed: the way to their hosts is open, so that nobody is cut off."""
    world = three(names="abcde")
    for name in "bcde":
        world.crash(name)
    world.run(10)

    assert not isolated(world, "a")
    world.run(world.profile.timing.restart_grace)
    assert world.shown("a") == ["web/a@a"]


def test_farewells_are_no_silence() -> None:
    """Nor is it one if they said that they stop, though a wall swallows the refusals."""
    world = three(names="abcde")
    for name in "bcde":
        world.hosts[name].dark = True
        world.stop(name)
    world.run(10)

    assert not isolated(world, "a")
    assert len(world.shown("a")) == 5


def test_one_that_restarts_while_we_are_cut_off() -> None:
    """It refused, then nothing came from anywhere: that its host is gone, too, is not believed."""
    world = three(names="abcde")
    world.crash("e")
    world.run(2)
    world.partition({"a"}, set("bcde"))
    world.run(10)
    world.start("e")
    before = len(world.events("a"))
    world.run(1)

    assert isolated(world, "a")
    world.settle()
    assert len(world.events("a")) == before


def test_those_that_follow_more_slowly() -> None:
    """Once half are back, the rest has two seconds more: their links come back one by one."""
    for seed in range(4):
        world, _, _ = split(4, 1, 12, seed)
        before = len(world.events("e"))
        assert isolated(world, "e")
        world.heal()
        world.partition({"e"}, {"c", "d"})
        world.until(lambda world=world: not isolated(world, "e"), within=3)  # type: ignore[misc]
        world.run(0.8)
        world.heal()
        world.run(1)

        assert len(world.events("e")) == before
        world.settle()


def test_half_of_a_cluster_stays_away() -> None:
    """Two of the four come back, two are dead: the moment that they are given ends."""
    world, _, _ = split(4, 1, 2)
    for name in "cd":
        world.power_off(name)
    world.run(10)
    world.heal()
    world.until(lambda: not isolated(world, "e"), within=3)
    world.run(2.5)

    assert world.shown("e") == ["web/a@a", "web/b@b", "web/e@e"]


def test_nothing_is_forgotten_meanwhile() -> None:
    """What went down before waits until we know whether it was us."""
    timing = Timing(forget_after=20.0)
    world = three(2, Profile(timing=timing), names=NAMES)
    world.power_off("f")
    world.run(18)
    world.partition({"a"}, set("bcde"))
    world.run(10)

    def known() -> bool:
        views = world.replica("a").members(world.hosts["a"].clock())
        return "f" in {view.replica.node for view in views}

    assert isolated(world, "a")
    assert known()
    world.heal()
    world.until(lambda: not isolated(world, "a"), within=3)
    world.until(lambda: not known(), within=1)


def test_without_a_grace_nobody_waits() -> None:
    """`isolation_grace = 0` turns the guard off."""
    world = three(1, Profile(timing=Timing(isolation_grace=0.0)), names="abcde")
    world.partition({"a"}, set("bcde"))

    world.until(lambda: world.shown("a") == ["web/a@a"], within=5)


def test_a_long_sleep_of_one_that_is_not_cut_off() -> None:
    """Waking up is no isolation: nobody is silent on a clock that stood still."""
    world = three(5, names="abcde")
    before = len(world.events("b"))
    for seconds in (2.0, 5.0, 15.0):
        world.pause("b", seconds)
        world.run(seconds)
        for _ in range(8):
            world.run(0.25)
            assert not isolated(world, "b")

    assert len(world.events("b")) == before
