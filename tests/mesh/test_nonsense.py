"""Whatever arrives is counted by its reason and does no harm to the others."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Iterator

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from discoagent.core.entry import ReplicaId
from discoagent.core.limits import MESSAGE_BYTES_MAX
from discoagent.core.messages import Envelope
from discoagent.endpoints import parse
from discoagent.mesh.sockets import bind_pair
from discoagent.mesh.transport import routing_id
from discoagent.wire import encode, topic
from tests.mesh.peers import DEADLINE, Peer, heartbeat, hello, peers, raw, run

X = ReplicaId("x", 1)
GOOD = encode(hello(), X)
GARBAGE: tuple[tuple[list[bytes], str], ...] = (
    ([b""], "size"),
    ([b"\xc1" * 50], "version"),
    ([b"GET / HTTP/1.1"], "version"),
    ([GOOD[:-4]], "malformed"),
    ([GOOD, GOOD], "frames"),
    ([b"", GOOD, b"more"], "frames"),
    ([encode(hello(), ReplicaId("y", 1))], "identity"),
    ([encode(hello(), ReplicaId("x", 2))], "identity"),
)


@pytest.mark.parametrize(("frames", "reason"), GARBAGE)
def test_garbage_at_the_router(frames: list[bytes], reason: str) -> None:
    """It is counted, its sender named, and the next message of the same connection is heard."""

    async def story() -> None:
        with peers(Peer("a")) as (a,), raw(zmq.DEALER, routing_id(X)) as dealer:
            dealer.connect(f"tcp://{a.endpoint}")
            dealer.send_multipart(frames)
            dealer.send(GOOD)
            await a.until(lambda: bool(a.heard))

            assert a.heard == [Envelope(hello(), X)]
            assert len(a.refused) == 1
            assert a.refused[0][:2] == ("router", "127.0.0.1")
            assert a.counters == {("router", a.refused[0][2]): 1}
            assert a.refused[0][2] == reason
            assert a.transport.nonsense == {"127.0.0.1": 1}

    asyncio.run(story())


@run
async def test_a_heartbeat_does_not_come_to_the_router() -> None:
    """It is a sign of life that only the PUB gives."""
    with peers(Peer("a")) as (a,), raw(zmq.DEALER, routing_id(X)) as dealer:
        dealer.connect(f"tcp://{a.endpoint}")
        dealer.send(encode(heartbeat(a, 1), None))
        await a.until(lambda: bool(a.refused))

        assert a.refused == [("router", "127.0.0.1", "misplaced")]
        assert a.heard == []


@contextlib.contextmanager
def raw_peer() -> Iterator[tuple[str, "zmq.Socket[bytes]", "zmq.Socket[bytes]"]]:
    """Return the endpoint of a bare ROUTER, it, and the bare PUB on the next port."""
    with raw(zmq.ROUTER) as router, raw(zmq.PUB) as publisher:
        yield (
            str(bind_pair(router, publisher, parse("127.0.0.1:0", any_port=True))),
            router,
            publisher,
        )


@run
async def test_garbage_of_a_publisher() -> None:
    """Everything with the cluster's prefix is looked at, and only whole heartbeats are taken."""
    prefix = topic("c")
    with peers(Peer("a")) as (a,), raw_peer() as (endpoint, _, publisher):
        a.transport.connect(endpoint)
        good = heartbeat(a, 1)
        while good not in a.messages:
            for frames in (
                [prefix + b"?"],
                [prefix],
                [prefix + GOOD],
                [prefix + encode(good, None), b"more"],
                [b"another prefix"],
                [prefix + encode(good, None)],
            ):
                publisher.send_multipart(frames)
            await a.heartbeat_waits(0.05)
            a.transport.drain_heartbeats()
        rounds = a.messages.count(good)

        assert a.messages == [good] * rounds
        assert {refusal[:2] for refusal in a.refused} == {("sub", "127.0.0.1")}
        assert {refusal[2] for refusal in a.refused} >= {"misplaced", "frames"}
        assert sum(a.counters.values()) == len(a.refused)


@run
async def test_garbage_in_answer() -> None:
    """A peer that answers nonsense is named by the endpoint that was dialled."""
    with peers(Peer("a")) as (a,), raw_peer() as (endpoint, router, _):
        a.transport.connect(endpoint)
        a.transport.send([endpoint], hello())
        await a.until(lambda: a.transport.linked(endpoint))
        assert router.poll(int(DEADLINE * 1000))
        name, _ = router.recv_multipart()
        assert name == routing_id(a.id)
        for frames in ([b"?"], [GOOD, b"more"], [encode(heartbeat(a, 1), None)], [GOOD]):
            router.send_multipart([name, *frames])
        await a.until(lambda: bool(a.heard))

        assert a.heard == [Envelope(hello(), X)]
        assert [refusal[:2] for refusal in a.refused] == [("dealer", endpoint)] * 3
        assert [refusal[2] for refusal in a.refused][1:] == ["frames", "misplaced"]


@run
async def test_an_oversize_frame_ends_its_connection() -> None:
    """It is never held in memory whole; the sender may come again, and others notice nothing."""
    with peers(Peer("a"), Peer("b")) as (a, b), raw(zmq.DEALER, routing_id(X)) as dealer:
        await b.until_linked(a)
        with dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
            dealer.connect(f"tcp://{a.endpoint}")
            dealer.send(bytes(MESSAGE_BYTES_MAX + 1))
            assert await asyncio.to_thread(monitor.poll, int(DEADLINE * 1000))
            assert recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED
            dealer.disable_monitor()
        dealer.send(GOOD)
        b.transport.send([a.endpoint], hello(2))
        await a.until(lambda: len(a.heard) == 2)

        assert Envelope(hello(), X) in a.heard
        assert Envelope(hello(2), b.id) in a.heard
        assert a.refused == []
        assert (a.endpoint, False) not in b.links


