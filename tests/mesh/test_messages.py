"""What one transport says, the others hear, each on its way."""

import asyncio

import pytest

from discoagent.core.entry import Cause, Entry, Kind, MemberRecord, ReplicaId
from discoagent.core.limits import MESSAGE_BYTES_MAX
from discoagent.core.messages import (
    Absent,
    Acquaintance,
    Delta,
    DeltaMessage,
    Digest,
    DigestReply,
    Envelope,
    Farewell,
    Message,
    Page,
    Parting,
    Refusal,
    RefusalKind,
    Removal,
    Standing,
    SyncChunk,
    SyncRequest,
    Want,
    Welcome,
)
from tests.mesh.peers import Peer, heartbeat, hello, peers, run

B = ReplicaId("b", 9)
RECORD = MemberRecord("127.0.0.1:7800", "0.1.0")
ENTRY = Entry(Kind.SERVICE, "web", "web-1", b"12345678 owner", b"body")
DELTA = Delta(
    B,
    3,
    6,
    {
        4: (ENTRY, Cause("registered", b"actor", 1_000)),
        6: (Entry(Kind.MEMBER, "", "", b"", RECORD), None),
    },
    {2: Removal(Cause("exit:SIGKILL", b"", 2_000), 6)},
)
FRIEND = Acquaintance(B, "[::1]:7800", 7, Standing.SUSPECT, 1_500)
KINDS: tuple[Message, ...] = (
    hello(),
    Welcome(1, "c", "127.0.0.1:7800", (1, 1), ("x",), 5, (FRIEND,)),
    Refusal(1, RefusalKind.CLUSTER, "other", "that is another cluster"),
    DeltaMessage((DELTA,)),
    Farewell(Parting.LEAVE, DELTA),
    Digest(2, ((B, 7),)),
    DigestReply(2, (FRIEND,)),
    SyncRequest(3, (Want(B, 4, 2, 9),)),
    SyncChunk(3, True, (DELTA, Page(B, 0, 9, {4: ENTRY}, ((4, 1),)), Absent(B))),
)


@pytest.mark.parametrize("message", KINDS, ids=lambda message: type(message).__name__)
def test_every_kind_goes_there_and_back(message: Message) -> None:
    """Over the DEALER to the ROUTER, and as an answer the other way; both know who speaks."""

    async def story() -> None:
        with peers(Peer("a"), Peer("b")) as (a, b):
            a.transport.connect(b.endpoint)
            a.transport.send([b.endpoint], message)
            await b.until(lambda: bool(b.heard))
            b.transport.answer(a.id, message)
            await a.until(lambda: bool(a.heard))

            assert b.heard == [Envelope(message, a.id)]
            assert a.heard == [Envelope(message, b.id)]
            assert a.counters == b.counters == {}

    asyncio.run(story())


@run
async def test_three_hear_one_another() -> None:
    """One message to two peers, and an answer of each, while all are linked to all."""
    with peers(Peer("a"), Peer("b"), Peer("c")) as (a, b, c):
        for one in (a, b, c):
            await one.until_linked(*({a, b, c} - {one}))
        a.transport.send([b.endpoint, c.endpoint], hello(1))
        for other in (b, c):
            await other.until(lambda other=other: bool(other.heard))  # type: ignore[misc]
            other.transport.answer(a.id, hello(2))
        await a.until(lambda: len(a.heard) == 2)

        assert b.heard == c.heard == [Envelope(hello(1), a.id)]
        assert {envelope.sender for envelope in a.heard} == {b.id, c.id}


@run
async def test_a_large_message_is_shared_by_the_queues() -> None:
    """Two peers read the same bytes."""
    entries = {
        dot: Entry(Kind.SERVICE, "web", f"{dot}", b"", bytes(10_000)) for dot in range(1, 41)
    }
    page = SyncChunk(1, False, (Page(B, 0, 40, entries),))
    with peers(Peer("a"), Peer("b"), Peer("c")) as (a, b, c):
        await a.until_linked(b, c)
        a.transport.send([b.endpoint, c.endpoint], page)
        for other in (b, c):
            await other.until(lambda other=other: bool(other.heard))  # type: ignore[misc]

        assert b.messages == c.messages == [page]


