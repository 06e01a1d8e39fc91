"""Deliberate bugs in what is asked, told and believed: the stories of the simulator notice."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from discoagent.core import sync
from discoagent.core.detector import Detector
from discoagent.core.greeter import Greeter
from discoagent.core.hearsay import Hearsay
from discoagent.core.messages import Acquaintance, Page
from discoagent.core.peer import NEVER, Asked, Peer
from tests.scenarios.player import SCENARIOS, played
from tests.sim import test_repair, test_silence, test_stories
from tests.sim.mutation import Mutants

mutants = Mutants()


def scenario(name: str) -> None:
    """Play a golden scenario: what agents show has to be what is written."""
    (text,) = [path.read_text() for path in SCENARIOS if path.stem == name]
    assert played(text) == text


@mutants.caught_by(test_stories.test_a_stopped_process_raises_no_alarm)
def a_refusal_outweighs_a_later_sign(patch: pytest.MonkeyPatch) -> None:
    """Whoever refused or hung is gone, though it was heard since."""

    def judge(self: Detector, peer: Peer, now: float) -> Any:
        if peer.refused != NEVER and not peer.farewell:
            return self._judge_gone(peer, now - peer.sign, now)
        return original(self, peer, now)

    original = Detector._judge
    patch.setattr(Detector, "_judge", judge)


@mutants.caught_by(test_silence.test_a_host_dies_far_from_everybody)
def ages_are_dated_by_arrival(patch: pytest.MonkeyPatch) -> None:
    """What another tells is a sign of life whenever it comes, and whatever beat it is of."""

    def told(self: Detector, peer: Peer, told: Acquaintance, asked: Asked, *rest: Any) -> object:
        (_, now) = rest
        fresh = replace(told, beat=peer.beat + 1)
        return original(self, peer, fresh, asked._replace(at=now), *rest)

    original = Detector.told
    patch.setattr(Detector, "told", told)


@mutants.caught_by(test_stories.test_thirty_agents_that_boot_together)
def newcomers_do_not_greet_each_other(patch: pytest.MonkeyPatch) -> None:
    """Whoever is only told of is not spoken to."""

    def stranger(self: Hearsay, *arguments: Any) -> Any:
        with pytest.MonkeyPatch.context() as silent:
            silent.setattr(Greeter, "greet", lambda *_: [])
            peer, effects = original(self, *arguments)
        if peer is not None:
            peer.welcomed = True
        return peer, effects

    original = Hearsay._stranger
    patch.setattr(Hearsay, "_stranger", stranger)


@mutants.caught_by(partial(scenario, "newcomer"))
def a_welcome_names_nobody(patch: pytest.MonkeyPatch) -> None:
    """Whoever greets is taken to know all."""
    patch.setattr("discoagent.core.greeter.acquaintances", lambda *_: ())


@mutants.caught_by(partial(scenario, "clock-set-back-unheard"))
def only_a_welcome_tells_of_a_later_life(patch: pytest.MonkeyPatch) -> None:
    """Whose clock was set back, and who was greeted before it could greet, never hears of it."""
    patch.setattr("discoagent.core.inbox.later_life", lambda *_: ())


@mutants.caught_by(test_repair.test_a_busy_owner_far_away)
def scans_want_a_table_that_stands_still(patch: pytest.MonkeyPatch) -> None:
    """All pages have to be of one clock."""

    def accept(self: sync.Assembly, page: Page) -> bool:
        if self.floor and page.clock != self.floor:
            return False
        return original(self, page)

    original = sync.Assembly.accept
    patch.setattr(sync.Assembly, "accept", accept)


@mutants.caught_by(test_repair.test_another_goes_on_where_the_owner_stopped)
def no_other_holder_is_asked(patch: pytest.MonkeyPatch) -> None:
    """A chain comes from its owner or not at all."""

    def behind(self: sync.Sync, peer: Peer, clock: int, holder: str, *rest: Any) -> None:
        if holder == peer.replica.node:
            original(self, peer, clock, holder, *rest)

    original = sync.Sync.behind
    patch.setattr(sync.Sync, "behind", behind)


@mutants.caught_by(partial(scenario, "cut-pair"))
def witnesses_tell_no_clock(patch: pytest.MonkeyPatch) -> None:
    """What was written beyond a cut is not known to be lacking."""

    def heed(self: Hearsay, told: Acquaintance, *rest: Any) -> Any:
        return original(self, replace(told, clock=0), *rest)

    original = Hearsay.heed
    patch.setattr(Hearsay, "heed", heed)


@pytest.mark.parametrize("name", mutants.names())
def test_a_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The story that it breaks fails."""
    mutants.demand(name, monkeypatch)
