"""Stories of silence: who is down, who only seems so, and that peace is quiet."""

from functools import partial

import pytest

from discoagent.core.effects import NodeState
from discoagent.core.timing import Timing
from discoagent.sim import Profile
from discoagent.sim.network import Channel
from tests.sim.worlds import (
    ALWAYS,
    Interference,
    everywhere,
    is_chunk,
    is_heartbeat,
    is_push,
    is_tale,
    state,
    three,
    told,
)

FORGETFUL = Timing(restart_grace=6.0, forget_after=12.0)


def test_a_newcomer_beside_a_node_that_is_down() -> None:
    """It never met that node, and nobody keeps telling it of it: sixty seconds of silence."""
    world = three()
    world.power_off("c")
    world.run(6)
    world.start("d")
    world.run(2)

    assert state(world, "d", "c") is None
    world.quiet(60)


def test_a_line_of_four() -> None:
    """Each hears its neighbours alone: nobody is down, and all entries are everywhere."""
    world = three(names="abcd")
    before = {name: len(world.events(name)) for name in "abcd"}
    for one, other in ("ac", "ad", "bd"):
        world.cut(one, other)
        world.cut(other, one)
    world.run(60)
    assert {name: len(world.events(name)) for name in "abcd"} == before

    world.register("a", "db", "far")
    took = world.until(lambda: "db/far@a" in world.shown("d"), within=5)

    assert took < 5
    world.settle()


def test_a_host_dies_far_from_everybody() -> None:
    """All ask all, and answers take long: it does not live on by being told of."""
    for slow in (0.2, 0.45, 1.0):
        world = three(2, Profile(latency=(slow / 2, slow)), names="abcde")
        world.power_off("e")
        world.run(8)

        assert all("web/e@e" not in world.shown(name) for name in "abcd")


def test_an_agent_is_killed_and_its_host_dies_later() -> None:
    """While its port refuses it is held; once nothing answers, no longer than any dead host."""
    for later in (1.0, 5.0, 9.0):
        for parting in ("crash", "stop"):
            world = three()
            getattr(world, parting)("c")
            world.run(later)
            assert "web/c@c" in world.shown("a")
            world.hosts["c"].dark = True

            world.run(world.profile.timing.down_after + 1.5)
            assert "web/c@c" not in world.shown("a") + world.shown("b")


def test_a_farewell_behind_a_wall() -> None:
    """No refusal was ever seen: the whole grace is given, and not more."""
    world = three()
    world.hosts["c"].dark = True
    world.stop("c")
    world.run(14)
    assert "web/c@c" in world.shown("a")
    world.run(2)

    assert "web/c@c" not in world.shown("a")


def test_an_old_tale_raises_nobody() -> None:
    """z slept while x died and was forgotten, and goes on to say that it heard it just now."""
    for seconds in (8.0, 20.0, 60.0):
        world = three(3, Profile(timing=FORGETFUL), names="abxz")
        world.run(1)
        world.pause("z", seconds)
        world.power_off("x")
        world.run(seconds - 0.5)
        assert "web/x@x" not in world.shown("a")
        before = len([row for row in told(world, "a") if row[1] == "x@x"])
        world.run(30)

        assert len([row for row in told(world, "a") if row[1] == "x@x"]) == before
        assert all("web/x@x" not in world.shown(name) for name in "abz")


def test_a_split_outlasts_memory() -> None:
    """Each side forgot the other; the same lives come back, whoever tells of them first."""
    for seed in range(6):
        world = three(seed, Profile(timing=FORGETFUL), names="abcd")
        world.partition({"a"}, {"b", "c", "d"})
        world.run(3)
        world.withdraw("a", "web", "a")
        world.register("a", "db", "new")
        world.run(25)
        assert state(world, "b", "a") is None
        world.heal()

        world.until(partial(everywhere, world, "bcd", "db/new@a"), within=15)
        world.settle()


def test_back_through_one_who_lags() -> None:
    """What ended before it was forgotten stays ended, though a third party has not heard so."""
    for seed in range(6):
        world = three(seed, Profile(timing=FORGETFUL), names="abcd")
        world.register("a", "db", "ends")
        world.run(1)
        world.partition({"a", "b"}, {"c"})  # c hears of a through d alone, and gets no deltas
        world.withdraw("a", "db", "ends")
        world.run(0.05)
        assert "db/ends@a" not in world.shown("b")
        world.heal()
        world.partition({"b"}, {"a", "c", "d"})
        world.run(20)
        assert state(world, "b", "a") is None
        world.heal()
        world.settle()

        rows = [row for row in told(world, "b") if row[1] == "ends@a"]
        assert [row[0] for row in rows] == ["added", "removed"]


