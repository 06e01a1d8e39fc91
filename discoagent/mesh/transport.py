"""The mesh: messages to and from the other agents, over four kinds of ZeroMQ sockets.

    ROUTER  port P      hears every peer's messages, answers on the connection on which it was asked
    PUB     port P + 1  this node's heartbeats
    DEALER  one a peer  messages to it, and its answers
    SUB     one for all the peers' heartbeats; never wakes the loop: `drain_heartbeats` empties it

Nothing here waits, nothing is sent twice: a full queue drops and counts, and the protocol repairs.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import zmq

from discoagent.core.entry import ReplicaId
from discoagent.core.messages import Envelope, Heartbeat, Message, ProbeReply
from discoagent.endpoints import Endpoint, parse
from discoagent.errors import DiscoError
from discoagent.mesh.links import Link
from discoagent.mesh.sockets import (
    HANDSHAKE_FAILED,
    Drain,
    Monitor,
    bind_pair,
    new_context,
    new_publisher,
    new_router,
    new_subscriber,
    routing_id,
)
from discoagent.wire import NO_EXTENSIONS, TOPIC_BYTES, WireError, decode, encode, topic
from discoagent.wire.extensions import of_wall_clock

__all__ = ["Transport", "routing_id"]

SHARED_FRAME_BYTES_MIN = 16 * 1024  # from here on the queues of all peers share one copy
HEARTBEATS_PER_DRAIN = 4096  # at least; what is left waits for the next tick
PEERS_COUNTED_MAX = 1024


def _ignore(*_: object) -> None:
    """Pass a report by that nobody asked for."""


class Transport:
    """One agent's sockets. Everything is called from the loop's thread, and called back there.

    `counters` holds what came to nothing, by (socket, reason); a socket is router, dealer, sub or
    pub. The reasons of a received message are WireError's, and
      frames       more than the one frame of a message
      misplaced    a kind that this socket does not carry
      identity     the sender is not whom the connection names
      entry        `check` did not like what it holds
    of a message to send
      full         dropped, for the peer does not keep up
      unreachable  the asker is gone
      no-link      the endpoint was not connected
      oversize     over MESSAGE_BYTES_MAX
    and of a connection
      handshake    the other side speaks no ZeroMQ, or is mute
      endpoint     what to connect to cannot be read
      lookup       the name cannot be looked up
      descriptors  none is left
    `nonsense` counts the messages refused, by the peer's address (for a DEALER its endpoint).
    """

    def __init__(
        self,
        *,
        replica: ReplicaId,
        cluster: str,
        bind: str,
        on_envelope: Callable[[Envelope], None],
        on_link: Callable[[str, bool], None] = _ignore,
        on_nonsense: Callable[[str, str, WireError], None] = _ignore,
        check: Callable[[Envelope], None] = _ignore,
        wall_ms: Callable[[], int] | None = None,
    ) -> None:
        """Bind; nothing is read before `start`. Raises ValueError (`bind`), or as `bind_pair`.

        `on_envelope` gets every message; `on_link` an endpoint and whether it is connected now;
        `on_nonsense` the socket, the peer and the reason of each frame that was refused. `check`
        may refuse a message for what only users can tell, by raising WireError. `wall_ms` is told
        to who asks, for the diagnosis of clocks.
        """
        self.on_envelope = on_envelope
        self.counters: Counter[tuple[str, str]] = Counter()
        self.nonsense: Counter[str] = Counter()
        self._replica = replica
        self._topic = topic(cluster)
        self._on_link = on_link
        self._on_nonsense = on_nonsense
        self._check = check
        self._wall_ms = wall_ms
        self._links: dict[str, Link] = {}
        self._readers: list[Drain | Monitor] = []
        wanted = parse(bind, field="bind", any_port=True)
        self._context = new_context()
        self._router = new_router(self._context)
        self._publisher = new_publisher(self._context)
        self._subscriber = new_subscriber(self._context, self._topic)
        try:
            self.bound: Endpoint = bind_pair(self._router, self._publisher, wanted)
        except DiscoError:
            self._context.destroy(linger=0)
            raise

    def start(self) -> None:
        """Begin to read. Needs the running loop; what arrived before is still there."""
        assert not self._readers, "started once"
        self._router_drain = Drain(self._router, self._take_question)
        self._readers = [
            self._router_drain,
            self._monitor(self._router, "router"),
            self._monitor(self._publisher, "pub"),
        ]

    def close(self) -> None:
        """Close everything; waits for last words to peers that are there, at most 0.3 s."""
        for reader in self._readers:
            reader.close()
        for link in self._links.values():
            link.close(linger=True)
        self._links.clear()
        for socket in (self._router, self._publisher, self._subscriber):
            socket.close(0)
        self._context.term()

    # Links

    def connect(self, endpoint: str) -> None:
        """Open the DEALER to this endpoint and hear its PUB. Again: no effect."""
        if endpoint in self._links:
            return
        try:
            self._links[endpoint] = Link(
                parse(endpoint),
                context=self._context,
                subscriber=self._subscriber,
                name=routing_id(self._replica),
                take=partial(self._take_answer, endpoint),
                on_state=partial(self._on_link, endpoint),
                count=partial(self._count, "dealer"),
            )
        except ValueError:
            self._count("dealer", "endpoint")
        except zmq.ZMQError:
            self._count("dealer", "descriptors")

    def disconnect(self, endpoint: str) -> None:
        """Close both connections, when what was sent has gone out. Again: no effect."""
        link = self._links.pop(endpoint, None)
        if link is not None:
            link.close(linger=True)

    def redial(self, endpoint: str) -> None:
        """Make both connections anew, for one can be deaf for ever; what waited is dropped."""
        link = self._links.pop(endpoint, None)
        if link is not None:
            link.close(linger=False)
            if link.up:
                self._on_link(endpoint, False)  # noqa: FBT003 - the callback's shape
        self.connect(endpoint)

    def linked(self, endpoint: str) -> bool:
        """Is the DEALER to this endpoint connected now?"""
        link = self._links.get(endpoint)
        return link is not None and link.up

    # Out

    def broadcast(self, heartbeat: Heartbeat) -> None:
        """Publish a heartbeat to everyone who listens."""
        self._publisher.send(self._topic + encode(heartbeat, None), zmq.NOBLOCK)

    def send(self, endpoints: Iterable[str], message: Message) -> None:
        """Queue a message for each of the endpoints; encoded once."""
        frame = self._encode("dealer", message)
        if frame is None:
            return
        for endpoint in endpoints:
            link = self._links.get(endpoint)
            if link is None:
                self._count("dealer", "no-link")
                continue
            try:
                link.send(frame)
            except zmq.Again:
                self._count("dealer", "full")

    def answer(self, to: ReplicaId, message: Message) -> None:
        """Queue a message for the connection on which `to` last asked."""
        frame = self._encode("router", message)
        if frame is None:
            return
        try:
            self._router.send(routing_id(to), zmq.SNDMORE | zmq.NOBLOCK)
            self._router.send(frame, zmq.NOBLOCK, copy=isinstance(frame, bytes))
        except zmq.Again:
            self._count("router", "full")
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._count("router", "unreachable")
        self._router_drain.look()

    def _encode(self, socket: str, message: Message) -> bytes | zmq.Frame | None:
        try:
            frame = encode(message, self._replica, self._extensions(message))
        except WireError:  # the peer would cut the connection for it
            self._count(socket, "oversize")
            return None
        return frame if len(frame) < SHARED_FRAME_BYTES_MIN else zmq.Frame(frame, copy=True)

    def _extensions(self, message: Message) -> Mapping[int, bytes]:
        if self._wall_ms is None or type(message) is not ProbeReply:
            return NO_EXTENSIONS
        return of_wall_clock(self._wall_ms())

    # In

    def drain_heartbeats(self) -> int:
        """Hand over the heartbeats that came since the last call; return how many frames came."""
        share = max(HEARTBEATS_PER_DRAIN, 8 * len(self._links))
        for count in range(share):
            try:
                frame = self._subscriber.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return count
            self._deliver("sub", None, frame, self._subscriber, skip=TOPIC_BYTES)
        return share

    def _take_question(self) -> int:
        name = self._router.recv(zmq.NOBLOCK)
        frame = self._router.recv(zmq.NOBLOCK, copy=False)
        return self._deliver("router", None, frame, self._router, name=name)

    def _take_answer(self, endpoint: str, dealer: "zmq.Socket[bytes]") -> int:
        return self._deliver("dealer", endpoint, dealer.recv(zmq.NOBLOCK, copy=False), dealer)

    def _deliver(
        self,
        role: str,
        peer: str | None,
        frame: zmq.Frame,
        socket: "zmq.Socket[bytes]",
        *,
        name: bytes | None = None,
        skip: int = 0,
    ) -> int:
        """Decode one message and hand it over, or count why not; return its bytes."""
        size = len(frame)
        try:
            _refuse_more(frame, socket)
            envelope = decode(frame.buffer[skip:])
            _check_place(envelope, role, name)
            self._check(envelope)
        except WireError as error:
            self._refuse(role, peer or _address(frame), error)
        else:
            self.on_envelope(envelope)
        return size

    def _refuse(self, role: str, peer: str, error: WireError) -> None:
        self._count(role, error.reason)
        if peer in self.nonsense or len(self.nonsense) < PEERS_COUNTED_MAX:
            self.nonsense[peer] += 1
        self._on_nonsense(role, peer, error)

    def _count(self, socket: str, reason: str) -> None:
        self.counters[socket, reason] += 1

    def _monitor(self, socket: "zmq.Socket[bytes]", role: str) -> Monitor:
        return Monitor(
            self._context, socket, HANDSHAKE_FAILED, lambda _: self._count(role, "handshake")
        )


def _address(frame: zmq.Frame) -> str:
    """Return the address of whoever sent the frame, without the port."""
    try:
        return str(frame.get("Peer-Address"))
    except zmq.ZMQError:  # libzmq knows none of who does not begin as ZMTP 2 or later does
        return "unknown"


def _refuse_more(first: zmq.Frame, socket: "zmq.Socket[bytes]") -> None:
    """Refuse a message with more frames than one, once the others are read too."""
    frame = first
    while frame.more:
        frame = socket.recv(zmq.NOBLOCK, copy=False)
    if first.more:
        raise WireError("frames", "a message has one frame")


def _check_place(envelope: Envelope, role: str, name: bytes | None) -> None:
    """Refuse a kind the socket does not carry, and a sender whose answer would go elsewhere."""
    is_heartbeat = isinstance(envelope.message, Heartbeat)
    if is_heartbeat != (role == "sub"):
        raise WireError("misplaced", f"a {type(envelope.message).__name__} on the {role} socket")
    if name is not None and (envelope.sender is None or name != routing_id(envelope.sender)):
        raise WireError("identity", f"the connection is not that of {envelope.sender}")
