"""What outcomes mean, on a virtual clock."""

from hypothesis import given
from hypothesis import strategies as st

from discoagent.checks import Check
from discoagent.checks.spec import RANK
from discoagent.local.entries.checks.health import HALF_LIFE, PENALTY_MAX, Health, Outcome
from discoagent.local.entries.checks.shown import OUTPUT_BYTES

P, W, C = "passing", "warning", "critical"


class Clocked:
    """A check whose outcomes come at its interval."""

    def __init__(self, *, rise: int = 1, fall: int = 1, interval: float = 1.0) -> None:
        check = Check.tcp(interval=interval, rise=rise, fall=fall)
        self.health = Health(check, "pending", flapping=False, now=0.0)
        self.now = 0.0
        self.interval = interval
        self.changes = 0

    def flaps(self) -> bool:
        """Is it held back?"""
        return self.health.flapping

    def take(self, *outcomes: str) -> str:
        """Take these in, one an interval; return the state."""
        for outcome in outcomes:
            before = self.health.state
            self.now += self.interval
            changed = self.health.take(Outcome(outcome), self.now)
            assert changed is (before != self.health.state)
            self.changes += changed
        return self.health.state


def test_pending_until_the_first_pass() -> None:
    """However many failures come before it, and whatever `rise` says."""
    for outcome in (P, W):
        clocked = Clocked(rise=3)
        assert clocked.take(C, C, C) == "pending"
        assert clocked.health.failures == 3
        assert clocked.take(outcome) == outcome
        assert (clocked.changes, clocked.health.failures) == (1, 0)


def test_rise_and_fall_count_in_a_row() -> None:
    """One that goes the other way, or says the same as before, begins the count anew."""
    clocked = Clocked(rise=2, fall=3)
    clocked.take(P)

    assert clocked.take(C, C, P, C, C) == P
    assert clocked.take(C) == C
    assert clocked.take(P, C, P) == C
    assert clocked.take(P) == P
    assert clocked.changes == 3


def test_warning_is_between() -> None:
    """It is worse than passing and better than critical."""
    clocked = Clocked(rise=2, fall=2)
    clocked.take(P)

    assert clocked.take(W, C) == C
    assert clocked.take(W, P) == P
    assert clocked.take(W, W) == W
    assert clocked.take(C, C) == C


def test_what_comes_and_goes_is_held_back() -> None:
    """After four turns for the worse it stays there, until it has calmed down."""
    clocked = Clocked()
    clocked.take(P)
    clocked.take(*[C, P] * 60)

    assert clocked.health.state == C
    assert clocked.flaps()
    assert clocked.changes == 8  # the first pass, then 4 down and 3 up
    assert clocked.health.penalty(clocked.now) <= PENALTY_MAX

    clocked.take(*[P] * int(3 * HALF_LIFE))

    assert clocked.health.state == P
    assert not clocked.flaps()
    assert clocked.changes == 9


def test_a_slow_check_flaps_too() -> None:
    """The half-life is longer where outcomes are rare."""
    clocked = Clocked(interval=60.0)
    clocked.take(P, *[C, P] * 20)

    assert clocked.flaps()
    assert clocked.changes < 12


def test_a_failure_now_and_then_is_no_flapping() -> None:
    """One in a few minutes is told each time."""
    clocked = Clocked()
    clocked.take(P)
    for _ in range(20):
        clocked.take(C, *[P] * 200)

    assert not clocked.flaps()
    assert clocked.changes == 41


def test_held_back_it_still_gets_worse() -> None:
    """From warning to critical, and not back."""
    clocked = Clocked()
    clocked.take(P, *[W, P] * 10)
    assert clocked.health.state == W

    assert clocked.take(C, W, P) == C


def test_flapping_outlives_a_restart() -> None:
    """The state was stored, the penalty was not: it begins where it holds back."""
    health = Health(Check.tcp(interval="1s"), C, flapping=True, now=5.0)

    assert not health.take(Outcome(P), 6.0)
    assert health.flapping
    assert health.take(Outcome(P), 6.0 + 2 * HALF_LIFE)


def test_output_is_cut_and_harmless() -> None:
    """A KiB is kept, nothing that a terminal would obey."""
    health = Health(Check.tcp(), P, flapping=False, now=0.0)
    health.take(Outcome(P, "\x1b[2J" + "ü" * 3_000 + "\n"), 1.0)

    assert len(health.output.encode()) <= OUTPUT_BYTES + 2  # what replaces a byte has three
    assert "\x1b" not in health.output


@given(
    st.lists(st.tuples(st.sampled_from([P, W, C]), st.floats(0.1, 30.0)), max_size=300),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_laws(outcomes: list[tuple[str, float]], rise: int, fall: int) -> None:
    """In any history."""
    health = Health(
        Check.tcp(interval="1s", rise=rise, fall=fall), "pending", flapping=False, now=0
    )
    now = 0.0
    passed = False
    for outcome, gap in outcomes:
        before = health.state
        now += gap
        health.take(Outcome(outcome), now)
        passed = passed or outcome != C

        assert (health.state == "pending") is not passed
        assert 0 <= health.penalty(now) <= PENALTY_MAX
        if before != "pending" and RANK[health.state] > RANK[before]:
            assert RANK[outcome] > RANK[before]
        if RANK[health.state] < RANK[before]:
            assert not health.flapping
            assert RANK[outcome] < RANK[before]
        if not health.flapping:
            assert health.state == health.found
