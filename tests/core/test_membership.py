"""Who is known, where, and in which state; and which links that needs."""

import pytest

from discoagent.core import membership as membership_module
from discoagent.core.effects import Connect, Disconnect, Emit, NodeState, StateChanged
from discoagent.core.entry import Kind, ReplicaId
from discoagent.core.membership import Membership
from discoagent.core.messages import Delta, Removal
from discoagent.core.peer import Peer
from tests.core.vocabulary import (
    DEREGISTERED,
    LEFT,
    REGISTERED,
    A,
    B,
    C,
    added,
    chain_of,
    entry,
    forget,
    join,
    meet,
    member,
    removed,
    snapshot,
)

B2 = ReplicaId("b", 2)
E1 = entry("1")


def down(members: Membership, peer: Peer, now: float = 20.0) -> None:
    """Let a hold a peer down."""
    members.hide(peer, NodeState.DOWN, members.cause("node-down"), "silent", now)


class TestLearning:
    """Which lives are believed."""

    def test_a_stranger_is_met(self, members: Membership) -> None:
        """It is connected to, counted, and pushed to."""
        peer, effects = members.learn(B, "b:1", 0.5, 10.0, direct=True)

        assert peer is not None
        assert effects == [Connect("b:1"), StateChanged(B, None, NodeState.ALIVE, "")]
        assert (peer.heard, peer.told) == (9.5, -float("inf"))
        assert members.targets() == ("b:1",)

    def test_what_others_tell_is_kept_apart(self, members: Membership) -> None:
        """A sign of life is direct, or told; the last of both counts."""
        peer, _ = members.learn(B, "b:1", 0.5, 10.0, direct=False)

        assert peer is not None
        assert (peer.heard, peer.told, peer.sign) == (-float("inf"), 9.5, 9.5)

    def test_the_same_life_again(self, members: Membership) -> None:
        """Directly: a sign of life, and where it lives now. By hearsay: nothing new."""
        peer = meet(members, B)

        assert members.learn(B, "x:1", 0.0, 12.0, direct=False) == (peer, [])
        assert members.learn(B, "b:2", 0.0, 12.0, direct=True) == (
            peer,
            [Disconnect("b:1"), Connect("b:2")],
        )
        assert peer.sign == 12.0

    def test_an_older_life_is_over(self, members: Membership) -> None:
        """Whoever tells of it is late."""
        meet(members, B2)

        assert members.learn(B, "b:1", 0.0, 10.0, direct=True) == (None, [])

    def test_a_newer_life_takes_over(self, members: Membership) -> None:
        """What was shown is held; all that was known of the former life's health is void."""
        peer = meet(members, B)
        join(members, peer, snapshot(B, E1))
        peer.beat, peer.farewell, peer.refused, peer.welcomed = 7, True, 9.0, True

        assert members.learn(B2, "b:1", 0.0, 12.0, direct=False) == (peer, [])
        assert (peer.beat, peer.farewell, peer.welcomed) == (0, False, False)
        assert peer.refused == -float("inf")
        assert peer.node.held == {(E1.kind, "web"): {"1": E1}}
        assert members.presence.groups(E1.kind) == ["web"]

    def test_a_newer_life_of_one_that_is_down_is_shown_as_it_comes(
        self, members: Membership
    ) -> None:
        """Nothing of the former life comes back."""
        peer = meet(members, B)
        join(members, peer, snapshot(B, E1))
        down(members, peer)

        _, effects = members.learn(B2, "b:1", 0.0, 21.0, direct=True)

        assert effects == [
            Connect("b:1"),
            StateChanged(B2, NodeState.DOWN, NodeState.ALIVE, "a new life"),
        ]
        assert join(members, peer, snapshot(B2, E1)) == [added("b", E1, clock=2)]

    def test_a_namesake_elsewhere_is_not_believed_while_the_bearer_is_heard(
        self, members: Membership
    ) -> None:
        """Afterwards it is: the node has moved."""
        peer = meet(members, B)

        assert members.learn(B2, "x:1", 0.0, 11.0, direct=True) == (None, [])
        assert members.counters == {"namesake": 1}
        assert members.learn(B2, "x:1", 0.0, 13.0, direct=True)[0] is peer
        assert peer.endpoint == "x:1"

    def test_there_are_limits(self, members: Membership, monkeypatch: pytest.MonkeyPatch) -> None:
        """On nodes, and on names whose hashes collide: both are counted and not met."""
        meet(members, B)
        monkeypatch.setattr(membership_module, "NODES_MAX", 1)

        assert members.learn(C, "c:1", 0.0, 10.0, direct=True) == (None, [])

        monkeypatch.setattr(membership_module, "NODES_MAX", 9)
        monkeypatch.setattr("discoagent.core.node.name_hash", lambda _name: members.me.hash)

        assert members.learn(C, "c:1", 0.0, 10.0, direct=True) == (None, [])
        assert members.counters == {"too-many-nodes": 1, "hash-collision": 1}


