"""Pull sync: scans and what an unfinished one survives; what is served, and how much at once."""

import pytest

from discoagent.core import chain as chain_module
from discoagent.core import ring as ring_module
from discoagent.core import sync as sync_module
from discoagent.core.effects import Answer, Effect, NodeState
from discoagent.core.entry import ReplicaId
from discoagent.core.membership import Membership
from discoagent.core.messages import (
    Absent,
    Delta,
    DeltaMessage,
    Message,
    Page,
    Part,
    SyncChunk,
    SyncRequest,
    Want,
)
from discoagent.core.peer import Peer
from discoagent.core.sync import Assembly, Sync
from tests.core.cluster import Cluster, nothing_is_lost
from tests.core.vocabulary import (
    REGISTERED,
    A,
    B,
    C,
    D,
    ask,
    chain_of,
    chunk,
    entry,
    join,
    meet,
    member,
    register,
    snapshot,
    state,
)

E1, E2, E3 = (entry(str(n)) for n in (1, 2, 3))


@pytest.fixture
def sync(members: Membership) -> Sync:
    """Return the sync of a."""
    return Sync(members)


class TestScans:
    """Pages, which are aside until the last one came."""

    PAGES = (
        Page(B, 0, 4, {1: member(), 2: E1}),
        Page(B, 2, 6, {5: E2, 6: E3}, ((1, 1), (5, 2))),
    )

    @pytest.fixture
    def peer(self, members: Membership, sync: Sync) -> Peer:
        """Return b, told of by c, which was asked for its chain."""
        meet(members, C)
        meet(members, D)
        peer = meet(members, B, heard=False)
        for holder in ("c", "d"):
            sync.behind(peer, 6, holder, 10.0)
        sync.pump(10.0)
        return peer

    def test_all_of_it_is_shown_at_once(self, peer: Peer, sync: Sync) -> None:
        """What the last page does not name is gone; entries come without their causes."""
        first, last = self.PAGES

        assert sync.chunk(chunk(1, first, last=False), C, 10.1) == []
        assert peer.node.chain.clock == 0

        effects = sync.chunk(chunk(1, last), C, 10.2)

        assert [it.event.entry for it in effects if hasattr(it, "event")] == [E2, E3]
        assert dict(peer.node.chain.live()) == {1: member(), 5: E2, 6: E3}

    def test_another_server_goes_on_where_one_stopped(self, peer: Peer, sync: Sync) -> None:
        """The question says how far the assembly is, and at which clock it was read."""
        first, last = self.PAGES
        sync.chunk(chunk(1, first, last=False), C, 10.1)

        assert sync.tick(11.6) == [ask(C, 2, Want(B, 0, 2, 4))]  # it was of use
        assert sync.tick(13.1) == [ask(D, 3, Want(B, 0, 2, 4))]

        sync.chunk(chunk(3, last), D, 13.2)

        assert peer.node.chain.clock == 6

    def test_a_page_out_of_line_is_dropped(
        self, members: Membership, peer: Peer, sync: Sync
    ) -> None:
        """One that does not continue, or was read before what we have."""
        first, last = self.PAGES
        sync.chunk(chunk(1, last, last=False), C, 10.1)
        sync.chunk(chunk(1, first, last=False), C, 10.2)
        older = Page(B, 2, 3, {3: E2}, ((1, 3),))
        sync.chunk(chunk(1, older, last=False), C, 10.3)
        empty = Page(B, 2, 4, {})
        sync.chunk(chunk(1, empty, last=False), C, 10.4)

        assert members.counters == {"page-out-of-line": 3}
        assert peer.node.chain.clock == 0

        sync.chunk(chunk(1, last), C, 10.5)

        assert peer.node.chain.clock == 6

    @pytest.mark.parametrize("live", [((1, 9),), ((7, 1),)], ids=["too many", "unknown"])
    def test_a_scan_that_lacks_what_is_alive_begins_anew(
        self, members: Membership, peer: Peer, sync: Sync, live: tuple[tuple[int, int], ...]
    ) -> None:
        """Nothing is installed that is not exactly what the last page names."""
        page = Page(B, 0, 7, {1: member(), 2: E1}, live)

        assert sync.chunk(chunk(1, page), C, 10.1) == [ask(C, 2, Want(B, 0))]
        assert members.counters == {"scan-broken": 1}
        assert peer.node.chain.clock == 0

    def test_live_deltas_never_touch_an_assembly(self, peer: Peer, sync: Sync) -> None:
        """They wait in the tail, and follow what is installed."""
        first, last = self.PAGES
        sync.chunk(chunk(1, first, last=False), C, 10.1)
        gone = chain_of((member(), REGISTERED)).delta_since(0)
        assert gone is not None
        peer.node.chain.join(Delta(B, 6, 7, {7: (E1, REGISTERED)}, {}))

        assert peer.node.chain.clock == 0

        sync.chunk(chunk(1, last), C, 10.2)

        assert dict(peer.node.chain.live()) == {1: member(), 5: E2, 6: E3, 7: E1}

    def test_a_handover_waits_for_a_scan(self, members: Membership, sync: Sync) -> None:
        """Held entries are not let go of while pages of the new life still come."""
        peer = meet(members, B)
        join(members, peer, snapshot(B, E1))
        newer = ReplicaId("b", 2)
        meet(members, newer)
        sync.behind(peer, 6, "b", 10.0)
        sync.pump(10.0)
        until = peer.node.held_until
        sync.chunk(chunk(1, Page(newer, 0, 4, {1: member()}), last=False), B, until - 1)

        assert peer.node.held_until == until - 1 + members.timing.down_after

    def test_an_assembly_takes_its_own_chain_s_pages_only(self) -> None:
        """A page of another life is no continuation."""
        assert not Assembly(C).accept(self.PAGES[0])


