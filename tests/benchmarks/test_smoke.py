"""Each benchmark runs with tiny numbers and prints its lines."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.benchmarks import checks, crowd, lifetimes, memory, pipelined, propagation, reading
from tests.benchmarks.__main__ import main, names, usage

TINY: dict[str, tuple[Callable[[], None], list[str]]] = {
    "propagation": (
        partial(propagation.main, rounds=1, samples=3, resident=200),
        ["nothing else resident", "200 entries resident"],
    ),
    "pipelined": (
        partial(pipelined.main, rounds=1, one_by_one=3, bulk=200),
        ["one at a time", "pipelined, 200", "200 of 200 on every peer", "newcomer"],
    ),
    "memory": (
        partial(memory.main, entries=200, idle_seconds=0.1),
        ["idle agent, memory", "idle agent, share of a core", "its owner", "a replica"],
    ),
    "lifetimes": (
        partial(lifetimes.main, rounds=1, deaths=1, resident=50),
        ["a registered process", "the child of `run`", "the wrapper of `run`", "50 entries"],
    ),
    "checks": (
        partial(checks.main, checks=3, interval=0.1, seconds=0.1),
        ["3 checks, share of a core"],
    ),
    "crowd": (
        partial(crowd.main, agents=3, seconds=1.0, settle=0.1),
        ["all know each other", "idle, share of a core", "memory of all"],
    ),
    "reading": (
        partial(reading.main, rounds=1, samples=reading.Samples(1, 2, 1), entries=50),
        ["all", "usable ones", "list 50 through the client", "get one", "discoctl list"],
    ),
}


@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_prints_its_figures(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every figure is there, and each one that has a goal says whether it was met."""
    run, figures = TINY[name]

    run()

    printed = capsys.readouterr().out.splitlines()
    assert all(any(figure in line for line in printed) for figure in figures)
    assert all(line.endswith(("met", "MISSED", " -")) for line in printed[3:])


def test_help_tells_what_each_measures(capsys: pytest.CaptureFixture[str]) -> None:
    """All benchmarks are named, those of this test among them; an unknown one is a mistake."""
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == usage()
    assert set(TINY) <= set(names())
    assert all(f"\n{name}\n" in usage() for name in names())
    assert main(["nonsense"]) == 2
