"""Transports that remember what they hear, and raw sockets that keep to no rule."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Coroutine, Iterator

import pytest
import zmq

from discoagent.core.entry import ReplicaId
from discoagent.core.messages import Envelope, Heartbeat, Hello, Message
from discoagent.mesh.transport import Transport
from discoagent.wire import WireError

DEADLINE = 20.0  # seconds; what is waited for comes within milliseconds


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this host has no IPv6")


class Peer:
    """A transport and all that it reported."""

    def __init__(
        self,
        node: str,
        *,
        bind: str = "127.0.0.1:0",
        cluster: str = "c",
        incarnation: int = 1,
    ) -> None:
        self.id = ReplicaId(node, incarnation)
        self.heard: list[Envelope] = []
        self.links: list[tuple[str, bool]] = []
        self.refused: list[tuple[str, str, str]] = []
        self._changed = asyncio.Event()
        self.transport = Transport(
            replica=self.id,
            cluster=cluster,
            bind=bind,
            on_envelope=self.hear,
            on_link=self._on_link,
            on_nonsense=self._on_nonsense,
        )
        self.endpoint = str(self.transport.bound)
        self.counters = self.transport.counters
        self.transport.start()

    def hear(self, envelope: Envelope) -> None:
        """Remember an envelope."""
        self.heard.append(envelope)
        self._changed.set()

    @property
    def messages(self) -> list[Message]:
        """What was heard, without the senders."""
        return [envelope.message for envelope in self.heard]

    def _on_link(self, endpoint: str, up: bool) -> None:
        self.links.append((endpoint, up))
        self._changed.set()

    def _on_nonsense(self, socket: str, peer: str, error: WireError) -> None:
        self.refused.append((socket, peer, error.reason))
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; it is asked after each report."""
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_linked(self, *others: "Peer") -> None:
        """Connect to the others and wait for the links."""
        for other in others:
            self.transport.connect(other.endpoint)
        await self.until(lambda: all(self.transport.linked(other.endpoint) for other in others))

    async def heartbeat_waits(self, seconds: float = DEADLINE) -> bool:
        """Wait until the SUB socket holds something, or `seconds` are over; return which."""
        subscriber = self.transport._subscriber
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(subscriber.FD, readable.set)
        try:
            async with asyncio.timeout(seconds):
                while not int(subscriber.get(zmq.EVENTS)) & zmq.POLLIN:
                    readable.clear()
                    await readable.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(subscriber.FD)
        return True

    async def subscribed_to(self, other: "Peer", *, beat: int = 0) -> None:
        """Let the other publish until it is heard: nobody tells when a subscription is in force."""
        async with asyncio.timeout(DEADLINE):
            while heartbeat(other, beat) not in self.messages:
                other.transport.broadcast(heartbeat(other, beat))
                await self.heartbeat_waits(0.05)
                self.transport.drain_heartbeats()


def run(story: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """Make a test of a coroutine function."""

    @functools.wraps(story)
    def test() -> None:
        asyncio.run(story())

    return test


@contextlib.contextmanager
def peers(*made: Peer) -> Iterator[tuple[Peer, ...]]:
    """Close the peers at the end."""
    try:
        yield made
    finally:
        for peer in made:
            peer.transport.close()


def hello(number: int = 1, text: str = "c") -> Hello:
    """Return a small message that the number tells apart."""
    return Hello(number, text, "127.0.0.1:7800", (1, 1))


def heartbeat(peer: Peer, beat: int) -> Heartbeat:
    """Return a heartbeat of a peer; its node's hash is the sum of the name's letters."""
    return Heartbeat(sum(peer.id.node.encode()), peer.id.incarnation, beat, 4, 5, 6, 7)


@contextlib.contextmanager
def raw(kind: int, name: bytes = b"") -> Iterator["zmq.Socket[bytes]"]:
    """Return a bare ZeroMQ socket of a context of its own."""
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.set(zmq.LINGER, 0)
        if name:
            socket.set(zmq.ROUTING_ID, name)
        yield socket
