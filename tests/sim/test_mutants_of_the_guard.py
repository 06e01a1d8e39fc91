"""Deliberate bugs of the guard: the stories of splits notice."""

from functools import partial

import pytest

from discoagent.core.guard import Guard
from discoagent.core.peer import Peer
from tests.sim import test_guard
from tests.sim.mutation import Mutants

mutants = Mutants()
split_of_five = partial(test_guard.test_a_split_of_twelve_seconds, 3, 2, "smaller")


@mutants.caught_by(split_of_five)
def no_guard(patch: pytest.MonkeyPatch) -> None:
    """Silence is a verdict, whoever is silent."""
    patch.setattr(Guard, "holds", lambda *_: False)


@mutants.caught_by(test_guard.test_three_of_five_really_die)
def guard_for_ever(patch: pytest.MonkeyPatch) -> None:
    """As long as most are silent nobody is taken down."""
    patch.setattr(Guard, "holds", lambda self, *_: self.isolated)


@mutants.caught_by(partial(test_guard.test_a_split_of_twelve_seconds, 2, 2, ""))
def the_guard_acts_in_small_clusters(patch: pytest.MonkeyPatch) -> None:
    """Two of three peers are most of them."""
    patch.setattr("discoagent.core.guard.PEERS_MIN", 3)


@mutants.caught_by(test_guard.test_those_that_follow_more_slowly)
def no_moment_for_the_rest(patch: pytest.MonkeyPatch) -> None:
    """Once half are back, the others are down."""
    patch.setattr("discoagent.core.guard.REPRIEVE", 0.0)


@mutants.caught_by(test_guard.test_half_of_a_cluster_stays_away)
def a_moment_without_end(patch: pytest.MonkeyPatch) -> None:
    """The moment that the rest is given does not end."""
    patch.setattr("discoagent.core.guard.REPRIEVE", 10.0)


@mutants.caught_by(test_guard.test_refusals_are_no_silence)
def refusals_are_silence(patch: pytest.MonkeyPatch) -> None:
    """Only a sign of life ends a silence."""
    patch.setattr("discoagent.core.guard._silence", lambda peer, now: now - peer.sign)


@mutants.caught_by(test_guard.test_farewells_are_no_silence)
def farewells_are_silence(patch: pytest.MonkeyPatch) -> None:
    """What somebody said before it fell silent is not counted."""

    def look(self: Guard, now: float) -> None:
        said: list[Peer] = [peer for peer in self._members.peers.values() if peer.farewell]
        for peer in said:
            peer.farewell = False
        original(self, now)
        for peer in said:
            peer.farewell = True

    original = Guard.look
    patch.setattr(Guard, "look", look)


@mutants.caught_by(test_guard.test_one_that_restarts_while_we_are_cut_off)
def the_guard_holds_the_suspect_alone(patch: pytest.MonkeyPatch) -> None:
    """Whoever refused before we were cut off is taken for dead."""

    def holds(self: Guard, peer: Peer, now: float) -> bool:
        return peer.gone == float("-inf") and original(self, peer, now)

    original = Guard.holds
    patch.setattr(Guard, "holds", holds)


@mutants.caught_by(test_guard.test_nothing_is_forgotten_meanwhile)
def it_is_forgotten_all_the_same(patch: pytest.MonkeyPatch) -> None:
    """What went down before is forgotten when its time comes."""
    patch.setattr(
        "discoagent.core.detector.Detector._forgettable",
        lambda self, peer, now: now - peer.since > self._members.timing.forget_after,
    )


@pytest.mark.parametrize("name", mutants.names())
def test_a_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The story that it breaks fails."""
    mutants.demand(name, monkeypatch)
