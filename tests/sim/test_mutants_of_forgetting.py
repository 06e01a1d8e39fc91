"""Deliberate bugs of forgetting: its stories notice."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from discoagent.core.effects import NodeState
from discoagent.core.entry import Cause, Entry, ReplicaId
from discoagent.core.forgetting import Forgetting, Pending
from discoagent.core.membership import Membership
from discoagent.core.peer import Peer
from tests.sim import test_forgetting
from tests.sim.mutation import Mutants

mutants = Mutants()


@mutants.caught_by(test_forgetting.test_one_that_is_down)
def a_verdict_stays_at_home(patch: pytest.MonkeyPatch) -> None:
    """Only the agent that was asked forgets."""
    patch.setattr(Forgetting, "look", lambda *_: [])


@mutants.caught_by(test_forgetting.test_it_was_only_cut_off)
def a_verdict_bans(patch: pytest.MonkeyPatch) -> None:
    """Whom an operator had forgotten never comes back."""

    def forget(self: Membership, peer: Peer, evidence: str, cause: Cause, now: float) -> object:
        effects = original(self, peer, evidence, cause, now)
        grave = self.graves[peer.replica.node]
        self.graves[peer.replica.node] = replace(grave, closed=True)
        return effects

    original = Membership.forget
    patch.setattr(Membership, "forget", forget)


def honour(change: Callable[[Peer], None]) -> Callable[[pytest.MonkeyPatch], None]:
    """Let verdicts be honoured by other rules."""

    def put(patch: pytest.MonkeyPatch) -> None:
        original = Forgetting._honour

        def changed(self: Forgetting, node: str, pending: Pending, now: float) -> Any:
            peer = self._members.peers.get(node)
            if peer is not None:
                change(peer)
            return original(self, node, pending, now)

        patch.setattr(Forgetting, "_honour", changed)

    return put


@mutants.caught_by(test_forgetting.test_somebody_hears_it)
def who_is_alive_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A verdict counts for more than a heartbeat."""

    def suspect(peer: Peer) -> None:
        peer.state = NodeState.SUSPECT if peer.state is NodeState.ALIVE else peer.state

    honour(suspect)(patch)


@mutants.caught_by(test_forgetting.test_a_live_one_is_not_forgotten_by_hiccup)
def a_sign_of_life_voids_nothing(patch: pytest.MonkeyPatch) -> None:
    """A verdict waits for the first silence."""
    patch.setattr(
        "discoagent.core.forgetting._disproved",
        lambda peer, pending: peer.replica.incarnation > pending.life.incarnation,
    )


@mutants.caught_by(test_forgetting.test_its_next_life_is_welcome)
def a_verdict_is_on_a_name(patch: pytest.MonkeyPatch) -> None:
    """Every life of that node is meant."""

    def learn(self: Membership, replica: ReplicaId, *rest: Any, **more: Any) -> object:
        if replica.node in self.graves:
            return None, []
        return original(self, replica, *rest, **more)

    original = Membership.learn
    patch.setattr(Membership, "learn", learn)


@mutants.caught_by(test_forgetting.test_a_verdict_has_its_time)
def verdicts_are_kept_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A chain holds whatever an operator ever said."""
    patch.setattr(Forgetting, "tick", lambda self, now: self.look(now))


@mutants.caught_by(test_forgetting.test_who_was_away_honours_it_later)
def verdicts_are_not_in_the_chain(patch: pytest.MonkeyPatch) -> None:
    """They go out once: whoever lost that one never hears of it."""

    def put(self: Any, entry: Entry, cause: Cause) -> object:
        before = original(self, entry, cause)
        if isinstance(entry.body, ReplicaId):
            segment = self._ring._segments[-1]
            self._ring._segments[-1] = replace(segment, until=segment.until)
            self.index.pop((entry.kind, entry.name))
        return before

    from discoagent.core.chain import Chain

    original = Chain.put
    patch.setattr(Chain, "put", put)


@mutants.caught_by(test_forgetting.test_five_that_are_forgotten_one_after_another)
def the_down_are_in_the_digest(patch: pytest.MonkeyPatch) -> None:
    """Who forgets later differs from who forgot before."""

    def counted(self: Membership, peer: Peer) -> None:
        replica = peer.replica
        self.digests.count(replica.node, peer.node.hash, replica.incarnation, peer.node.chain.clock)

    patch.setattr(Membership, "counted", counted)


@mutants.caught_by(test_forgetting.test_one_that_lags_raises_nobody)
def the_forgotten_are_told_of(patch: pytest.MonkeyPatch) -> None:
    """Graves let hearsay through."""
    patch.setattr("discoagent.core.peer.Grave.bans", lambda *_, **__: False)


@pytest.mark.parametrize("name", mutants.names())
def test_a_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The story that it breaks fails."""
    mutants.demand(name, monkeypatch)
