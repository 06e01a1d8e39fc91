"""Anti-entropy: when two views differ for long enough, one asks, and how often."""

from itertools import pairwise

import pytest

from discoagent.core.effects import Answer, NodeState, Send
from discoagent.core.exchange import (
    ANSWER_TIMEOUT,
    BACK_OFF_MAX,
    BACK_OFF_MIN,
    DUE_AFTER,
    MAJORITY_PATIENCE,
    Exchange,
)
from discoagent.core.membership import Membership
from discoagent.core.messages import Digest, DigestReply, Heartbeat
from discoagent.core.peer import Peer
from tests.core.cluster import Cluster
from tests.core.vocabulary import A, B, C, D, entry, forget, join, meet, snapshot


@pytest.fixture
def exchange(members: Membership) -> Exchange:
    """Return the exchange of a."""
    members.count_own()
    return Exchange(members)


@pytest.fixture
def b(members: Membership) -> Peer:
    """Return b, whose chain we hold at clock 1."""
    peer = meet(members, B)
    join(members, peer, snapshot(B))
    return peer


def hears(
    members: Membership, exchange: Exchange, peer: Peer, at: float, **spoiled: int
) -> list[Send]:
    """Let a hear what a peer's view is: its own, but for digests that are spoiled."""
    heartbeat = Heartbeat(
        peer.node.hash,
        1,
        1,
        1,
        members.digests.set ^ spoiled.get("set", 0),
        members.digests.vector ^ spoiled.get("vector", 0),
        0,
    )
    effects = exchange.heard(peer, heartbeat, at)
    sent = [it for it in effects if isinstance(it, Send)]
    assert sent == effects
    return sent


def test_equal_views_need_no_words(members: Membership, exchange: Exchange, b: Peer) -> None:
    """However often they are compared."""
    assert [hears(members, exchange, b, at) for at in range(10)] == [[]] * 10


@pytest.mark.parametrize("differs", [{"set": 1}, {"vector": 1}], ids=["set", "vector"])
def test_views_that_differ_for_long_enough(
    members: Membership, exchange: Exchange, b: Peer, differs: dict[str, int]
) -> None:
    """Three heartbeats (a vector has to stand still first): then all that we know is sent."""
    first = 1 if "vector" in differs else 0
    for number in range(DUE_AFTER - 1 + first):
        assert hears(members, exchange, b, 10.0 + number, **differs) == []

    assert hears(members, exchange, b, 20.0, **differs) == [
        Send(("b:1",), Digest(1, ((A, 0), (B, 1))))
    ]
    assert members.counters == {"digest-asked": 1}


def test_one_that_agrees_in_between_begins_anew(
    members: Membership, exchange: Exchange, b: Peer
) -> None:
    """A difference of a moment is a change under way."""
    for _ in range(DUE_AFTER - 1):
        hears(members, exchange, b, 10.0, set=1)
    hears(members, exchange, b, 10.0)
    for _ in range(DUE_AFTER - 1):
        assert hears(members, exchange, b, 10.0, set=1) == []


def test_vectors_that_move_are_no_difference(
    members: Membership, exchange: Exchange, b: Peer
) -> None:
    """Under load they always differ somewhere."""
    for number in range(1, 20):
        assert hears(members, exchange, b, 10.0 + number, vector=number) == []


def test_the_odd_one_out_asks_first(members: Membership, exchange: Exchange, b: Peer) -> None:
    """More others agree with us: it is for b to ask, and for us only if it does not."""
    for peer in [meet(members, replica) for replica in (C, D)]:
        hears(members, exchange, peer, 10.0)
    patience = DUE_AFTER + MAJORITY_PATIENCE
    for number in range(patience - 1):
        assert hears(members, exchange, b, 11.0 + number, set=1) == []

    assert hears(members, exchange, b, 20.0, set=1) != []


def test_we_count_ourselves(members: Membership, exchange: Exchange, b: Peer) -> None:
    """One agrees with us: we are two against b. Who is down has no vote."""
    hears(members, exchange, meet(members, C), 10.0)
    for number in range(DUE_AFTER):
        assert hears(members, exchange, b, 11.0 + number, set=1) == []

    d = meet(members, D)
    members.hide(d, NodeState.DOWN, members.cause("node-down"), "", 14.0)
    d.last_digests = b.last_digests
    assert hears(members, exchange, b, 14.5, set=1) == []


