"""When checks are asked, on a virtual clock with drawn luck."""

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from discoagent.local.entries.checks.schedule import Hurry, Schedule, Slot

MANY = 10_000


class Asked:
    """A schedule that is driven as the agent drives it; each asking takes `took` seconds."""

    def __init__(self, seed: int = 1, **lanes: int) -> None:
        self.schedule: Schedule[str] = Schedule(lanes or {"network": MANY}, Random(seed).random)
        self.now = 0.0
        self.asked: list[tuple[float, str]] = []
        self.running: list[tuple[float, Slot[str]]] = []
        self.took: dict[str, float] = {}
        self.most = 0

    def add(
        self, what: str, interval: float, *, user: int = 0, hurry: Hurry = Hurry.SOON
    ) -> Slot[str]:
        """Add a check."""
        lane = next(iter(self.schedule._lanes))
        return self.schedule.add(what, lane, user, interval, self.now, hurry=hurry)

    def run(self, until: float) -> None:
        """Let the time pass."""
        while True:
            ends = min((when for when, _ in self.running), default=until + 1)
            due = self.schedule.deadline()
            when = min(ends, until + 1 if due is None else due)
            if when > until:
                self.now = until
                return
            self.now = max(self.now, when)
            over = [slot for end, slot in self.running if end <= self.now]
            self.running = [item for item in self.running if item[0] > self.now]
            for slot in over:
                self._begun(self.schedule.finish(slot, self.now))
            self._begun(self.schedule.start(self.now, MANY))

    def _begun(self, slots: list[Slot[str]]) -> None:
        for slot in slots:
            self.asked.append((self.now, slot.what))
            self.running.append((self.now + self.took.get(slot.what, 0.01), slot))
        self.most = max(self.most, len(self.running))


def test_asked_at_its_interval() -> None:
    """At once, then after a part of the interval, then regularly."""
    asked = Asked()
    asked.add("x", 5.0)
    asked.run(60.0)
    times = [when for when, _ in asked.asked]

    assert times[0] <= Hurry.SOON.value
    assert times[1] - times[0] <= 5.0
    assert {round(two - one, 3) for one, two in pairwise(times[1:])} == {5.0}


def test_a_thousand_that_begin_together_do_not_go_on_together() -> None:
    """After the first round they are spread over the interval."""
    asked = Asked()
    for number in range(1_000):
        asked.add(f"x{number}", 5.0)
    asked.run(20.0)
    in_each_half_second = [0] * 40
    for when, _ in asked.asked:
        in_each_half_second[int(when * 2) % 40] += 1

    assert all(50 <= count <= 200 for count in in_each_half_second[20:])


def test_what_is_known_is_in_no_hurry() -> None:
    """After a restart the first round is spread, too."""
    asked = Asked()
    for number in range(1_000):
        asked.add(f"x{number}", 5.0, hurry=Hurry.NONE)
    asked.run(1.0)

    assert 100 <= len(asked.asked) <= 300


def test_what_somebody_waits_for_is_asked_at_once() -> None:
    """Without any luck."""
    asked = Asked()
    asked.add("x", 5.0, hurry=Hurry.NOW)
    asked.run(0.0)

    assert asked.asked == [(0.0, "x")]


def test_a_slow_one_is_asked_again_when_it_is_done() -> None:
    """Never twice at once."""
    asked = Asked()
    asked.add("x", 1.0)
    asked.took["x"] = 7.0
    asked.run(30.0)

    assert asked.most == 1
    assert 4 <= len(asked.asked) <= 5


def test_a_bounded_number_at_once() -> None:
    """The others wait for their turn, and all have it."""
    asked = Asked(network=4)
    for number in range(40):
        asked.add(f"x{number}", 1.0)
        asked.took[f"x{number}"] = 0.5
    asked.run(30.0)

    assert asked.most == 4
    assert {what for _, what in asked.asked} == {f"x{number}" for number in range(40)}


def test_one_user_does_not_hold_up_another() -> None:
    """Fifty that hang, of one user; the one of another is asked after each of its intervals."""
    asked = Asked(network=4)
    for number in range(50):
        asked.add(f"hang{number}", 1.0, user=1)
        asked.took[f"hang{number}"] = 2.0
    asked.run(10.0)
    asked.add("mine", 5.0, user=2)
    asked.run(60.0)
    times = [when for when, what in asked.asked if what == "mine"]

    assert times[0] <= 10.0 + Hurry.SOON.value + 2.0
    assert all(two - one <= 5.0 + 2.0 for one, two in pairwise(times))


def test_what_was_dropped_is_forgotten() -> None:
    """Wherever it was: due, waiting or under way."""
    asked = Asked(network=2)
    slots = [asked.add(f"x{number}", 1.0) for number in range(200)]
    for number in range(200):
        asked.took[f"x{number}"] = 10.0
    asked.run(1.0)
    for slot in slots:
        asked.schedule.drop(slot)
        asked.schedule.drop(slot)
    asked.run(100.0)

    assert len(asked.asked) == 2
    assert len(asked.schedule) == 0
    assert asked.schedule.deadline() is None
    assert len(asked.schedule._heap) <= 64


@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 2), st.floats(0.5, 3.0), st.floats(0.0, 2.0)), max_size=8),
)
def test_everybody_is_asked(seed: int, lane: int, checks: list[tuple[int, float, float]]) -> None:
    """With any intervals and times taken: within the bound, and nobody is forgotten."""
    asked = Asked(seed, network=lane)
    for number, (user, interval, took) in enumerate(checks):
        asked.add(f"x{number}", interval, user=user)
        asked.took[f"x{number}"] = took
    asked.run(100.0)

    assert asked.most <= lane
    for number in range(len(checks)):
        assert sum(what == f"x{number}" for _, what in asked.asked) >= 2
