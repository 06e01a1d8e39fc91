"""Stories of agents that end and begin again: the handover from one life to the next."""

from discoagent.sim import Restore, World
from tests.sim.worlds import three, told


def numbers(world: World, names: str) -> list[int]:
    """Return how many events each of these agents has had."""
    return [len(world.events(name)) for name in names]


def test_two_peers_cut_off_from_a_restart() -> None:
    """They learn of its end and of its new life from the third alone, and show no difference."""
    world = three(names="abcd")
    world.partition({"b"}, {"c", "d"})
    world.run(1)
    before = numbers(world, "acd")
    world.crash("b")
    world.run(9)
    world.start("b")
    world.run(10)

    assert numbers(world, "acd") == before
    world.settle()
    assert numbers(world, "acd") == before


def test_fewer_entries_than_before() -> None:
    """What ended while no agent was there is removed, alone."""
    for restore in (Restore.STORE, Restore.NOTHING):
        world = three()
        world.register("b", "db", "dies")
        world.run(1)
        before = len(world.events("a"))
        world.crash("b")
        world.run(2)
        world.withdraw("b", "db", "dies", cause="exit")
        world.run(2)
        world.start("b", restore=restore)
        world.settle()

        assert [row[:2] for row in told(world, "a")[before:]] == [("removed", "dies@b")]


def test_other_entries_than_before() -> None:
    """A key that another process registered meanwhile is updated: it was never without an owner."""
    world = three()
    before = len(world.events("a"))
    world.crash("b")
    world.run(2)
    world.withdraw("b", "web", "b", cause="exit")
    world.start("b", restore=Restore.NOTHING)
    world.register("b", "web", "b")
    world.settle()

    assert told(world, "a")[before:] == [("updated", "b@b", "replaced")]


def test_a_crash_half_way() -> None:
    """The second life had one of three entries again when it ended; the third has them all."""
    world = three()
    world.register("b", "db", "one")
    world.register("b", "db", "two")
    world.run(1)
    before = len(world.events("a"))
    world.crash("b")
    world.run(3)
    world.start("b", restore=Restore.NOTHING, back_within=2.0)
    held = world.hosts["b"]
    world.until(lambda: held.life is not None and held.life.clock > 1, within=3)
    world.run(0.05)
    world.crash("b")
    world.run(3)
    world.start("b")
    world.settle()

    assert len(world.events("a")) == before


def test_a_crash_loop_does_not_hold_the_dead() -> None:
    """No life lasts until it is settled: from the first crash on there is one grace for all."""
    world = three()
    grace = world.profile.timing.restart_grace
    world.crash("b")
    world.withdraw("b", "web", "b", cause="exit")
    began = world.now
    while world.now - began < grace + 2:
        world.start("b", restore=Restore.NOTHING)
        world.run(1.5)
        if world.now - began < grace - 1:
            assert "web/b@b" in world.shown("a")
        world.crash("b")
        world.run(0.5)

    assert "web/b@b" not in world.shown("a") + world.shown("c")
    world.start("b")
    world.settle()


def test_a_clock_set_back() -> None:
    """The cluster tells it of its later life; it takes a number above, and nobody sees a thing."""
    world = three()
    before = len(world.events("a"))
    later = world.replica("b").id.incarnation
    world.crash("b")
    world.run(2)
    world.start("b", restore=Restore.NOTHING, clock_back=3600.0)
    world.settle()

    assert world.replica("b").id.incarnation == later + 1
    assert len(world.events("a")) == before


def test_a_reboot_ends_what_ran_before() -> None:
    """At once, not after the grace; and what starts then is new."""
    world = three()
    world.power_off("b")
    world.run(2)
    world.start("b", restore=Restore.REBOOT)
    world.register("b", "db", "fresh")
    world.run(2.5)

    assert "web/b@b" not in world.shown("a")
    assert "db/fresh@b" in world.shown("a")
    world.settle()
