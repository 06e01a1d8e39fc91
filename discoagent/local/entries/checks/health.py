"""What the outcomes of one check mean: its state, and whether it flaps. Pure; time is handed in.

`fall` outcomes in a row that are worse make the state worse, `rise` better ones make it better. A
check that is pending takes the first outcome that is no failure. Each turn for the worse adds one
to a *penalty* that halves with time; above `HOLD` the check *flaps*: its state gets worse, but not
better, until the penalty has fallen below `RELEASE`. So a service that comes and goes makes a few
events and then none.
"""

from typing import NamedTuple

from discoagent.checks.spec import CRITICAL, PENDING, RANK, Check
from discoagent.local.entries.checks.shown import shown

HOLD = 3.5
RELEASE = 1.5
PENALTY_MAX = 12.0  # at most three half-lives until it is released
HALF_LIFE = 60.0  # seconds, and of a slow check:
HALF_LIFE_INTERVALS = 12


class Outcome(NamedTuple):
    """What came of asking once: passing, warning or critical, and what was said."""

    state: str
    output: str = ""


class Health:
    """The state of one check. `state` is what users see, `found` what it would be if held back
    by nothing; `failures` counts the critical outcomes since the last other one."""

    __slots__ = (
        "_penalty",
        "_penalty_at",
        "_run",
        "_run_is_worse",
        "at",
        "check",
        "failures",
        "flapping",
        "found",
        "output",
        "state",
        "took",
    )

    def __init__(self, check: Check, state: str, *, flapping: bool, now: float) -> None:
        self.check = check
        self.state = self.found = state
        self.flapping = flapping
        self.output = ""
        self.at: float | None = None
        self.took = 0.0
        self.failures = 0
        self._run = 0
        self._run_is_worse = False
        self._penalty = HOLD if flapping else 0.0
        self._penalty_at = now

    def take(self, outcome: Outcome, now: float, took: float = 0.0) -> bool:
        """Take in an outcome; return whether `state` has changed."""
        self.output, self.at, self.took = shown(outcome.output), now, took
        self.failures = self.failures + 1 if outcome.state == CRITICAL else 0
        before = self.state
        worse = self._find(outcome.state)
        if worse:
            self._penalty = min(self.penalty(now) + 1, PENALTY_MAX)
            self._penalty_at = now
        if self._penalty and self.penalty(now) < RELEASE:
            self.flapping = False
        elif worse and self._penalty >= HOLD:
            self.flapping = True
        if not self.flapping or RANK[self.found] > RANK[self.state]:
            self.state = self.found
        return self.state != before

    def _find(self, outcome: str) -> bool:
        """Count the outcomes in a row; return whether `found` became worse."""
        if self.found == PENDING:
            self.found = PENDING if outcome == CRITICAL else outcome
            return False
        if outcome == self.found:
            self._run = 0
            return False
        worse = RANK[outcome] > RANK[self.found]
        self._run = self._run + 1 if worse is self._run_is_worse else 1
        self._run_is_worse = worse
        if self._run < (self.check.fall if worse else self.check.rise):
            return False
        self.found, self._run = outcome, 0
        return worse

    def penalty(self, now: float) -> float:
        """Return what is left of the penalty."""
        return float(self._penalty * 0.5 ** ((now - self._penalty_at) / self.half_life))

    @property
    def half_life(self) -> float:
        """Seconds in which the penalty halves."""
        return max(HALF_LIFE, HALF_LIFE_INTERVALS * self.check.interval_ms / 1000)
