"""Stories of forgetting: at once and everywhere, and no return is ever banned."""

from functools import partial

import pytest

from discoagent.core.effects import NodeState
from discoagent.core.timing import Timing
from discoagent.sim import CheckFailed, Profile, World
from tests.sim.worlds import (
    ALWAYS,
    Interference,
    everywhere,
    is_chunk,
    is_push,
    is_tale,
    state,
    three,
    told,
)

FORGETFUL = Timing(restart_grace=6.0, forget_after=12.0)


def unknown(world: World, observers: str, node: str) -> bool:
    """Does none of these know that node any more?"""
    return all(state(world, name, node) is None for name in observers)


def gone(world: World, observer: str, entry: str) -> list[str]:
    """Return for which causes an agent removed something."""
    return [row[2] for row in told(world, observer) if row[:2] == ("removed", entry)]


def test_one_that_is_down() -> None:
    """One agent is asked, all have forgotten it within a second, and it stays forgotten."""
    world = three(names="abcde")
    world.power_off("e")
    world.run(10)
    world.forget("b", "e")

    assert world.until(lambda: unknown(world, "abcd", "e"), within=1) < 1
    before = {name: len(world.events(name)) for name in "abcd"}
    world.settle()
    world.quiet(60)
    assert unknown(world, "abcd", "e")
    assert {name: len(world.events(name)) for name in "abcd"} == before


def test_one_that_is_shown() -> None:
    """An agent is killed and will not come back: its entries go at once, and for this reason."""
    world = three(names="abcde")
    world.crash("e")
    world.run(3)
    assert state(world, "a", "e") is NodeState.RESTARTING
    world.forget("a", "e")

    world.until(lambda: unknown(world, "abcd", "e"), within=1)
    for name in "abcd":
        assert "web/e@e" not in world.shown(name)
        assert gone(world, name, "e@e") == ["node-forgotten"]
    world.settle()


def test_its_next_life_is_welcome() -> None:
    """A verdict is on a life, not on a name."""
    world = three(names="abcde")
    world.crash("e")
    world.run(3)
    world.forget("a", "e")
    world.run(1)
    world.start("e")
    world.until(partial(everywhere, world, "abcd", "web/e@e"), within=3)
    world.settle()


def test_it_was_only_cut_off() -> None:
    """The same life is heard again: it is back, and nobody holds the verdict any longer."""
    for seed in range(4):
        world = three(seed, names="abcde")
        world.partition({"e"}, set("abcd"))
        world.run(8)
        world.forget("a", "e")
        world.run(4)
        assert unknown(world, "abcd", "e")
        world.heal()

        world.until(partial(everywhere, world, "abcd", "web/e@e"), within=15)
        world.settle()
        assert state(world, "a", "e") is NodeState.ALIVE
        assert len(list(world.replica("a").own)) == 2  # its record, its service


def test_somebody_hears_it() -> None:
    """Whoever knows better has no event by a verdict, and tells the others."""
    world = three(names="abcd")
    world.partition({"d"}, {"a", "b"})
    net = Interference(world)
    tales = [net.keep("c", name, is_tale, times=ALWAYS) for name in "ab"]
    world.run(8)
    before = len(world.events("c"))
    world.forget("a", "d")
    world.run(1)

    assert state(world, "c", "d") is NodeState.ALIVE
    assert unknown(world, "ab", "d")
    for tale in tales:
        tale.times = 0
    world.heal()
    world.settle()
    assert [row for row in told(world, "c")[before:] if row[1] == "d@d"] == []


def test_who_was_away_honours_it_later() -> None:
    """One agent lost every word of the verdict, and hears of it from the chain."""
    world = three(names="abcd")
    world.crash("d")
    world.run(2)
    net = Interference(world)
    lost = net.keep("a", "c", is_push)
    world.forget("a", "d")
    world.run(0.3)
    assert lost.met == 1
    assert unknown(world, "ab", "d")
    assert state(world, "c", "d") is NodeState.RESTARTING

    world.until(lambda: unknown(world, "c", "d"), within=3)


def test_a_newcomer_beside_a_verdict() -> None:
    """It is told of the forgotten by one that lags, and of the verdict by the others."""
    world = three(names="abcd")
    world.crash("d")
    world.run(2)
    net = Interference(world)
    net.keep("a", "c", lambda _: True, times=ALWAYS)
    world.forget("a", "d")
    world.run(0.2)
    world.start("n", seeds=("c",))
    world.run(3)

    assert unknown(world, "abn", "d")
    world.settle()


def test_a_verdict_has_its_time() -> None:
    """It is dropped when everybody has forgotten by himself, and leaves nothing behind."""
    world = three(2, Profile(timing=FORGETFUL), names="abcd")
    world.power_off("d")
    world.run(6)
    world.forget("a", "d")
    world.run(1)
    assert len(list(world.replica("a").own)) == 3
    world.run(FORGETFUL.forget_after + 1)

    assert len(list(world.replica("a").own)) == 2
    world.settle()


def test_five_that_are_forgotten_one_after_another() -> None:
    """By time, on each agent at another: nobody repairs what is meant to go, nothing returns."""
    names = "abcdefgh"
    world = three(3, Profile(timing=FORGETFUL), names=names)
    for dead, late in zip("defgh", "abcab", strict=True):
        world.power_off(dead)
        world.run(2.5)
        world.pause(late, 1.5)  # nobody's silence counts for it: it forgets later
        world.run(2.5)
    world.until(lambda: all(state(world, n, "h") is NodeState.DOWN for n in "abc"), within=6)
    assert {unknown(world, name, node) for name in "abc" for node in "def"} == {True, False}
    before = {name: len(world.events(name)) for name in "abc"}
    world.quiet(60)

    assert all(unknown(world, "abc", dead) for dead in "defgh")
    assert {name: len(world.events(name)) for name in "abc"} == before


def test_one_that_lags_raises_nobody() -> None:
    """It holds what the others were told to forget, and tells of it, again and again."""
    world = three(names="abcd")
    world.crash("d")
    world.run(2)
    net = Interference(world)
    for source in "ab":
        for wanted in (is_push, is_chunk):
            net.keep(source, "c", wanted, times=ALWAYS)
    world.forget("a", "d")
    world.run(9)
    assert state(world, "c", "d") is NodeState.RESTARTING
    assert world.sent.get("DigestReply", 0) > 0

    assert unknown(world, "ab", "d")
    assert told(world, "a")[-1] == ("removed", "d@d", "node-forgotten")
    world.settle()


def test_a_live_one_is_not_forgotten_by_hiccup() -> None:
    """A verdict that came while it was heard counts for nothing when it is silent for a moment."""
    world = three(names="abcd")
    world.partition({"d"}, {"a"})
    net = Interference(world)
    for name in "bc":
        net.keep(name, "a", is_tale, times=ALWAYS)
    world.run(8)
    world.forget("a", "d")
    world.run(3)
    assert state(world, "b", "d") is NodeState.ALIVE
    world.pause("d", 5)
    world.run(4)

    assert state(world, "b", "d") is NodeState.RESTARTING
    assert gone(world, "b", "d@d") == []


def test_to_forget_one_that_is_alive_is_a_mistake() -> None:
    """The shell refuses it before."""
    world = three()

    with pytest.raises((AssertionError, CheckFailed)):
        world.forget("a", "b")
