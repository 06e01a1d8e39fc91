"""Runs worlds by the dozen or one with its log, and says what came of them."""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from discoagent.sim.chaos import Report, run_seed
from discoagent.sim.profile import Profile

PROGRESS_EVERY = 5.0  # seconds

Replay = Callable[[int], str]
"""Returns the command that runs one seed again, with its log."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of some seeds. Times in virtual seconds; rates are of one node in one second."""

    seeds: int
    failures: tuple[Report, ...]
    virtual_seconds: float
    steps: int
    events: int
    agreed_after: tuple[float, float]  # half of the worlds; all of them
    messages_rate: float
    bytes_rate: float
    took: float

    def to_json(self, replay: Replay) -> dict[str, object]:
        """Return it for programs."""
        return {
            "seeds": self.seeds,
            "failures": [
                {"seed": it.seed, "failure": str(it.failure), "replay": replay(it.seed)}
                for it in self.failures
            ],
            "virtual_seconds": round(self.virtual_seconds, 3),
            "steps": self.steps,
            "events": self.events,
            "agreed_after_median": round(self.agreed_after[0], 3),
            "agreed_after_most": round(self.agreed_after[1], 3),
            "messages_per_node_second": round(self.messages_rate, 3),
            "bytes_per_node_second": round(self.bytes_rate, 1),
            "took_seconds": round(self.took, 3),
        }

    def lines(self) -> Iterable[str]:
        """Return it for people."""
        half, most = self.agreed_after
        yield f"{self.seeds} seeds, {len(self.failures)} failed"
        yield f"{self.virtual_seconds:,.0f} virtual s, {self.steps:,} steps, {self.events:,} events"
        yield f"after peace all agreed within {half:.2f} s (median), {most:.2f} s (at most)"
        yield (
            f"a node sent {self.messages_rate:.1f} messages, {self.bytes_rate / 1000:.2f} kB/s: "
            f"one broadcast counts for each that hears it"
        )
        yield f"took {self.took:.1f} s"


def run_one(seed: int, profile: Profile | None, replay: Replay, *, log: bool, raw: bool) -> int:
    """Run one world; return the exit code: 1 if a check failed."""
    began = time.monotonic()
    log = log and not raw
    report = run_seed(seed, print if log else None, profile, None if log else _Progress().at)
    _finish(_outcome([report], time.monotonic() - began), replay, raw=raw)
    if not raw:
        print(f"trace {report.digest}")
    return report.failure is not None


def run_many(seeds: range, profile: Profile | None, replay: Replay, *, raw: bool) -> int:
    """Run all; say how it goes on stderr, and in the end what came of it."""
    began = time.monotonic()
    progress = _Progress()
    reports: list[Report] = []
    failed = 0
    for done, seed in enumerate(seeds, 1):
        reports.append(run_seed(seed, None, profile, progress.at))
        failed += reports[-1].failure is not None
        progress.say(f"{done} of {len(seeds)} seeds, {failed} failed")
    _finish(_outcome(reports, time.monotonic() - began), replay, raw=raw)
    return bool(failed)


class _Progress:
    """Says on stderr how it goes, now and then."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def say(self, how: str) -> None:
        """Say it, unless something was said just now."""
        if time.monotonic() - self._said > PROGRESS_EVERY:
            self._said = time.monotonic()
            print(how, file=sys.stderr, flush=True)

    def at(self, virtual: float, steps: int) -> None:
        """Say how far one world is."""
        self.say(f"{virtual:.1f} virtual s, {steps:,} steps")


def _outcome(reports: list[Report], took: float) -> Outcome:
    agreed = [it.agreement for it in reports if it.failure is None] or [0.0]
    node_seconds = sum(it.node_seconds for it in reports) or 1.0
    return Outcome(
        seeds=len(reports),
        failures=tuple(it for it in reports if it.failure is not None),
        virtual_seconds=sum(it.virtual_seconds for it in reports),
        steps=sum(it.steps for it in reports),
        events=sum(it.events for it in reports),
        agreed_after=(statistics.median(agreed), max(agreed)),
        messages_rate=sum(it.messages for it in reports) / node_seconds,
        bytes_rate=sum(it.bytes for it in reports) / node_seconds,
        took=took,
    )


def _finish(outcome: Outcome, replay: Replay, *, raw: bool) -> None:
    if raw:
        print(json.dumps(outcome.to_json(replay)))
        return
    for failed in outcome.failures:
        for line in failed.tail:
            print(line)
        print(f"seed {failed.seed} failed: {failed.failure}")
        print(f"profile: {failed.profile}")
        print(f"replay: {replay(failed.seed)}")
    for line in outcome.lines():
        print(line)