class TestForgetting:
    """What remains of a node that was down or left for long."""

    def test_hearsay_does_not_raise_it(self, members: Membership) -> None:
        """Its own word does, and so does the word of any newer life."""
        peer = meet(members, B)
        down(members, peer)

        assert forget(members, peer) == [
            StateChanged(B, NodeState.DOWN, NodeState.FORGOTTEN, "long ago"),
            Disconnect("b:1"),
        ]
        assert members.peer_at("b:1") is None
        assert members.learn(B, "b:1", 0.0, 30.0, direct=False) == (None, [])
        assert members.counters == {"grave": 1}
        assert members.learn(B, "b:1", 0.0, 30.0, direct=True)[0] is not None
        assert members.graves == {}

    def test_it_is_shown_from_its_old_clock_on(self, members: Membership) -> None:
        """A holder that lags would show again what we saw end."""
        steps = ((member(), REGISTERED), (E1, REGISTERED), (entry("1", b""), DEREGISTERED))
        past = chain_of(*steps, replica=B)
        early, late = snapshot(B, E1), past.delta_since(0)
        assert late is not None
        peer = meet(members, B)
        join(members, peer, late)
        down(members, peer)
        forget(members, peer)

        peer = meet(members, B)
        assert join(members, peer, early) == []
        assert members.presence.groups(Kind.SERVICE) == []
        members.check()
        assert join(members, peer, late) == []
        members.check()
        assert peer.shows

    def test_its_old_beats_are_known(self, members: Membership) -> None:
        """What was heard before it was forgotten is no sign of life after."""
        peer = meet(members, B)
        peer.beat = 7
        down(members, peer)
        forget(members, peer)

        assert meet(members, B).beat == 7

    def test_a_newer_life_is_shown_at_once(self, members: Membership) -> None:
        """Even if it comes while the one that was forgotten is not shown yet."""
        peer = meet(members, B)
        join(members, peer, snapshot(B, E1))
        down(members, peer)
        forget(members, peer)
        peer = meet(members, B)

        assert meet(members, B2) is peer
        assert join(members, peer, snapshot(B2, E1)) == [added("b", E1, clock=2)]
        members.check()

    def test_nor_an_older_life_s_word(self, members: Membership) -> None:
        """Whatever way it comes."""
        peer = meet(members, B2)
        down(members, peer)
        forget(members, peer)

        assert members.learn(B, "b:1", 0.0, 30.0, direct=True) == (None, [])
        assert members.learn(ReplicaId("b", 3), "b:1", 0.0, 30.0, direct=False)[0] is not None

    def test_what_left_never_comes_back(self, members: Membership) -> None:
        """Not even by its own word: that is late."""
        peer = meet(members, B)
        members.hide(peer, NodeState.LEFT, LEFT, "it left", 20.0)
        forget(members, peer)

        assert members.learn(B, "b:1", 0.0, 30.0, direct=True) == (None, [])

    def test_the_oldest_grave_goes_first(
        self, members: Membership, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There are so many graves at most."""
        monkeypatch.setattr(membership_module, "GRAVES_MAX", 1)
        for replica in (B, C):
            peer = meet(members, replica)
            down(members, peer)
            forget(members, peer)

        assert list(members.graves) == ["c"]


class TestLeaving:
    """A closed chain is a node that has left."""

    def closing(self) -> list[Delta]:
        """Return the deltas of a node that registered something and left."""
        chain = chain_of((member(), REGISTERED), (E1, REGISTERED), replica=B)
        made = chain.deltas_after(0)
        chain.withdraw(member().key, LEFT)
        return [delta for batch in [*made, *chain.deltas_after(2)] for delta in batch]

    def test_its_entries_are_gone_with_its_own_cause(self, members: Membership) -> None:
        """And it is let go of: nobody listens there any more."""
        peer = meet(members, B)
        first, last = self.closing()
        join(members, peer, first)

        assert join(members, peer, last) == [
            removed("b", E1, LEFT),
            StateChanged(B, NodeState.ALIVE, NodeState.LEFT, "it said that it leaves"),
            Disconnect("b:1"),
        ]
        assert members.targets() == ()

    def test_a_scan_of_a_closed_chain_does_not_know_why(self, members: Membership) -> None:
        """That it left is certain all the same."""
        peer = meet(members, B)
        effects = members.joined(peer, peer.node.chain.install(3, {2: E1}), 10.0)

        assert [it.event.cause.word for it in effects if isinstance(it, Emit)] == [
            "unknown",
            "node-left",
        ]
        assert peer.state is NodeState.LEFT

    def test_the_last_record_s_end_is_the_cause(self, members: Membership) -> None:
        """Not that of a version that was replaced before."""
        peer = meet(members, B)
        join(members, peer, snapshot(B, E1))
        replaced = Delta(B, 2, 3, {3: (member(), REGISTERED)}, {1: Removal(REGISTERED, 3)})
        left = Delta(B, 3, 4, {}, {3: Removal(LEFT, 4)})
        segments = [*(peer.node.chain.join(replaced) or []), *(peer.node.chain.join(left) or [])]

        assert members.joined(peer, segments, 10.0)[0] == removed("b", E1, LEFT)


class TestLinks:
    """One endpoint may be two nodes' after each other: a host that was renamed."""

    def renamed(self, members: Membership) -> tuple[Peer, Peer]:
        """Let b's endpoint be c's by now, b being down."""
        old = meet(members, B)
        new, effects = members.learn(C, "b:1", 0.0, 12.0, direct=True)
        assert new is not None
        assert effects[0] == Connect("b:1")
        return old, new

    def test_it_is_pushed_to_once(self, members: Membership) -> None:
        """Whatever names it bears."""
        self.renamed(members)

        assert members.targets() == ("b:1",)

    def test_the_former_name_s_end_cuts_no_link(self, members: Membership) -> None:
        """Neither its verdict nor its grave takes the connection of the present one."""
        old, new = self.renamed(members)

        effects = members.hide(old, NodeState.DOWN, members.cause("node-down"), "", 20.0)

        assert effects == [StateChanged(B, NodeState.ALIVE, NodeState.DOWN, "")]
        assert forget(members, old) == [
            StateChanged(B, NodeState.DOWN, NodeState.FORGOTTEN, "long ago")
        ]
        assert members.peer_at("b:1") is new

    def test_who_is_present_is_who_is_reached(self, members: Membership) -> None:
        """What is learned of the endpoint concerns the one that lives there."""
        old, new = self.renamed(members)
        down(members, old)

        assert members.peer_at("b:1") is new

        members.hide(new, NodeState.DOWN, members.cause("node-down"), "", 20.0)

        assert members.peer_at("b:1") is old

    def test_moving_away_cuts_no_link_of_another(self, members: Membership) -> None:
        """The one that stays is still reached."""
        old, _ = self.renamed(members)

        assert members.move(old, "b:2") == [Connect("b:2")]
        assert members.move(old, "b:2") == []


def test_states_are_told_once(members: Membership) -> None:
    """The same verdict again is no change, whatever its evidence."""
    peer = meet(members, B)

    assert members.set_state(peer, NodeState.SUSPECT, "silent", 12.0) == [
        StateChanged(B, NodeState.ALIVE, NodeState.SUSPECT, "silent")
    ]
    assert members.set_state(peer, NodeState.SUSPECT, "still silent", 13.0) == []
    assert (peer.since, peer.evidence) == (12.0, "still silent")


def test_only_the_present_are_in_the_digests(members: Membership) -> None:
    """A newcomer, who knows nobody that is down, agrees with those who do."""
    members.count_own()
    alone = members.digests.set, members.digests.vector
    peer = meet(members, B)

    assert (members.digests.set, members.digests.vector) != alone

    down(members, peer)

    assert (members.digests.set, members.digests.vector) == alone


def test_a_view_that_does_not_hold_together_is_noticed(members: Membership) -> None:
    """The check of every invariant sees a peer whose state and entries do not fit."""
    peer = meet(members, B)
    peer.state = NodeState.DOWN

    with pytest.raises(AssertionError):
        members.check()

    peer.state = NodeState.ALIVE
    assert members.id == A