def test_back_through_one_who_cannot_catch_up() -> None:
    """It is the only one that serves the chain for a while, and has what was seen to end."""
    world = three(7, Profile(timing=FORGETFUL))
    world.register("a", "db", "ends")
    world.run(1)
    net = Interference(world)
    for wanted in (is_push, is_chunk):
        net.keep("a", "c", wanted, times=ALWAYS)
    world.withdraw("a", "db", "ends")
    world.run(0.05)
    assert "db/ends@a" not in world.shown("b")
    assert "db/ends@a" in world.shown("c")
    world.partition({"b"}, {"a", "c"})
    world.run(20)
    assert state(world, "b", "a") is None
    net.keep("a", "b", is_chunk, times=ALWAYS)
    world.heal()
    world.run(15)
    assert state(world, "b", "a") is NodeState.ALIVE
    world.settle()

    rows = [row for row in told(world, "b") if row[1] == "ends@a"]
    assert [row[0] for row in rows] == ["added", "removed"]


def test_twenty_under_load() -> None:
    """Forty writes a second for a while: every change is pushed, and nobody compares notes."""
    names = "abcdefghijklmnopqrst"
    world = three(4, names=names)
    for turn in range(280):
        world.register(names[turn % 20], "job", f"j{turn % 60}")
        world.run(0.025)
    world.run(2)

    assert world.sent.get("Digest", 0) == 0
    assert all(world.shown(name) == world.shown("a") for name in names)


def test_leaving_while_two_are_cut_off() -> None:
    """Who could not hear the farewell learns of it from others; late heartbeats change nothing."""
    world = three(6, Profile(late=True), names="abcd")
    world.partition({"b"}, {"c", "d"})
    world.run(2)
    world.leave("b")
    world.run(1)
    assert "web/b@b" not in world.shown("a")
    world.heal()
    world.run(8)

    for name in "acd":
        assert "web/b@b" not in world.shown(name)
        assert state(world, name, "b") is NodeState.LEFT
    world.settle()


def test_leaving_beside_an_agent_that_is_stopped() -> None:
    """It slept for twelve seconds, and learns of it when it goes on."""
    world = three()
    world.pause("c", 12)
    world.run(1)
    world.leave("b")
    world.run(12)

    assert state(world, "c", "b") is NodeState.LEFT
    assert [row for row in told(world, "c") if row[1] == "b@b"][-1] == (
        "removed",
        "b@b",
        "node-left",
    )
    world.settle()


def test_a_long_sleep() -> None:
    """Its own pause counts for nobody's silence, whether heartbeats wait for it or are lost."""
    for seconds in (2.0, 5.0, 15.0):
        for lost in (False, True):
            world = three(5, names="abcd")
            before = len(world.events("b"))
            net = Interference(world)
            world.pause("b", seconds)
            kept = int(seconds) if lost else 0
            rules = [net.keep(name, "b", is_heartbeat, times=kept) for name in "acd"]
            world.run(seconds + 0.5)
            assert all(bool(rule.met) is lost for rule in rules)
            world.pause("b", seconds / 2)
            world.run(seconds)

            assert len(world.events("b")) == before
            world.settle()


def test_an_answer_that_waited_while_we_slept() -> None:
    """z was cut off; it asks, sleeps, and is told of x, which died before z goes on to read it."""
    world = three(names="abxz")
    world.partition({"z"}, {"a", "b", "x"})
    world.run(10)
    assert world.shown("z") == ["web/z@z"]
    world.heal()
    world.partition({"z"}, {"x"})
    net = Interference(world)
    answers = [net.keep(name, "z", is_tale, times=ALWAYS) for name in "ab"]
    world.until(lambda: all(rule.met for rule in answers), within=5)
    world.pause("z", 8)
    world.power_off("x")
    world.run(7.9)
    for rule in answers:
        rule.times = 0
        rule.release()
    world.run(8)

    assert world.shown("z") == ["web/a@a", "web/b@b", "web/z@z"]
    assert [row[0] for row in told(world, "z") if row[1] == "x@x"] == ["added", "removed"]


@pytest.mark.parametrize("names", ["abc", "abcde"])
def test_nothing_comes_from_a_heartbeat_socket(names: str) -> None:
    """A firewall closes its second port: it answers who asks, so nobody takes it for dead."""
    world = three(names=names)
    before = {name: len(world.events(name)) for name in names}
    world.network.lose = lambda source, _target, channel, _frame: (
        source == "a" and channel is Channel.PUBLISH
    )
    world.run(60)
    assert {name: len(world.events(name)) for name in names} == before
    assert state(world, "b", "a") is NodeState.ALIVE

    world.register("a", "db", "unheard")
    assert world.until(lambda: everywhere(world, names, "db/unheard@a"), within=3) < 3
    world.power_off("a")
    world.run(6)
    assert state(world, "b", "a") is NodeState.DOWN
