"""Links are made, lost and made again; ports are taken and given back."""

import asyncio
import contextlib
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from discoagent.core.entry import ReplicaId
from discoagent.core.messages import Envelope
from discoagent.endpoints import Endpoint
from tests.mesh.peers import Peer, hello, needs_ipv6, peers, run

# A peer of its own: says where it listens, then answers whatever it hears.
CHILD = """
import asyncio, sys
from discoagent.core.entry import ReplicaId
from discoagent.mesh.transport import Transport
async def main():
    transport = Transport(
        replica=ReplicaId("child", int(sys.argv[2])),
        cluster="c",
        bind=sys.argv[1],
        on_envelope=lambda envelope: transport.answer(envelope.sender, envelope.message),
    )
    transport.start()
    print(transport.bound, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


class Child:
    """A transport in a process of its own that echoes every message, until it is killed."""

    def __init__(self, bind: str, incarnation: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, bind, str(incarnation)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.endpoint = self.process.stdout.readline().strip()
        self.id = ReplicaId("child", incarnation)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.communicate()


@run
async def test_a_killed_peer_comes_back_on_its_port() -> None:
    """The link goes down at once, comes up by itself, and what was said meanwhile arrives."""
    first = Child("127.0.0.1:0", 1)
    with peers(Peer("a")) as (a,):
        try:
            a.transport.connect(first.endpoint)
            a.transport.send([first.endpoint], hello(1))
            await a.until(lambda: bool(a.heard))
        finally:
            first.kill()
        await a.until(lambda: not a.transport.linked(first.endpoint))
        a.transport.send([first.endpoint], hello(2))
        second = Child(first.endpoint, 2)
        try:
            await a.until(lambda: len(a.heard) == 2)
        finally:
            second.kill()

        assert a.heard == [Envelope(hello(1), first.id), Envelope(hello(2), second.id)]
        assert a.links[:3] == [(first.endpoint, up) for up in (True, False, True)]


@pytest.mark.parametrize(
    "bind",
    [
        "127.0.0.1:0",
        "localhost:0",
        "0.0.0.0:0",
        pytest.param("[::1]:0", marks=needs_ipv6),
        pytest.param("[::]:0", marks=needs_ipv6),
    ],
)
def test_every_kind_of_address(bind: str) -> None:
    """IPv4, IPv6, names and wildcards: messages and heartbeats arrive, and the port is shown."""

    async def story() -> None:
        with peers(Peer("a"), Peer("b", bind=bind)) as (a, b):
            host, port = b.transport.bound
            target = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)
            endpoint = f"{target}:{port}"
            a.transport.connect(endpoint)
            a.transport.send([endpoint], hello())
            await b.until(lambda: bool(b.heard))
            await a.subscribed_to(b)

            assert 0 < port < 65_535

    asyncio.run(story())


@needs_ipv6
@run
async def test_one_sub_hears_both_families() -> None:
    """IPv4 and IPv6 peers at once, in any order."""
    with peers(Peer("a"), Peer("b"), Peer("c", bind="[::1]:0"), Peer("d")) as (a, b, c, d):
        await a.until_linked(b, c, d)
        for other in (b, c, d):
            await a.subscribed_to(other)


@needs_ipv6
@run
async def test_all_addresses_of_ipv6_take_ipv4_too() -> None:
    """A bind on [::] serves both."""
    with peers(Peer("a"), Peer("b", bind="[::]:0")) as (a, b):
        endpoint = f"127.0.0.1:{b.transport.bound.port}"
        a.transport.connect(endpoint)
        a.transport.send([endpoint], hello())
        await b.until(lambda: bool(b.heard))


@run
async def test_a_name_is_dialled_until_it_is_there() -> None:
    """Messages wait for the name; the peer that starts later gets them."""
    with peers(Peer("b")) as (b,):
        port = b.transport.bound.port
    with peers(Peer("a")) as (a,):
        endpoint = f"localhost:{port}"
        a.transport.connect(endpoint)
        for number in range(100):
            a.transport.send([endpoint], hello(number))
        assert a.counters == {("dealer", "full"): 36}
        with peers(Peer("b", bind=f"127.0.0.1:{port}")) as (b,):
            await b.until(lambda: len(b.heard) == 64)
            await a.until(lambda: a.links == [(endpoint, True)])
            a.transport.send([endpoint], hello(1000))
            await b.until(lambda: len(b.heard) == 65)

        await a.until(lambda: a.links[-1] == (endpoint, False))


def test_a_name_s_addresses_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody answers on the first; and again from the start when the one that did is gone."""

    async def story() -> None:
        with peers(Peer("a")) as (a,):
            with peers(Peer("b")) as (b,):
                port = b.transport.bound.port

                async def found(_: Endpoint) -> list[Endpoint]:
                    return [Endpoint(host, port) for host in ("127.0.0.2", "127.0.0.1")]

                monkeypatch.setattr("discoagent.mesh.links.resolve", found)
                monkeypatch.setattr("discoagent.mesh.links.LOOKUP_INTERVAL", 0.1)
                name = f"two.invalid:{port}"
                a.transport.connect(name)
                a.transport.send([name], hello(1))
                await b.until(lambda: bool(b.heard))
                await a.until(lambda: a.links == [(name, True)])
                await a.subscribed_to(b)
            await a.until(lambda: not a.transport.linked(name))
            with peers(Peer("c", bind=f"127.0.0.2:{port}")) as (c,):
                a.transport.send([name], hello(2))
                await c.until(lambda: bool(c.heard))
                await a.subscribed_to(c)

                assert c.messages == [hello(2)]

    asyncio.run(story())