@run
async def test_messages_of_a_peer_keep_their_order() -> None:
    """As the protocol counts on, also when they come faster than one turn reads them."""
    with peers(Peer("a"), Peer("b")) as (a, b):
        await a.until_linked(b)
        for number in range(400):
            a.transport.send([b.endpoint], hello(number))
        await b.until(lambda: len(b.heard) == 400)

        assert b.messages == [hello(number) for number in range(400)]


@run
async def test_heartbeats_wait_for_the_drain() -> None:
    """They do not wake the loop, and are all there when asked for."""
    with peers(Peer("a"), Peer("b")) as (a, b):
        a.transport.connect(b.endpoint)
        await a.subscribed_to(b)
        for beat in (1, 2, 3):
            b.transport.broadcast(heartbeat(b, beat))
        await a.heartbeat_waits()
        a.heard.clear()
        a.transport.send([b.endpoint], hello())
        await b.until(lambda: hello() in b.messages)
        assert a.heard == []

        while heartbeat(b, 3) not in a.messages:
            await a.heartbeat_waits()
            a.transport.drain_heartbeats()

        assert a.heard[-3:] == [Envelope(heartbeat(b, beat), None) for beat in (1, 2, 3)]
        assert a.transport.drain_heartbeats() == 0


@run
async def test_another_cluster_is_not_heard() -> None:
    """The prefix keeps its heartbeats out, though the connection stands."""
    with peers(Peer("a"), Peer("b", cluster="other"), Peer("c"), Peer("d", cluster="other")) as (
        a,
        b,
        c,
        d,
    ):
        a.transport.connect(b.endpoint)
        a.transport.connect(c.endpoint)
        d.transport.connect(b.endpoint)
        for beat in range(5):
            await d.subscribed_to(b, beat=beat)
            await a.subscribed_to(c, beat=beat)

        assert {envelope.message for envelope in a.heard} == {heartbeat(c, n) for n in range(5)}
        assert a.counters == {}


@run
async def test_an_answer_goes_to_the_life_that_asked() -> None:
    """Two lives of one node may be connected for a while."""
    with peers(Peer("a", incarnation=1), Peer("a", incarnation=2), Peer("b")) as (old, new, b):
        for life in (old, new):
            life.transport.connect(b.endpoint)
            life.transport.send([b.endpoint], hello())
        await b.until(lambda: len(b.heard) == 2)
        b.transport.answer(new.id, hello(2))
        b.transport.answer(old.id, hello(1))
        await new.until(lambda: bool(new.heard))
        await old.until(lambda: bool(old.heard))

        assert (old.messages, new.messages) == ([hello(1)], [hello(2)])


@run
async def test_what_reaches_nobody_is_counted() -> None:
    """An answer to a stranger, a message to an endpoint without a link, one too large to send."""
    with peers(Peer("a"), Peer("b")) as (a, b):
        a.transport.answer(ReplicaId("stranger", 1), hello())
        a.transport.send([b.endpoint], hello())
        entry = Entry(Kind.SERVICE, "web", "1", b"", bytes(16_000))
        many = MESSAGE_BYTES_MAX // 16_000 + 1
        a.transport.connect(b.endpoint)
        a.transport.send(
            [b.endpoint],
            DeltaMessage((Delta(a.id, 0, many, {n + 1: (entry, None) for n in range(many)}, {}),)),
        )
        a.transport.send([b.endpoint], hello(2))
        await b.until(lambda: bool(b.heard))

        assert b.messages == [hello(2)]
        assert a.counters == {
            ("router", "unreachable"): 1,
            ("dealer", "no-link"): 1,
            ("dealer", "oversize"): 1,
        }


@run
async def test_last_words_go_out_before_the_end() -> None:
    """What is sent right before `close` or `disconnect` arrives."""
    with peers(Peer("b")) as (b,):
        for number, word in enumerate(("close", "disconnect")):
            with peers(Peer("a", incarnation=number)) as (a,):
                await a.until_linked(b)
                a.transport.send([b.endpoint], Farewell(Parting.RESTART))
                if word == "disconnect":
                    a.transport.disconnect(b.endpoint)
            await b.until(lambda number=number: len(b.heard) == number + 1)  # type: ignore[misc]
