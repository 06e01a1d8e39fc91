"""What becomes of each kind of message, as far as it is the inbox's own affair."""

from collections.abc import Callable

import pytest

from discoagent.core.effects import Answer, Disconnect, Effect, NodeState, Send, StateChanged
from discoagent.core.entry import ReplicaId
from discoagent.core.inbox import HASH_DIFFERS_MAX
from discoagent.core.messages import (
    Delta,
    DeltaMessage,
    Digest,
    DigestReply,
    Envelope,
    Farewell,
    Heartbeat,
    Hello,
    Message,
    Parting,
    Probe,
    ProbeReply,
    Refusal,
    RefusalKind,
    Removal,
    SyncChunk,
    SyncRequest,
    Welcome,
)
from discoagent.core.peer import Peer
from discoagent.core.replica import Replica
from tests.core.cluster import Cluster
from tests.core.vocabulary import LEFT, REGISTERED, A, B, C, added, entry, removed

E1, E2 = entry("1"), entry("2")
B2 = ReplicaId("b", 2)


@pytest.fixture
def a(cluster: Cluster) -> Replica:
    """Return a, which knows b; b has one entry, at clock 2."""
    a = cluster.start("a")
    cluster.start("b", "a")
    cluster.put("b", E1)
    cluster.kill("b")
    return a


@pytest.fixture
def b(a: Replica) -> Peer:
    """Return b as a knows it."""
    return a._members.peers["b"]


@pytest.fixture
def says(cluster: Cluster, a: Replica) -> Callable[..., list[Effect]]:
    """Return a way to let b, or another, say something to a."""

    def say(message: Message, by: ReplicaId | None = B) -> list[Effect]:
        effects = a.receive(Envelope(message, by), cluster.now)
        cluster._carry_out("a", effects)
        return effects

    return say


Says = Callable[..., list[Effect]]


def beat(
    b: Peer, number: int, *, clock: int = 2, spoiled: int = 0, incarnation: int = 1
) -> Heartbeat:
    """Return a heartbeat of b's; its hash is right unless spoiled."""
    chain_hash = b.node.chain.hash ^ spoiled
    return Heartbeat(b.node.hash, incarnation, number, clock, 0, 0, chain_hash)


class TestStrangers:
    """Who is not known is not heeded, but counted."""

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            (DeltaMessage((Delta(C, 0, 1, {}, {}),)), "delta-unknown"),
            (Farewell(Parting.RESTART), "farewell-unknown"),
            (Digest(1, ((C, 1),)), "digest-unknown"),
            (Probe(1, ("b",)), "probe-unknown"),
            (DigestReply(1, ()), "digest-unasked"),
            (ProbeReply(1, ()), "probe-unasked"),
            (SyncChunk(1, last=True, parts=()), "chunk-unasked"),
            (Welcome(9, "home", "c:1", (1, 1), (), 1), "welcome-unasked"),
        ],
        ids=lambda it: it if isinstance(it, str) else "",
    )
    def test_by_reason(self, a: Replica, says: Says, message: Message, reason: str) -> None:
        """Each kind has its word, for operators to see."""
        assert says(message, C) == []
        assert a.counters == {reason: 1}

    def test_one_whom_we_only_forgot(self, cluster: Cluster, a: Replica, says: Says) -> None:
        """It lives, it seems: its answer to a Hello would bring it back."""
        cluster.wait(6)
        cluster.run("a", a.forget("b", REGISTERED, cluster.now))

        effects = says(Digest(1, ((B, 1),)))
        known = a._members.digests.set
        assert [it.message for it in effects if isinstance(it, Send)] == [
            Hello(2, "home", "a:1", (1, 1), (), 2, known)
        ]
        assert says(Digest(1, ((B2, 1),)), B2) == []

    def test_a_question_without_a_sender(self, a: Replica, says: Says) -> None:
        """There is nobody to answer."""
        assert says(Hello(1, "home", "c:1", (1, 1)), None) == []
        assert a.counters == {"no-sender": 1}

    def test_a_heartbeat_of_nobody_known(self, a: Replica, b: Peer, says: Says) -> None:
        """Nor of a life that is over; its Hello comes by other ways."""
        says(Heartbeat(1, 1, 1, 1, 0, 0, 0), None)
        says(beat(b, 9, incarnation=0), None)

        assert a.counters == {"heartbeat-unknown": 2}

    def test_nobody_speaks_for_another(self, a: Replica, says: Says) -> None:
        """A delta is pushed by its owner alone."""
        says(DeltaMessage((Delta(B, 2, 3, {3: (E2, REGISTERED)}, {}),)), B)

        assert says(DeltaMessage((Delta(C, 0, 1, {}, {}),)), B) == []
        assert says(DeltaMessage((Delta(B2, 0, 1, {}, {}),)), B2) == []
        assert a.counters == {"delta-unknown": 2}