@run
async def test_a_name_that_nobody_knows_is_counted() -> None:
    """And is looked up again later, while the rest goes on."""
    with peers(Peer("a"), Peer("b")) as (a, b):
        a.transport.connect("nobody.invalid:7800")
        a.transport.connect(b.endpoint)
        beat = 0
        while not a.counters["dealer", "lookup"]:
            beat += 1
            await a.subscribed_to(b, beat=beat)

        assert not a.transport.linked("nobody.invalid:7800")


@run
async def test_redial_makes_the_link_anew() -> None:
    """Both connections of this peer, and of no other; the ROUTER takes the new for the old."""
    with peers(Peer("a"), Peer("b"), Peer("c")) as (a, b, c):
        await a.until_linked(b, c)
        await a.subscribed_to(b)
        a.transport.redial(b.endpoint)
        await a.until(lambda: a.transport.linked(b.endpoint))
        a.transport.send([b.endpoint], hello())
        await b.until(lambda: bool(b.heard))
        b.transport.answer(a.id, hello(2))
        await a.until(lambda: hello(2) in a.messages)
        await a.subscribed_to(b, beat=2)

        assert [up for endpoint, up in a.links if endpoint == b.endpoint] == [True, False, True]
        assert (c.endpoint, False) not in a.links


@run
async def test_connect_twice_and_disconnect_twice_are_once() -> None:
    """One message comes once, and after the end none."""
    with peers(Peer("a"), Peer("b"), Peer("c")) as (a, b, c):
        await a.until_linked(b, c)
        a.transport.connect(b.endpoint)
        a.transport.send([b.endpoint], hello(1))
        await b.until(lambda: bool(b.heard))
        a.transport.disconnect(b.endpoint)
        a.transport.disconnect(b.endpoint)
        a.transport.send([b.endpoint, c.endpoint], hello(2))
        await c.until(lambda: bool(c.heard))

        assert b.messages == [hello(1)]
        assert a.counters == {("dealer", "no-link"): 1}


@run
async def test_a_link_may_end_while_it_is_read() -> None:
    """What is said in answer to a message may close the connection that it came on."""
    with peers(Peer("a"), Peer("b")) as (a, b):
        await a.until_linked(b)
        a.transport.send([b.endpoint], hello())
        await b.until(lambda: bool(b.heard))

        def end(envelope: Envelope) -> None:
            a.transport.disconnect(b.endpoint)
            a.hear(envelope)

        a.transport.on_envelope = end
        for number in (1, 2, 3):
            b.transport.answer(a.id, hello(number))
        await a.until(lambda: bool(a.heard))

        assert a.messages == [hello(1)]


@run
async def test_close_gives_back_every_descriptor() -> None:
    """Links that are up, links that never were, and names that are being looked up."""
    with peers(Peer("b")) as (b,):
        before = len(os.listdir("/proc/self/fd"))
        with peers(Peer("a")) as (a,):
            await a.until_linked(b)
            for endpoint in ("127.0.0.1:1", "[::1]:1", "localhost:1", "nobody.invalid:1"):
                a.transport.connect(endpoint)
        at_b = len(os.listdir("/proc/self/fd")) - before

        assert at_b <= 2  # b notices a little later that a's two connections have ended


def test_a_thousand_links() -> None:
    """A message to a thousand peers, of whom one is there: it hears it, nobody holds it up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 8_192:
        pytest.skip(f"the system allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 8_192), hard))

    async def story() -> None:
        with (
            peers(Peer("a"), Peer("b")) as (a, b),
            socket.create_server(("127.0.0.1", 0), backlog=2_000) as mute,
        ):
            port = mute.getsockname()[1]
            absent = [f"127.0.{n // 250}.{n % 250 + 1}:{port}" for n in range(1, 1_001)]
            for endpoint in (*absent, b.endpoint):
                a.transport.connect(endpoint)
            a.transport.send((*absent, b.endpoint), hello())
            await b.until(lambda: bool(b.heard))

            assert a.counters == {}

    try:
        asyncio.run(story())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 2])
def test_a_link_without_a_descriptor_is_counted(room: int) -> None:
    """Wherever they run out; others live on, and the link can be made once there are some again."""

    async def story() -> None:
        with peers(Peer("a"), Peer("b")) as (a, b):
            with descriptors_left(room):
                a.transport.connect(b.endpoint)
            assert a.counters == {("dealer", "descriptors"): 1}
            await a.until_linked(b)

    asyncio.run(story())


@contextlib.contextmanager
def descriptors_left(room: int) -> Iterator[None]:
    """Lower the limit so that no more than `room` can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    filling: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + room, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                filling.append(os.dup(0))
        for descriptor in filling[len(filling) - room :]:
            os.close(descriptor)
        del filling[len(filling) - room :]
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in filling:
            os.close(descriptor)
