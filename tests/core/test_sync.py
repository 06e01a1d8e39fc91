"""Pull sync: who asks whom for what, and what an answer changes."""

import pytest

from discoagent.core import sync as sync_module
from discoagent.core.effects import NodeState
from discoagent.core.entry import ReplicaId
from discoagent.core.membership import Membership
from discoagent.core.messages import (
    Absent,
    Delta,
    Want,
)
from discoagent.core.peer import Peer
from discoagent.core.sync import REQUEST_TIMEOUT, STRUCK_OUT_PAUSE, Sync
from tests.core.vocabulary import (
    REGISTERED,
    B,
    C,
    D,
    added,
    ask,
    chunk,
    entry,
    join,
    meet,
    snapshot,
)

E1, E2, E3 = (entry(str(n)) for n in (1, 2, 3))
INFINITE = float("inf")


@pytest.fixture
def sync(members: Membership) -> Sync:
    """Return the sync of a."""
    return Sync(members)


class TestAsking:
    """Whom, for what, when."""

    def test_the_owner_is_asked_while_it_is_heard(self, members: Membership, sync: Sync) -> None:
        """Even if another told us first: it knows best."""
        meet(members, C)
        sync.behind(meet(members, B), 5, "c", 10.0)

        assert sync.pump(10.0) == [ask(B, 1, Want(B, 0))]
        assert sync.pump(10.0) == []  # one in flight a chain

    def test_else_a_holder(self, members: Membership, sync: Sync) -> None:
        """Whoever told us that it has more, in the order in which we learned of them."""
        meet(members, C)
        sync.behind(meet(members, B, heard=False), 5, "c", 10.0)

        assert sync.pump(10.0) == [ask(C, 1, Want(B, 0))]

    def test_chains_are_asked_for_together(
        self, members: Membership, sync: Sync, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All that one server has, in requests of bounded size."""
        monkeypatch.setattr(sync_module, "CHAINS_PER_REQUEST", 2)
        meet(members, B)
        for replica in (B, C, D):
            sync.behind(meet(members, replica, heard=replica is B), 5, "b", 10.0)

        assert sync.pump(10.0) == [ask(B, 1, Want(B, 0), Want(C, 0)), ask(B, 2, Want(D, 0))]

    def test_patience(self, members: Membership, sync: Sync) -> None:
        """A heartbeat's clock may be ahead of its delta; a gap is none of that."""
        peer = meet(members, B)
        sync.behind(peer, 5, "b", 10.0, patience=0.5)

        assert sync.due() == 10.5
        assert sync.tick(10.4) == []

        sync.behind(peer, 6, "b", 10.4)

        assert sync.tick(10.4) == [ask(B, 1, Want(B, 0))]
        assert sync.due() == 10.4 + REQUEST_TIMEOUT

    def test_nothing_that_is_known_or_nobody_s(self, members: Membership, sync: Sync) -> None:
        """Not what we have, not of a node that is down: what it had, its host's end took."""
        peer = meet(members, B)
        sync.behind(peer, 0, "b", 10.0)
        members.hide(peer, NodeState.DOWN, members.cause("node-down"), "", 10.0)
        sync.behind(peer, 5, "c", 10.0)

        assert not sync.lacking
        assert sync.due() == INFINITE

    def test_what_came_by_other_ways_is_not_asked_for(
        self, members: Membership, sync: Sync
    ) -> None:
        """A delta that overtook the heartbeat's patience ends the lack."""
        peer = meet(members, B)
        sync.behind(peer, 1, "b", 10.0, patience=0.5)
        join(members, peer, snapshot(B))

        assert sync.tick(10.5) == []
        assert not sync.lacking

    def test_what_is_lacking_of_a_former_life_is_no_matter(
        self, members: Membership, sync: Sync
    ) -> None:
        """A new life has another chain."""
        peer = meet(members, B)
        sync.behind(peer, 5, "b", 10.0, patience=0.5)
        newer = ReplicaId("b", 2)
        meet(members, newer)
        sync.behind(peer, 2, "b", 10.0)

        assert sync.tick(10.5) == [ask(B, 1, Want(newer, 0))]

    def test_silence_strikes_a_server_off(self, members: Membership, sync: Sync) -> None:
        """The next holder is asked; when there is none left, all of them anew, after a pause."""
        for holder in (C, D):
            meet(members, holder)
        peer = meet(members, B, heard=False)
        for node in ("c", "d", "gone"):
            sync.behind(peer, 5, node, 10.0)
        want = Want(B, 0)

        assert sync.pump(10.0) == [ask(C, 1, want)]
        assert sync.tick(10.0 + REQUEST_TIMEOUT) == [ask(D, 2, want)]
        assert sync.tick(13.0) == []
        assert sync.due() == 13.0 + STRUCK_OUT_PAUSE
        assert sync.tick(14.0) == [ask(C, 3, want)]


class TestBeingAnswered:
    """What an answer changes."""

    @pytest.fixture
    def peer(self, members: Membership, sync: Sync) -> Peer:
        """Return b, heard, which was asked for its chain; c and d are there too."""
        for other in (C, D):
            meet(members, other)
        peer = meet(members, B)
        sync.behind(peer, 3, "b", 10.0)
        sync.behind(peer, 3, "c", 10.0)
        sync.pump(10.0)
        return peer

    def test_a_delta_is_joined_and_shown(self, peer: Peer, sync: Sync) -> None:
        """And the lack is over."""
        effects = sync.chunk(chunk(1, snapshot(B, E1, E2)), B, 10.1)

        assert effects == [
            added("b", E1, clock=2),
            added("b", E2, clock=3),
        ]
        assert peer.node.chain.clock == 3
        assert not sync.lacking

    def test_what_is_still_missing_is_asked_for(self, peer: Peer, sync: Sync) -> None:
        """From where we stand now, and of the same server: it was of use."""
        sync.chunk(chunk(1, snapshot(B), last=False), B, 10.1)

        assert sync.chunk(chunk(1), B, 10.2) == [ask(B, 2, Want(B, 1))]
        assert peer.node.chain.clock == 1

    def test_each_chunk_gives_the_next_its_time(self, peer: Peer, sync: Sync) -> None:
        """A long transfer is not given up while it goes on."""
        sync.chunk(chunk(1, snapshot(B), last=False), B, 11.4)

        assert peer.state is NodeState.ALIVE
        assert sync.tick(12.0) == []
        assert sync.tick(13.0) == [ask(B, 2, Want(B, 1))]

    def test_a_server_that_cannot_is_struck_off(self, peer: Peer, sync: Sync) -> None:
        """It said so: the next one is asked at once."""
        assert sync.chunk(chunk(1, Absent(B)), B, 10.1) == []
        assert sync.tick(10.1 + STRUCK_OUT_PAUSE) == [ask(C, 2, Want(B, 0))]
        assert peer.node.chain.clock == 0

    def test_a_holder_that_cannot_is_followed_by_the_next(
        self, members: Membership, sync: Sync
    ) -> None:
        """Without a pause, for it is not the owner."""
        meet(members, C)
        meet(members, D)
        peer = meet(members, B, heard=False)
        sync.behind(peer, 3, "c", 10.0)
        sync.behind(peer, 3, "d", 10.0)
        sync.pump(10.0)

        assert sync.chunk(chunk(1, Absent(B)), C, 10.1) == [ask(D, 2, Want(B, 0))]

    def test_a_chain_that_did_not_fit_is_asked_for_again(
        self, members: Membership, sync: Sync
    ) -> None:
        """A server whose chunks were full is not one that cannot serve."""
        meet(members, B)
        for replica in (C, D):
            sync.behind(meet(members, replica, heard=False), 1, "b", 10.0)
        sync.pump(10.0)

        assert sync.chunk(chunk(1, snapshot(C)), B, 10.1) == [ask(B, 2, Want(D, 0))]

    def test_a_server_that_sends_nothing_of_use_is_no_server(
        self, members: Membership, sync: Sync
    ) -> None:
        """It is not asked in circles."""
        meet(members, B)
        meet(members, C)
        peer = meet(members, D, heard=False)
        for holder in ("b", "c"):
            sync.behind(peer, 3, holder, 10.0)
        sync.pump(10.0)

        assert sync.chunk(chunk(1), B, 10.1) == [ask(C, 2, Want(D, 0))]

    @pytest.mark.parametrize(
        ("number", "by"), [(1, C), (7, B)], ids=["another answers", "another number"]
    )
    def test_what_nobody_asked_for_is_counted(
        self, members: Membership, peer: Peer, sync: Sync, number: int, by: ReplicaId
    ) -> None:
        """And changes nothing."""
        assert sync.chunk(chunk(number, snapshot(B)), by, 10.1) == []
        assert members.counters == {"chunk-unasked": 1}
        assert peer.node.chain.clock == 0

    @pytest.mark.parametrize("of", [ReplicaId("b", 2), C, ReplicaId("x", 1)])
    def test_parts_of_other_chains_are_passed_by(
        self, peer: Peer, sync: Sync, of: ReplicaId
    ) -> None:
        """Another life, one that was not asked for, one that is not known."""
        sync.chunk(chunk(1, snapshot(of), last=False), B, 10.1)

        assert peer.node.chain.clock == 0
        assert sync.lacking

    def test_an_answer_that_comes_too_late(
        self, members: Membership, peer: Peer, sync: Sync
    ) -> None:
        """What was learned meanwhile is not asked for any more, nor taken twice."""
        join(members, peer, snapshot(B, E1, E2))
        sync.pump(10.1)

        assert not sync.lacking
        assert sync.chunk(chunk(1, snapshot(B, E1, E2)), B, 10.2) == []

    def test_a_question_whose_chain_began_anew(
        self, members: Membership, peer: Peer, sync: Sync
    ) -> None:
        """Its end does not end the question for the new life."""
        newer = ReplicaId("b", 2)
        meet(members, newer)
        sync.behind(peer, 2, "b", 10.1)

        assert sync.pump(10.1) == [ask(B, 2, Want(newer, 0))]
        assert sync.tick(10.0 + REQUEST_TIMEOUT) == []

    def test_a_delta_beyond_a_gap_waits(self, peer: Peer, sync: Sync) -> None:
        """A server that stood elsewhere than it was asked from has not helped."""
        later = Delta(B, 2, 3, {3: (E2, REGISTERED)}, {})

        assert sync.chunk(chunk(1, later), B, 10.1) == []
        assert peer.node.chain.gap == 3
        assert sync.tick(10.1 + STRUCK_OUT_PAUSE) == [ask(B, 2, Want(B, 0))]