def test_two_against_two_ask_at_once(members: Membership, exchange: Exchange, b: Peer) -> None:
    """There is no odd one out."""
    hears(members, exchange, meet(members, C), 10.0)
    d = meet(members, D)
    for number in range(DUE_AFTER - 1):
        for peer in (b, d):
            assert hears(members, exchange, peer, 11.0 + number, set=1) == []

    assert hears(members, exchange, b, 14.0, set=1) != []


def test_one_question_at_a_time(members: Membership, exchange: Exchange, b: Peer) -> None:
    """To whomever; the next one when it was answered, or its time is over."""
    c = meet(members, C)
    for _ in range(DUE_AFTER):
        hears(members, exchange, b, 10.0, set=1)
        assert hears(members, exchange, c, 10.0, set=1) == []

    assert hears(members, exchange, c, 10.0 + ANSWER_TIMEOUT, set=1) != []


def test_it_waits_longer_and_longer(members: Membership, exchange: Exchange, b: Peer) -> None:
    """While nothing changes; an exchange that was of use, or equal views, end that."""
    times = [quarter / 4 for quarter in range(4 * 120)]
    asked = [at for at in times if hears(members, exchange, b, at, set=1)]
    waits = [later - sooner for sooner, later in pairwise(asked)]

    assert waits == [BACK_OFF_MIN, 4.0, 8.0, 16.0, BACK_OFF_MAX, BACK_OFF_MAX]

    exchange.changed(b)

    assert b.back_off == 0.0

    b.back_off = 8.0
    hears(members, exchange, b, 200.0)

    assert b.back_off == 0.0


def test_who_is_down_is_not_spoken_of(members: Membership, exchange: Exchange, b: Peer) -> None:
    """Neither in what we ask nor in what we answer."""
    c = meet(members, C)
    members.hide(c, NodeState.DOWN, members.cause("node-down"), "", 10.0)
    for _ in range(DUE_AFTER - 1):
        hears(members, exchange, b, 10.0, set=1)
    (question,) = hears(members, exchange, b, 10.0, set=1)

    assert isinstance(question.message, Digest)
    assert [replica for replica, _ in question.message.known] == [A, B]

    (answer,) = exchange.asked(Digest(4, ()), C, 10.0)

    assert isinstance(answer, Answer)
    assert isinstance(answer.message, DigestReply)
    assert (answer.to, answer.message.number) == (C, 4)
    assert [told.replica for told in answer.message.members] == [B]


def test_an_answer_counts_once_and_from_whom_it_was_asked(
    members: Membership, exchange: Exchange, b: Peer
) -> None:
    """It is dated by the question."""
    for _ in range(DUE_AFTER):
        hears(members, exchange, b, 10.0, set=1)
    reply = DigestReply(1, ())

    assert exchange.answered(reply, C) is None
    assert exchange.answered(DigestReply(2, ()), B) is None

    asked = exchange.answered(reply, B)

    assert asked is not None
    assert asked.at == 10.0
    assert exchange.answered(reply, B) is None
    assert members.counters["digest-unasked"] == 3


def test_two_that_know_different_others_meet_them(cluster: Cluster) -> None:
    """The exchange at work: b and c know a each, but not each other, for their Hellos got lost."""
    cluster.start("a")
    cluster.lose = lambda by, to, _message: {by, to} == {"b", "c"}
    cluster.start("b", "a")
    cluster.start("c", "a")
    for node, other in (("b", "c"), ("c", "b")):
        members = cluster.running[node]._members
        if other in members.peers:
            peer = members.peers[other]
            members.hide(peer, NodeState.DOWN, members.cause("node-down"), "", cluster.now)
            forget(members, peer)
            members.graves.clear()
    cluster.put("b", entry())
    cluster.lose = lambda _by, _to, _message: False
    cluster.said()
    cluster.wait(12)

    assert [node for node, _ in cluster.shown("c")] == ["b"]
    assert any("Digest " in line for line in cluster.said())
    cluster.wait(30)
    cluster.said()
    cluster.wait(30)
    assert cluster.said() == []
