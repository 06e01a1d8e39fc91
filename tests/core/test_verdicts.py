"""What an operator says is to be forgotten: passed, honoured, dropped."""

import pytest

from discoagent.core import forgetting as forgetting_module
from discoagent.core.effects import Disconnect, NodeState, StateChanged
from discoagent.core.entry import Cause, Kind, ReplicaId
from discoagent.core.forgetting import Forgetting, verdict
from discoagent.core.membership import Membership
from discoagent.core.peer import Peer
from tests.core.vocabulary import A, B, C, D, chain_of, entry, join, meet, member, removed, snapshot

FORGOTTEN = Cause("node-forgotten", b"who", 7)
HIDDEN = FORGOTTEN._replace(at=0)  # each agent dates it for itself
E1 = entry("1")


@pytest.fixture
def forgetting(members: Membership) -> Forgetting:
    """Return what forgets at a."""
    return Forgetting(members)


def restarting(members: Membership, replica: ReplicaId = B) -> Peer:
    """Return a peer that was heard at 10, shows an entry, and restarts."""
    peer = meet(members, replica)
    join(members, peer, snapshot(replica, E1))
    members.set_state(peer, NodeState.RESTARTING, "", 12.0)
    return peer


def say(members: Membership, by: ReplicaId, *lives: ReplicaId) -> Peer:
    """Let another hold verdicts."""
    teller = members.peers.get(by.node) or meet(members, by)
    steps = [(member(), FORGOTTEN), *((verdict(life), FORGOTTEN) for life in lives)]
    delta = chain_of(*steps, replica=by).delta_since(teller.node.chain.clock)
    assert delta is not None
    join(members, teller, delta)
    return teller


def test_ours_is_a_step_of_our_chain(members: Membership, forgetting: Forgetting) -> None:
    """And what that node showed goes at once, by whom and why it was asked."""
    restarting(members)

    assert forgetting.forget("b", FORGOTTEN, 13.0) == [
        removed("b", E1, HIDDEN),
        StateChanged(B, NodeState.RESTARTING, NodeState.FORGOTTEN, "an operator said so here"),
        Disconnect("b:1"),
    ]
    assert members.own.get((Kind.FORGOTTEN, "", "b")) == verdict(B)
    assert members.graves["b"].closed is False


def test_ours_is_held_for_forget_after(members: Membership, forgetting: Forgetting) -> None:
    """Until everybody has forgotten by himself, or the node is back."""
    for peer in (restarting(members), restarting(members, C)):
        forgetting.forget(peer.replica.node, FORGOTTEN, 13.0)
    meet(members, C).heard = 20.0

    forgetting.tick(20.0)
    assert [it.body for it in members.own] == [B]
    forgetting.tick(13.0 + members.timing.forget_after)
    assert len(members.own) == 1
    forgetting.tick(14.0 + members.timing.forget_after)
    assert len(members.own) == 0


def test_that_of_another_is_honoured(members: Membership, forgetting: Forgetting) -> None:
    """At once, and with its cause."""
    restarting(members)
    say(members, C, B)

    assert forgetting.look(13.0) == [
        removed("b", E1, HIDDEN),
        StateChanged(B, NodeState.RESTARTING, NodeState.FORGOTTEN, "an operator said so on c"),
        Disconnect("b:1"),
    ]
    assert forgetting.look(14.0) == []


def test_one_that_came_with_a_scan(members: Membership, forgetting: Forgetting) -> None:
    """Who said so is not known then; what was said is."""
    restarting(members)
    teller = meet(members, C)
    members.joined(teller, teller.node.chain.install(1, {1: verdict(B)}), 12.5)

    assert forgetting.look(13.0)[0] == removed("b", E1, HIDDEN._replace(actor=b""))


def test_not_where_it_is_alive(members: Membership, forgetting: Forgetting) -> None:
    """It waits for the end of what is alive now, but for no later silence."""
    peer = meet(members, B)
    say(members, C, B)
    assert forgetting.look(13.0) == []
    members.set_state(peer, NodeState.SUSPECT, "", 13.5)
    assert forgetting.tick(14.0) != []

    peer = meet(members, B)
    say(members, D, B)
    assert forgetting.look(15.0) == []
    peer.heard = 16.0
    members.set_state(peer, NodeState.SUSPECT, "", 18.5)
    assert forgetting.tick(19.0) == []
    assert members.peers["b"] is peer


def test_not_another_life(members: Membership, forgetting: Forgetting) -> None:
    """A later one is not meant; an earlier one is over, too."""
    restarting(members, ReplicaId("b", 2))
    say(members, C, B)
    assert forgetting.look(13.0) == []

    restarting(members, D)
    say(members, C, B, ReplicaId("d", 9))
    assert [it for it in forgetting.look(13.0) if isinstance(it, Disconnect)] == [Disconnect("d:1")]


def test_the_later_of_two(members: Membership, forgetting: Forgetting) -> None:
    """Whatever order they come in."""
    restarting(members, ReplicaId("b", 2))
    meet(members, C)
    say(members, C, ReplicaId("b", 2))
    say(members, D, B)

    assert forgetting.look(13.0) != []


def test_one_that_was_taken_back(members: Membership, forgetting: Forgetting) -> None:
    """Its chain no longer holds it: the node was back there, and is silent anew."""
    peer = meet(members, B)
    teller = say(members, C, B)
    assert forgetting.look(13.0) == []
    steps = ((member(), FORGOTTEN), (verdict(B), FORGOTTEN))
    chain = chain_of(*steps, replica=C)
    chain.withdraw(verdict(B).key, FORGOTTEN)
    delta = chain.delta_since(2)
    assert delta is not None
    join(members, teller, delta)
    members.set_state(peer, NodeState.SUSPECT, "", 13.5)

    assert forgetting.tick(14.0) == []


def test_who_passed_it_is_gone(members: Membership, forgetting: Forgetting) -> None:
    """It stands all the same."""
    peer = meet(members, B)
    teller = say(members, C, B)
    assert forgetting.look(13.0) == []
    members.hide(teller, NodeState.DOWN, members.cause("node-down"), "", 13.2)
    members.set_state(peer, NodeState.SUSPECT, "", 13.5)

    assert forgetting.tick(14.0) != []


def test_it_waits_no_longer_than_it_would_be_held(
    members: Membership, forgetting: Forgetting
) -> None:
    """For one that we do not know, too."""
    say(members, C, B)
    forgetting.look(13.0)
    forgetting.tick(14.0 + members.timing.forget_after)
    restarting(members)

    assert forgetting.look(9_000.0) == []


def test_one_on_ourselves(members: Membership, forgetting: Forgetting) -> None:
    """We live."""
    say(members, C, A)

    assert forgetting.look(13.0) == []
    assert forgetting.look(14.0) == []


def test_there_are_so_many_at_most(
    members: Membership, forgetting: Forgetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ours the oldest is dropped; of others' one too many is not heeded."""
    monkeypatch.setattr(forgetting_module, "GRAVES_MAX", 1)
    for peer in (restarting(members), restarting(members, C)):
        forgetting.forget(peer.replica.node, FORGOTTEN, 13.0)
    assert [it.body for it in members.own] == [C]

    restarting(members)
    say(members, D, ReplicaId("x", 1), B)
    assert forgetting.look(13.0) == []
    assert members.counters["too-many-verdicts"] == 1