class TestHeartbeats:
    """A clock ahead, a hash that differs, a newer life."""

    def test_a_newer_life_is_greeted_where_it_lived(
        self, cluster: Cluster, b: Peer, says: Says
    ) -> None:
        """Its heartbeat says no endpoint; and one Hello is enough."""
        effects = says(beat(b, 1, incarnation=2), None)

        known = cluster.running["a"]._members.digests.set
        assert [it.message for it in effects if isinstance(it, Send)] == [
            Hello(2, "home", "a:1", (1, 1), (), 1, known)
        ]
        assert says(beat(b, 2, incarnation=2), None) == []
        assert cluster.running["a"].members(cluster.now)[1].replica == B

    def test_a_beat_that_is_known_says_nothing(self, b: Peer, says: Says) -> None:
        """Not even of a clock."""
        says(beat(b, 50), None)

        assert says(beat(b, 50, clock=9), None) == []
        assert not any(isinstance(it, Send) for it in says(beat(b, 51, clock=9), None))

    def test_a_chain_that_is_not_its_owner_s_is_fetched_anew(
        self, a: Replica, b: Peer, says: Says
    ) -> None:
        """Its hash differs at the same clock, again: what is shown stays until then."""
        for number in range(HASH_DIFFERS_MAX - 1):
            assert says(beat(b, 50 + number, spoiled=1), None) == []
        says(beat(b, 60), None)  # right again: the difference was a race
        for number in range(HASH_DIFFERS_MAX - 1):
            says(beat(b, 70 + number, spoiled=1), None)

        (asked,) = says(beat(b, 80, spoiled=1), None)

        assert isinstance(asked, Send)
        assert isinstance(asked.message, SyncRequest)
        assert [want.since for want in asked.message.wants] == [0]
        assert a.counters["chain-hash"] == 1
        assert [it.entry for it in a.lookup(E1.kind)] == [E1]

    def test_one_that_is_behind_its_own_delta(self, b: Peer, says: Says) -> None:
        """It was sent before, and came after: the two travel on different sockets."""
        assert says(beat(b, 50, clock=1, spoiled=1), None) == []


class TestFarewells:
    """How a node goes."""

    def test_a_leave_beyond_a_gap(self, a: Replica, b: Peer, says: Says) -> None:
        """The leaver answers no question any more: its word is enough."""
        closing = Delta(B, 4, 5, {}, {1: Removal(LEFT, 5)})

        effects = says(Farewell(Parting.LEAVE, closing))

        assert [it for it in effects if not isinstance(it, Send)] == [
            removed("b", E1, LEFT),
            StateChanged(B, NodeState.ALIVE, NodeState.LEFT, "it said that it leaves"),
            Disconnect("b:1"),
        ]
        assert b.state is NodeState.LEFT
        assert says(Farewell(Parting.LEAVE, closing)) == []
        assert list(a.lookup(E1.kind)) == []

    def test_a_leave_that_does_not_say_why(self, b: Peer, says: Says) -> None:
        """It has left all the same."""
        assert says(Farewell(Parting.LEAVE))[0] == removed("b", E1, LEFT._replace(at=0))
        assert b.state is NodeState.LEFT

    def test_a_late_heartbeat_does_not_bring_it_back(self, b: Peer, says: Says) -> None:
        """The two travel on different sockets."""
        says(Farewell(Parting.LEAVE))

        assert says(beat(b, 99), None) == []
        assert b.state is NodeState.LEFT


