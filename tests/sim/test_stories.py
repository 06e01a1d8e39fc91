"""Aimed worlds: what once broke a draft of the protocol, told as a story."""

from discoagent.core.effects import EventKind
from discoagent.core.timing import Timing
from discoagent.sim import Profile, Restore, World
from tests.sim.worlds import three


def test_a_restart_is_no_event() -> None:
    """Restored or said again by its clients: nobody else sees anything."""
    for restore in (Restore.STORE, Restore.NOTHING):
        world = three()
        before = len(world.events("a"))

        world.crash("b")
        world.run(9)
        world.start("b", restore=restore)
        world.settle()

        assert len(world.events("a")) == before


def test_three_lives_in_a_row() -> None:
    """A crash half way through a new life holds what the first one showed."""
    world = three()
    before = len(world.events("a"))

    for _ in range(3):
        world.crash("b")
        world.run(1)
        world.start("b", restore=Restore.NOTHING)
        world.run(0.05)
    world.settle()

    assert len(world.events("a")) == before


def test_a_cut_pair_sees_no_event_and_hears_through_the_third() -> None:
    """One way or both ways, for a minute."""
    for both in (False, True):
        world = three()
        before = len(world.events("b"))
        world.cut("a", "b")
        if both:
            world.cut("b", "a")
        world.run(30)
        world.register("a", "db", "late")

        took = world.until(lambda world=world: "db/late@a" in world.shown("b"), within=3)  # type: ignore[misc]
        world.run(30)

        assert took < 3
        assert len(world.events("b")) == before + 1


def test_a_host_that_loses_power_is_down_in_time() -> None:
    """Within down_after and a second, on all others; its entries with it, for that reason."""
    world = three()
    world.power_off("c")

    took = world.until(lambda: "web/c@c" not in world.shown("a") + world.shown("b"), within=5)

    assert took > 2
    last = world.events("a")[-1]
    assert (last.kind, last.cause.word) == (EventKind.REMOVED, "node-down")


def test_a_killed_agent_is_held_for_its_grace() -> None:
    """Its port refuses: its entries stay usable for restart_grace, and not longer."""
    world = three()
    world.crash("c")

    world.run(world.profile.timing.restart_grace - 0.1)
    assert "web/c@c" in world.shown("a")
    world.run(1.1)
    assert "web/c@c" not in world.shown("a")


def test_a_stopped_process_raises_no_alarm() -> None:
    """For ten seconds its kernel accepts and it stays mute; nor does it accuse others."""
    world = three()
    before = {name: len(world.events(name)) for name in "abc"}

    world.pause("b", 10)
    world.run(10.5)
    world.settle()

    assert {name: len(world.events(name)) for name in "abc"} == before


def test_leaving_is_seen_at_once() -> None:
    """With its own cause, and it does not come back."""
    world = three()
    world.leave("b")
    world.run(0.1)

    assert world.shown("a") == ["web/a@a", "web/c@c"]
    assert world.events("a")[-1].cause.word == "node-left"
    world.settle()


def test_a_split_heals() -> None:
    """Both sides go on, and agree soon after."""
    world = three()
    world.partition({"a"}, {"b", "c"})
    world.run(60)
    world.register("a", "db", "one")
    world.register("b", "db", "two")
    assert "db/two@b" not in world.shown("a")
    world.heal()

    wanted = {"db/one@a", "db/two@b"}
    took = world.until(lambda: all(wanted <= set(world.shown(n)) for n in "abc"), within=3)

    assert took < 3
    world.settle()


def test_thirty_agents_that_boot_together() -> None:
    """All know all within a second, and nobody needs an exchange for it."""
    world = World(3)
    names = [f"n{number}" for number in range(30)]
    for name in names:
        world.start(name, seeds=("n0",))
        world.run(0.015)

    def acquainted() -> bool:
        return all(len(world.replica(name).members(world.now)) == 30 for name in names)

    assert world.until(acquainted, within=2) < 2
    world.run(10)
    assert world.sent.get("Digest", 0) == 0


def test_the_only_welcome_is_lost_while_dead_seeds_are_greeted() -> None:
    """Nobody ever welcomed a, so it greets b back, and b knows it: but a Hello of b's to a seed
    that is no more is always under way. b asks a again all the same, and is ready.

    (What is lost here is luck; the state machine found this world.)
    """
    timing = Timing(restart_grace=7.0, forget_after=25.0)
    world = World(0, Profile(loss=0.1, ordered=False, timing=timing))
    for name in "abc":
        world.start(name)
    world.run(2)
    world.leave("b")
    world.crash("c")
    world.register("a", "web", "1")
    world.start("d")
    for _ in range(2):
        world.cut("a", "a")
        world.heal()
    world.power_off("d")
    world.start("b")

    world.settle()
    assert world.replica("b").ready


def test_a_clogged_way() -> None:
    """Nothing of it is lost, and nothing arrives until it is free: then all of it, in order."""
    world = World(1, Profile(nodes=2))
    for name in "ab":
        world.start(name)
    world.run(5)
    world.clog("a", "b")
    world.register("a", "web", "1")
    world.update("a", "web", "1")
    world.run(1)
    assert world.shown("b") == []

    world.unclog("a", "b")
    world.run(0.1)
    assert world.shown("b") == ["web/1@a"]
    assert [event.kind.value for event in world.events("b")] == ["added", "updated"]
    world.settle()