PORTS = pytest.mark.parametrize(("port", "role"), [(0, "router"), (1, "pub")])


@PORTS
def test_who_speaks_no_protocol_of_ours_is_cut_off(port: int, role: str) -> None:
    """It begins like a peer and goes on like none: one connection, one count."""

    async def story() -> None:
        with peers(Peer("a")) as (a,):
            host, at = a.transport.bound
            reader, writer = await asyncio.open_connection(host, at + port)
            writer.write(b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NONSENSE".ljust(64, b"\0"))
            async with asyncio.timeout(DEADLINE):
                with contextlib.suppress(ConnectionResetError):
                    while await reader.read(1000):
                        pass
            writer.close()
            await a.until(lambda: a.counters == {(role, "handshake"): 1})

    asyncio.run(story())


@PORTS
def test_a_browser_does_no_harm(port: int, role: str) -> None:
    """What does not begin as ZMTP does is an ancient peer to libzmq: its words come as frames."""

    async def story() -> None:
        with peers(Peer("a"), Peer("b")) as (a, b):
            host, at = a.transport.bound
            _, writer = await asyncio.open_connection(host, at + port)
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n" * 200)
            await writer.drain()
            if role == "router":
                await a.until(lambda: bool(a.refused))
            b.transport.connect(a.endpoint)
            b.transport.send([a.endpoint], hello())
            await b.subscribed_to(a)
            await a.until(lambda: bool(a.heard))
            writer.close()

            assert a.messages == [hello()]
            assert {refusal[:2] for refusal in a.refused} <= {("router", "unknown")}

    asyncio.run(story())


@run
async def test_an_endpoint_that_cannot_be_read_is_no_link() -> None:
    """A peer may tell any endpoint."""
    with peers(Peer("a")) as (a,):
        strange = ("", "here", "a:0", "a:65535", "[::1]", "a b:7800", "*:7800", "[fe80::1%/]:1")
        for endpoint in (*strange, "[fe80::1%nowhere]:7800"):
            a.transport.connect(endpoint)
            assert not a.transport.linked(endpoint)
            a.transport.disconnect(endpoint)

        assert a.counters == {("dealer", "endpoint"): len(strange)}


@run
async def test_one_busy_peer_does_not_hold_up_the_loop() -> None:
    """A flood is read in shares; in between the loop turns and others are heard."""
    turns: list[int] = []  # how many messages had come at each turn
    with peers(Peer("a"), Peer("b")) as (a, b):
        await b.until_linked(a)

        def turn() -> None:
            turns.append(len(a.heard))
            if len(a.heard) < 2_000:
                asyncio.get_running_loop().call_soon(turn)

        with raw(zmq.DEALER, routing_id(X)) as dealer:
            dealer.set(zmq.SNDHWM, 0)
            dealer.connect(f"tcp://{a.endpoint}")
            for _ in range(2_000):
                dealer.send(GOOD)
            turn()
            await a.until(lambda: len(a.heard) == 2_000)

        assert max(later - sooner for sooner, later in itertools.pairwise(turns)) <= 256


@run
async def test_a_failure_in_the_core_loses_nothing_more() -> None:
    """The message that it failed on is gone, the loop is told, those behind it are handled."""
    told: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: told.append(context["exception"])
    )
    with peers(Peer("a"), Peer("b")) as (a, b):

        def fail(envelope: Envelope) -> None:
            if envelope.message == hello(1):
                raise AssertionError("an invariant")
            a.hear(envelope)

        a.transport.on_envelope = fail
        await b.until_linked(a)
        for number in (1, 2, 3):
            b.transport.send([a.endpoint], hello(number))
        await a.until(lambda: len(a.heard) == 2)

        assert a.messages == [hello(2), hello(3)]
        assert [str(error) for error in told] == ["an invariant"]


@run
async def test_a_silent_listener_takes_no_more_than_the_queue() -> None:
    """What does not fit is dropped and counted, and nothing waits."""
    with peers(Peer("a")) as (a,), socket.create_server(("127.0.0.1", 0)) as mute:
        endpoint = f"127.0.0.1:{mute.getsockname()[1]}"
        a.transport.connect(endpoint)
        for number in range(1_000):
            a.transport.send([endpoint], hello(number))

        assert a.counters == {("dealer", "full"): 1_000 - 512}


@run
async def test_answers_that_nobody_reads_are_dropped() -> None:
    """An asker that never reads fills its own queue only."""
    answer = hello(1, "c" * 100)
    with peers(Peer("a"), Peer("b")) as (a, b), raw(zmq.DEALER, routing_id(X)) as dealer:
        dealer.set(zmq.RCVHWM, 1)
        dealer.set(zmq.RCVBUF, 4096)
        dealer.connect(f"tcp://{a.endpoint}")
        dealer.send(GOOD)
        await a.until(lambda: bool(a.heard))
        while not a.counters["router", "full"]:
            a.transport.answer(X, answer)
        await b.until_linked(a)
        b.transport.send([a.endpoint], hello(2))
        await a.until(lambda: len(a.heard) == 2)
        a.transport.answer(b.id, hello(3))
        await b.until(lambda: bool(b.heard))

        assert b.messages == [hello(3)]