class TestServing:
    """What is answered."""

    @pytest.fixture(autouse=True)
    def own(self, members: Membership) -> None:
        """Let a have three entries; its own chain is at clock 4."""
        register(members, member(), E1, E2, E3)

    def served(self, effects: list[Effect]) -> list[tuple[Part, ...]]:
        """Return the parts of each chunk; the last one alone closes the request."""
        messages: list[Message] = [it.message for it in effects if isinstance(it, Answer)]
        chunks = [it for it in messages if isinstance(it, SyncChunk)]
        assert [it.last for it in chunks] == [False] * (len(chunks) - 1) + [True]
        return [it.parts for it in chunks]

    def serve(self, sync: Sync, *wants: Want, by: ReplicaId = B) -> list[tuple[Part, ...]]:
        """Serve a request."""
        return self.served(sync.serve(SyncRequest(1, wants), by))

    def test_a_net_delta_where_the_ring_reaches(self, sync: Sync) -> None:
        """Our own chain, from where the asker stands."""
        ((part,),) = self.serve(sync, Want(A, 2))

        assert isinstance(part, Delta)
        assert (part.since, part.until) == (0, 4)

    def test_a_scan_where_it_does_not(
        self, members: Membership, sync: Sync, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Pages from the start, or from where the asker's assembly is."""
        monkeypatch.setattr(chain_module, "CHUNK_ENTRIES_MAX", 3)
        members.own._ring.clear()
        first = Page(A, 0, 4, {1: member(), 2: E1, 3: E2})
        last = Page(A, 3, 4, {4: E3}, ((1, 4),))

        assert self.serve(sync, Want(A, 0)) == [(first, last)]
        assert self.serve(sync, Want(A, 0, 3, 4)) == [(last,)]

    def test_others_chains_too(self, members: Membership, sync: Sync) -> None:
        """Unchanged, as they came."""
        peer = meet(members, C)
        join(members, peer, snapshot(C, E1))

        assert self.serve(sync, Want(C, 0)) == [(snapshot(C, E1),)]

    @pytest.mark.parametrize(
        "want",
        [
            Want(A, 4),
            Want(A, 0, 2, 5),
            Want(ReplicaId("a", 2), 0),
            Want(ReplicaId("x", 1), 0),
            Want(B, 0),
        ],
        ids=["no more", "read later than we are", "another life", "unknown", "its own"],
    )
    def test_what_cannot_be_served_is_said_to_be_absent(
        self, members: Membership, sync: Sync, want: Want
    ) -> None:
        """So that the asker turns to another at once. Nobody is told what it said itself."""
        join(members, meet(members, B), snapshot(B, E1))

        assert self.serve(sync, want) == [(Absent(want.replica),)]

    def test_not_what_is_down(self, members: Membership, sync: Sync) -> None:
        """We show nothing of it, so we vouch for nothing of it."""
        peer = meet(members, C)
        join(members, peer, snapshot(C, E1))
        members.hide(peer, NodeState.DOWN, members.cause("node-down"), "", 10.0)

        assert self.serve(sync, Want(C, 0)) == [(Absent(C),)]

    def test_chunks_are_bounded_in_weight_and_number(
        self, members: Membership, sync: Sync, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The rest is asked for again: that is the flow control."""
        members.own._ring.clear()
        for module in (chain_module, sync_module):
            monkeypatch.setattr(module, "CHUNK_BYTES_MAX", 1)
        monkeypatch.setattr(sync_module, "CHUNKS_PER_REQUEST", 3)

        served = self.serve(sync, Want(A, 0))

        assert [
            [sorted(it.entries) for it in parts if isinstance(it, Page)] for parts in served
        ] == [
            [[1]],
            [[2]],
            [[3]],
        ]

    def test_chunks_are_bounded_in_parts(self, sync: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
        """However light they are."""
        monkeypatch.setattr(sync_module, "CHAINS_PER_REQUEST", 2)
        wants = [Want(ReplicaId(f"n{n}", 1), 0) for n in range(5)]

        assert [len(parts) for parts in self.serve(sync, *wants)] == [2, 2, 1]

    def test_a_net_that_does_not_fit_is_followed_by_the_next(
        self, members: Membership, sync: Sync, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Delta after delta, each from where the last one ended."""
        members.own.deltas_after(0)
        register(members, entry("1", b"v2"))
        monkeypatch.setattr(ring_module, "CHUNK_BYTES_MAX", 1)

        ((first, second),) = self.serve(sync, Want(A, 0))

        assert isinstance(first, Delta)
        assert isinstance(second, Delta)
        assert (first.until, second.since, second.until) == (4, 4, 5)


def test_a_large_table_reaches_a_newcomer_through_a_holder(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scan, many requests, no word from the owner; then the tail, and not an event too many."""
    a = cluster.start("a")
    cluster.start("b", "a")
    cluster.put("a", *(entry(f"{n:03}") for n in range(60)))
    cluster.running["b"]._members.peers["a"].node.chain._ring.clear()
    monkeypatch.setattr(chain_module, "CHUNK_ENTRIES_MAX", 4)
    monkeypatch.setattr(sync_module, "CHUNK_BYTES_MAX", 500)
    cluster.lose = lambda by, to, message: (
        (by, to) == ("a", "c") and not isinstance(message, DeltaMessage)
    )
    c = cluster.start("c", "b")
    cluster.put("a", entry("000", b"v2"))

    assert len(cluster.shown("c")) == 60
    assert c.ready
    assert state(c._members.peers["a"].node.chain) == state(a.own)
    cluster.lose = nothing_is_lost
