"""How figures are printed: the ratio to the floor first, then both beside each other, and the goal.

A figure and its floor are taken in turns, in several rounds; what is printed is the median of the
rounds, so that a moment in which the machine did something else spoils one round of both.
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

CALM = 1.5  # the slowest percent of equal spins takes at most so many times the median

Goal = tuple[str, bool]
"""What is wanted, in words, and whether it was reached."""


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which about that share of all lies: always one that was measured."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Rounds:
    """Equal measurements, in rounds. `p50` and `p99` are the medians of the rounds' own."""

    def __init__(self) -> None:
        self.rounds: list[list[float]] = []

    def begin(self) -> None:
        """Begin a round."""
        self.rounds.append([])

    def add(self, value: float) -> None:
        """Take in one more measurement."""
        self.rounds[-1].append(value)

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(quantile(values, 0.5) for values in self.rounds)

    @property
    def p99(self) -> float:
        """The 99th percentile; of fewer than a hundred measurements, the worst one."""
        return statistics.median(quantile(values, 0.99) for values in self.rounds)

    @property
    def worst(self) -> float:
        """The worst of all."""
        return max(map(max, self.rounds))

    @property
    def count(self) -> int:
        """How many measurements there are."""
        return sum(map(len, self.rounds))


class Pair(NamedTuple):
    """A figure and its floor, both measured in the same rounds."""

    figure: Rounds
    floor: Rounds

    @property
    def ratio(self) -> float:
        """How many times the floor's median the figure's is."""
        return self.figure.p50 / self.floor.p50


def in_turns(
    rounds: int, samples: int, figure: Callable[[], float], floor: Callable[[], float]
) -> Pair:
    """Measure both by turns, `samples` times in each of `rounds`."""
    pair = Pair(Rounds(), Rounds())
    for _ in range(rounds):
        pair.figure.begin()
        pair.floor.begin()
        for _ in range(samples):
            pair.floor.add(floor())
            pair.figure.add(figure())
    return pair


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """Return what does that work and tells the milliseconds it took."""

    def measured() -> float:
        began = time.perf_counter()
        work()
        return (time.perf_counter() - began) * 1000

    return measured


def title(text: str) -> None:
    """Begin a benchmark's part of the output."""
    print(f"\n{text}")
    print(f"{'ratio':>7}  {'figure':<46} {'measured':<32} {'floor':<32} goal", flush=True)


def row(
    figure: str, measured: str, floor: str = "-", *goals: Goal, ratio: float | None = None
) -> None:
    """Print one figure as soon as it is known."""
    shown = "-" if ratio is None else f"{ratio:.2f}x"
    wanted = "; ".join(f"{words}: {'met' if met else 'MISSED'}" for words, met in goals) or "-"
    print(f"{shown:>7}  {figure:<46} {measured:<32} {floor:<32} {wanted}", flush=True)


def times(figure: str, pair: Pair, *goals: Goal) -> None:
    """Print times, in milliseconds, beside their floor."""
    measured, floor = (f"p50 {it.p50:.3f}  p99 {it.p99:.3f} ms" for it in pair)
    row(figure, measured, floor, *goals, ratio=pair.ratio)


def at_most(what: str, value: float, bound: float, unit: str = "") -> Goal:
    """Want a value to be no larger than a bound."""
    return f"{what} <= {bound:g}{unit}", value <= bound


def at_least(what: str, value: float, bound: float, unit: str = "") -> Goal:
    """Want a value to be no smaller than a bound."""
    return f"{what} >= {bound:g}{unit}", value >= bound


class Machine:
    """What else the machine did meanwhile, for whoever reads the figures."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = _jiffies()

    def note(self) -> str:
        """Return a line that says how far these figures can be trusted."""
        spins = [_spin() for _ in range(200)]
        p50, p99 = quantile(spins, 0.5), quantile(spins, 0.99)
        busy, stolen = (
            after - before for after, before in zip(_jiffies(), self._before, strict=True)
        )
        seconds = time.monotonic() - self._began
        ticks = seconds * os.sysconf("SC_CLK_TCK")
        judged = "calm" if p99 <= CALM * p50 else "NOISY: trust ratios, not times"
        return (
            f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
            f"{busy / ticks:.2f} cores busy and {stolen / ticks:.2f} stolen over {seconds:.0f} s; "
            f"equal spins of {p50:.2f} ms took {p99:.2f} ms at p99 ({judged})"
        )


def _spin() -> float:
    began = time.perf_counter()
    for _ in range(20_000):
        pass
    return (time.perf_counter() - began) * 1000


def _jiffies() -> tuple[int, int]:
    """Return the ticks that all cores worked, and those that the hypervisor took."""
    fields = [int(it) for it in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _wait, irq, softirq, stolen = fields[:8]
    return user + nice + system + irq + softirq, stolen