class TestGreetings:
    """What the greeter leaves to do."""

    def test_a_refusal_reaches_it(self, cluster: Cluster, a: Replica, says: Says) -> None:
        """Whoever sent it."""
        a.seeds(["x:1"], cluster.now)
        (asked,) = a._inbox._greeter._said.values()
        says(Refusal(asked.number, RefusalKind.CLUSTER, "other", "no"), C)

        assert cluster.said()[-1] == "a: is refused by c.1, CLUSTER"

    def test_an_answer_of_a_life_that_is_over(
        self, cluster: Cluster, a: Replica, says: Says
    ) -> None:
        """It tells us nothing, and no goal is set by it."""
        a.join("b:1", cluster.now)
        (asked,) = a._inbox._greeter._said.values()
        old = ReplicaId("b", 0)

        assert says(Welcome(asked.number, "home", "b:1", (1, 1), (), 9), old) == []

    def test_an_exchange_that_was_of_no_use(self, cluster: Cluster, b: Peer, says: Says) -> None:
        """The next one with that peer waits longer."""
        for number in range(50, 60):
            cluster.now += 0.5
            says(beat(b, number), None)
        b.back_off = 8.0
        (number,) = [it.number for it in _questions(cluster)]
        says(DigestReply(number, ()))

        assert b.back_off == 8.0


def _questions(cluster: Cluster) -> list[Digest]:
    sent = [it.message for it in cluster.effects["a"] if isinstance(it, Send)]
    return [it for it in sent if isinstance(it, Digest)][-1:]


class TestAnswers:
    """Questions of others, answered from what is known."""

    def test_a_probe(self, cluster: Cluster, says: Says) -> None:
        """With ages; those who are not known are passed over."""
        cluster.start("c", "a")
        (answer,) = says(Probe(7, ("b", "x")), C)

        assert isinstance(answer, Answer)
        assert isinstance(answer.message, ProbeReply)
        assert (answer.to, answer.message.number) == (C, 7)
        assert [it.replica for it in answer.message.members] == [B]

    def test_a_digest_tells_us_what_we_lack(self, cluster: Cluster, says: Says) -> None:
        """Before we answer it with what we know."""
        cluster.start("c", "a")
        cluster.said()
        effects = says(Digest(3, ((C, 1), (B, 5), (ReplicaId("x", 1), 9))), C)
        cluster.deliver()

        assert isinstance(effects[0], Answer)
        assert cluster.said()[:2] == [
            "a -> c  DigestReply b.1 at 2",
            "a -x b  SyncRequest b.1 after 2",
        ]

    def test_steps_of_one_turn_are_told_one_by_one(self, b: Peer, says: Says) -> None:
        """A message may hold several deltas, and a gap after them."""
        two = entry("1", b"v2")
        effects = says(
            DeltaMessage(
                (
                    Delta(B, 2, 3, {3: (E2, REGISTERED)}, {}),
                    Delta(B, 5, 6, {6: (two, REGISTERED)}, {2: Removal(REGISTERED, 6)}),
                )
            )
        )

        assert effects[0] == added("b", E2, clock=3)
        assert isinstance(effects[1], Send)
        assert b.node.chain.gap == 6


class TestReadiness:
    """Ready once all is here that the first one to welcome us told of."""

    def test_nobody_welcomed_us(self, cluster: Cluster) -> None:
        """The shell decides how long to wait."""
        assert not cluster.start("a", "x").ready

    def test_not_before_all_is_here(self, cluster: Cluster) -> None:
        """Also what the one who welcomed us holds of others."""
        cluster.start("a")
        cluster.start("b", "a")
        cluster.put("b", E1)
        cluster.lose = lambda by, to, message: (
            to == "c" and (by == "b" or isinstance(message, SyncChunk))
        )
        c = cluster.start("c", "a")
        asked = 1  # its first question was for both chains
        whole = cluster.running["a"].own.delta_since(0)
        assert whole is not None
        c.receive(Envelope(SyncChunk(asked, last=False, parts=(whole,)), A), cluster.now)

        assert not c.ready

        held = cluster.running["a"]._members.peers["b"].node.chain.delta_since(0)
        assert held is not None
        effects = c.receive(Envelope(SyncChunk(asked, last=True, parts=(held,)), A), cluster.now)
        cluster.run("c", effects)

        assert c.ready

    def test_what_is_gone_is_not_waited_for(self, cluster: Cluster) -> None:
        """A node that was told of and is down before its chain came."""
        cluster.start("a")
        cluster.start("b", "a")
        cluster.put("b", E1)
        cluster.lose = lambda _by, to, message: to == "c" and isinstance(message, SyncChunk)
        c = cluster.start("c", "a")
        cluster.kill("a")
        cluster.kill("b")

        assert not c.ready

        cluster.wait(6)

        assert c.ready
