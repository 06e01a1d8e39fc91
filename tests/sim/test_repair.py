"""Stories of repair: deltas that are lost, late or overtaken, and scans of a busy owner."""

from discoagent.core.messages import DigestReply, Hello
from discoagent.sim import Knobs, Profile, World
from tests.sim.worlds import ALWAYS, Interference, clock, is_chunk, is_push, state, three, told

# A request brings one chunk with a page of five entries: a scan takes many.
PAGED = Knobs(ring_steps=2, chunk_entries=5, chunks=1, chunk_bytes=200)


def asked_for_sync(world: World) -> int:
    """Return how many requests were made until now."""
    return world.sent.get("SyncRequest", 0)


def churn(world: World, node: str, turn: int) -> None:
    """Register something, change something new and something old, end something: all at once."""
    world.register(node, "job", f"j{turn}")
    world.update(node, "bulk", f"{turn * 7 % 60:02}")
    if turn % 2:
        world.update(node, "job", f"j{turn - 1}")
    if turn >= 10:
        world.withdraw(node, "job", f"j{turn - 10}")


def test_born_and_gone_between_two_clocks() -> None:
    """A net delta names neither; who stood in between has it, and drops it."""
    world = three()
    net = Interference(world)
    birth = net.keep("a", "b", is_push)
    world.register("a", "db", "brief")
    world.run(0.01)
    net.keep("a", "b", is_push)  # its end is lost: only a heartbeat will tell of it
    world.withdraw("a", "db", "brief")
    net.delay("a", "b", is_chunk, by=0.1)
    asked = asked_for_sync(world)

    world.until(lambda: asked_for_sync(world) > asked, within=3)
    birth.release()
    world.run(0.05)
    assert "db/brief@a" in world.shown("b")
    world.run(0.2)

    assert "db/brief@a" not in world.shown("b")
    assert [row[:2] for row in told(world, "b")[-2:]] == [
        ("added", "brief@a"),
        ("removed", "brief@a"),
    ]
    world.settle()


def test_a_lost_delta_of_a_busy_owner() -> None:
    """The next one shows the gap; it is filled while more come, and nothing is told twice."""
    world = three()
    net = Interference(world)
    for turn in range(100):
        if turn % 20 == 5:
            net.keep("a", "b", is_push)
        world.register("a", "job", f"j{turn}")
        world.run(0.01)
        if turn % 20 > 8:
            assert clock(world, "b", "a") >= clock(world, "a", "a") - 1

    assert [row for row in told(world, "b") if row[1].startswith("j")] == [
        ("added", f"j{turn}@a", "registered") for turn in range(100)
    ]
    world.settle()


def test_the_last_delta_is_lost() -> None:
    """Nothing follows that would show the gap: the owner's heartbeat does."""
    world = three()
    Interference(world).keep("a", "b", is_push)
    world.register("a", "db", "last")

    took = world.until(lambda: "db/last@a" in world.shown("b"), within=3)

    assert took > 0.5
    assert world.sent.get("Digest", 0) == 0
    world.settle()


def scanned(seed: int, knobs: Knobs, latency: float) -> World:
    """A newcomer d begins to fetch the table of a, which is large and keeps changing."""
    profile = Profile(latency=(0.9 * latency, latency), knobs=knobs)
    world = three(seed, profile)
    for number in range(60):
        world.register("a", "bulk", f"{number:02}")
        world.run(0.002)
    world.run(1)
    world.start("d", seeds=("a",))
    return world


def test_a_busy_owner_is_scanned() -> None:
    """It registers, changes and ends things meanwhile; an answer is lost on the way, too."""
    world = scanned(1, PAGED, 0.02)
    lost = Interference(world).keep("a", "d", is_chunk)
    for turn in range(300):
        churn(world, "a", turn)
        world.run(0.01)
    assert lost.met == 1

    world.until(lambda: clock(world, "d", "a") >= clock(world, "a", "a") - 3, within=5)
    world.settle()


def test_another_goes_on_where_the_owner_stopped() -> None:
    """The owner is cut off half way; one holder lags and cannot serve, the other can."""
    for seed in range(4):
        world = scanned(seed, PAGED, 0.02)
        net = Interference(world)
        for wanted in (is_push, is_chunk):
            net.keep("a", "b", wanted, times=ALWAYS)  # b hears that a lives, and gets nothing
        chunks = net.keep("a", "d", lambda message: False)
        for turn in range(24):
            churn(world, "a", turn)
            world.run(0.01)
        behind = clock(world, "b", "a")
        world.partition({"a"}, {"d"})
        world.run(6)

        assert chunks.met == 0
        assert behind < clock(world, "c", "a") == clock(world, "d", "a")
        world.settle()


def test_a_busy_owner_far_away() -> None:
    """200 entries, 100 writes a second, 150 ms there and back, a ring of 16: here within 5 s."""
    profile = Profile(
        latency=(0.07, 0.075), knobs=Knobs(ring_steps=16, chunk_entries=20, chunk_bytes=2_500)
    )
    world = three(1, profile)
    for number in range(200):
        world.register("a", "bulk", f"{number:03}")
        world.run(0.01)
    world.start("d")
    for turn in range(500):
        world.update("a", "bulk", f"{turn % 200:03}")
        world.run(0.01)
        if len(world.shown("d")) >= 203:
            break

    assert turn < 499
    world.settle()


def test_exchanges_that_are_of_no_use() -> None:
    """b never learns of d, whatever it asks: the others and it ask each other less and less."""
    world = three()
    net = Interference(world)
    net.keep("d", "b", lambda message: isinstance(message, Hello), times=ALWAYS)
    for name in "acd":
        net.keep(name, "b", lambda message: isinstance(message, DigestReply), times=ALWAYS)
    world.start("d", seeds=("a",))
    world.run(60)

    assert state(world, "b", "d") is None
    assert 3 < world.sent["Digest"] < 30
    world.settle()
