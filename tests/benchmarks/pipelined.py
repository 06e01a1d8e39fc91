"""How many registrations one agent of three takes, and how soon all others hold them.

One at a time and in a pipeline, each beside a bare ZeroMQ echo of the same frames over ipc; then
how long after the last answer every peer holds all of them, and how long a newcomer takes, from the
start of its process, until it holds them and is ready: beside the same in an empty cluster.
"""

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from tests.agent.harness import Cluster
from tests.benchmarks.kit import bare, load
from tests.benchmarks.kit.report import Goal, at_least, at_most, row, title

ROUNDS = 3
TURNS = 10
ONE_BY_ONE = 300  # registrations a turn
BULK = 100_000


class Beside(NamedTuple):
    """A figure and its floor of one round."""

    figure: float
    floor: float


class Round(NamedTuple):
    """What one cluster did: rates a second, then seconds."""

    single: Beside
    many: Beside
    late: float
    newcomer: Beside


def main(*, rounds: int = ROUNDS, one_by_one: int = ONE_BY_ONE, bulk: int = BULK) -> None:
    """Measure, and print each figure beside its floor: the medians of the rounds."""
    title(f"pipelined: registrations through one agent of three, medians of {rounds} rounds")
    done = [_round(one_by_one, bulk) for _ in range(rounds)]
    single, many = _median([it.single for it in done]), _median([it.many for it in done])
    share = at_least("of the echo", single.figure / single.floor, 0.5)
    _print("one at a time", single, "/s", share)
    _print(f"pipelined, {bulk:,} of them", many, "/s", at_least("rate", many.figure, 25_000, "/s"))
    late = statistics.median(it.late for it in done)
    within = at_most("after the last answer", late, 1, " s")
    row(f"{bulk:,} of {bulk:,} on every peer", f"{late:.3f} s", "-", within)
    newcomer = _median([it.newcomer for it in done])
    ready = at_most("ready", newcomer.figure, 1, " s")
    _print(f"newcomer, start to ready beside {bulk:,}", newcomer, " s", ready)


def _median(pairs: Sequence[Beside]) -> Beside:
    return Beside(*map(statistics.median, zip(*pairs, strict=True)))


def _print(name: str, it: Beside, unit: str, goal: Goal) -> None:
    figure, floor = (f"{value:,.0f}{unit}" if value > 100 else f"{value:.3f}{unit}" for value in it)
    row(name, figure, floor, goal, ratio=it.figure / it.floor)


def _round(one_by_one: int, bulk: int) -> Round:
    """Measure all of it once, in a new cluster."""
    with Cluster("a", "b", "c") as cluster:
        address = f"ipc://{cluster.directory}/echo"
        with (
            bare.running("echo", address),
            load.Bare(address) as echo,
            load.Bare(cluster["a"].socket) as asker,
        ):
            empty = _newcomer(cluster, "empty", 0)
            single = _one_by_one(asker, echo, one_by_one)
            before = int(asker.question("status")["instances"]["total"])
            many = _pipelined(asker, echo, bulk)
            late = load.until_held([cluster["b"], cluster["c"]], before + bulk)
            newcomer = _newcomer(cluster, "late", before + bulk)
            return Round(single, many, late, Beside(newcomer, empty))


def _newcomer(cluster: Cluster, node: str, entries: int) -> float:
    """Start one more agent; return the seconds until it was ready. It ends again."""
    began = time.monotonic()
    with cluster.start(node) as agent:
        seconds = time.monotonic() - began
        held = agent.status()["instances"]["total"]
        assert held == entries, f"ready with {held} of {entries}"
        agent.stop()
    del cluster.agents[node]
    return seconds


def _one_by_one(asker: load.Bare, echo: load.Bare, count: int) -> Beside:
    """Return the rates of both, by turns."""
    taken = [0.0, 0.0]
    for turn in range(TURNS):
        frames = load.registrations(count, 50_000_000 + turn * count, "single")
        for place, end in enumerate((asker, echo)):
            began = time.perf_counter()
            for frame in frames:
                end.ask(frame)
            taken[place] += time.perf_counter() - began
    return Beside(*(TURNS * count / seconds for seconds in taken))


def _pipelined(asker: load.Bare, echo: load.Bare, count: int) -> Beside:
    """Return the rates of both; what the agent answered is looked at when the time is taken."""
    frames = load.registrations(count)
    floor = _seconds(echo, frames)[0]
    figure, answers = _seconds(asker, frames)
    for answer in answers:
        load.done(answer)
    return Beside(count / figure, count / floor)


def _seconds(end: load.Bare, frames: Sequence[bytes]) -> tuple[float, list[bytes]]:
    began = time.perf_counter()
    answers = end.pipeline(frames)
    return time.perf_counter() - began, answers
