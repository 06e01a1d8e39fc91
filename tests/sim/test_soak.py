"""The simulator's full figures: ten thousand worlds, a thousand nodes, thirty days."""

from dataclasses import replace

import pytest

from discoagent.sim import Profile, World
from discoagent.sim.agreement import agreement
from discoagent.sim.chaos import Chaos, run_seed
from tests.sim.survey import EVERY, noticed
from tests.sim.table import mutants_of_the_table

DAY = 24 * 3_600.0


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("first", range(0, 10_000, 500))
def test_ten_thousand_worlds(first: int) -> None:
    """No check fails in any of them."""
    reports = (run_seed(seed) for seed in range(first, first + 500))

    assert [(it.seed, str(it.failure)) for it in reports if it.failure] == []


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_a_thousand_nodes() -> None:
    """Ten services each, under changes, restarts, loss and splits: they agree within 5 s."""
    report = run_seed(
        1,
        profile=Profile.asked(
            nodes=1_000, services=10, seconds=8, loss=0.05, partition=5, churn=20, restart=3
        ),
    )

    assert report.failure is None
    assert report.agreement <= 5


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_a_split_of_thirty_days() -> None:
    """Both sides forgot each other on the first day; they agree as soon as after a short one."""
    world = World(1)
    for name in "ab":
        world.start(name)
        world.register(name, "web", name)
    world.run(5)
    world.partition({"a"}, {"b"})
    for _ in range(30):
        world.run(DAY)
        assert world.shown("b") == ["web/b@b"]
    world.register("a", "db", "new")
    world.heal()

    assert world.until(lambda: agreement(world) is None, within=5) < 5
    assert world.shown("b") == ["db/new@a", "web/a@a", "web/b@b"]
    world.settle()


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", EVERY)
def test_worlds_notice_as_the_table_says(name: str) -> None:
    """A deliberate bug is found by random worlds where it is said that one of them does."""
    if mutants_of_the_table()[name].startswith("seed"):
        assert noticed(name) is not None


def bytes_per_second(nodes: int) -> float:
    """Return what a node sends in peace, under ten changes a second in all."""
    profile = Profile.asked(nodes=nodes, services=10, seconds=10, churn=10)
    world = World(1, replace(profile, acquainted=True, seconds=0.0))
    Chaos(world).run()
    before = world.network.bytes
    world.run(10)
    return (world.network.bytes - before) / nodes / 10


def test_what_a_node_sends_grows_with_the_others_alone() -> None:
    """By the bytes of a heartbeat for each of them, 60 without its topic, about once a second."""
    few, many = bytes_per_second(10), bytes_per_second(60)

    assert 58 < (many - few) / 50 < 68


def test_the_table_tells_of_every_deliberate_bug() -> None:
    """And of no other."""
    assert set(mutants_of_the_table()) == set(EVERY)
