"""The mesh's sockets: their options, the port pair, the drain that reads them, their monitors.

Every option is set for a measured reason; the comment beside it says which.
"""

import asyncio
import errno
import itertools
import os
from collections.abc import Callable
from functools import lru_cache

import zmq
from zmq.utils.monitor import parse_monitor_message

from discoagent.core.digest import hashed
from discoagent.core.entry import ReplicaId
from discoagent.core.limits import MESSAGE_BYTES_MAX, NODES_MAX
from discoagent.core.timing import CONNECT_TIMEOUT
from discoagent.endpoints import PORT_MAX, Endpoint, addresses, is_literal
from discoagent.errors import Conflict, DiscoError, InvalidRequest, Refused

MESSAGES_PER_TURN = 128  # what one socket may hand over before the loop's other work has its turn
BYTES_PER_TURN = 1024 * 1024
PAIR_ATTEMPTS = 64
FAREWELL_LINGER_MS = 300  # how long the last words to a peer that is there may take
RECONNECT_INTERVAL_MS = 200  # libzmq draws each wait from [interval, 2 x interval)
SMALL_FRAME_BYTES_MAX = 4096  # a heartbeat, a subscription, a handshake's command

LINK_UP = zmq.EVENT_HANDSHAKE_SUCCEEDED
LINK_DOWN = zmq.EVENT_DISCONNECTED
DIAL_FAILED = zmq.EVENT_CLOSED
HANDSHAKE_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

_READABLE = int(zmq.POLLIN)  # an enum's `&` costs as much as a send
_monitors = itertools.count(1)


class BindError(Conflict):
    """A port of the mesh is taken; the message names the address and the system's reason."""

    default_kind = "port"


@lru_cache(maxsize=2 * NODES_MAX)
def routing_id(replica: ReplicaId) -> bytes:
    """Name a replica's DEALERs to the ROUTERs they meet, so that an answer finds its way.

    One a life: with ROUTER_HANDOVER two live connections of one name would throw each other out.
    """
    node = hashed(replica.node.encode(), 8)
    return b"d" + node + replica.incarnation.to_bytes(8, "big")


def new_context() -> "zmq.Context[zmq.Socket[bytes]]":
    """Make a context that has room for a DEALER and its monitor's two ends for every node."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 3 * NODES_MAX + 64)
    return context


def _tcp_options(socket: "zmq.Socket[bytes]") -> None:
    socket.set(zmq.LINGER, 0)  # the default waits for ever for whoever is gone
    socket.set(zmq.CONNECT_TIMEOUT, int(CONNECT_TIMEOUT * 1000))  # else 134 s where frames vanish
    socket.set(zmq.HANDSHAKE_IVL, 2500)  # a mute listener; heartbeats begin after the handshake
    socket.set(zmq.TCP_MAXRT, 5000)  # ends what a vanished host left, also with full buffers
    # No RECONNECT_IVL_MAX: with it many wait in step, and a healed link is found late.
    socket.set(zmq.RECONNECT_IVL, RECONNECT_INTERVAL_MS)
    socket.set(zmq.BACKLOG, 1024)  # a whole cluster may dial at once


def _question_options(socket: "zmq.Socket[bytes]") -> None:
    _tcp_options(socket)
    socket.set(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
    # Both ends ping: each alone would keep a dead connection. Slow, for our own heartbeats judge.
    socket.set(zmq.HEARTBEAT_IVL, 5000)
    socket.set(zmq.HEARTBEAT_TIMEOUT, 5000)


def new_router(context: "zmq.Context[zmq.Socket[bytes]]") -> "zmq.Socket[bytes]":
    """Make the socket that hears every peer's messages and answers them."""
    socket = context.socket(zmq.ROUTER)
    _question_options(socket)
    socket.set(zmq.ROUTER_MANDATORY, 1)  # an answer to nobody is an error, not silence
    socket.set(zmq.ROUTER_HANDOVER, 1)  # else a redialled link stays mute for ever
    # Answers of up to CHUNK_BYTES_MAX each, per peer; libzmq gives room back by halves.
    socket.set(zmq.SNDHWM, 256)
    socket.set(zmq.RCVHWM, 256)
    return socket


def new_dealer(context: "zmq.Context[zmq.Socket[bytes]]", name: bytes) -> "zmq.Socket[bytes]":
    """Make the socket that talks to one peer. What is sent before it is connected waits."""
    socket = context.socket(zmq.DEALER)
    _question_options(socket)
    socket.set(zmq.ROUTING_ID, name)
    socket.set(zmq.IMMEDIATE, 0)
    socket.set(zmq.SNDHWM, 512)
    socket.set(zmq.RCVHWM, 128)
    return socket


def new_publisher(context: "zmq.Context[zmq.Socket[bytes]]") -> "zmq.Socket[bytes]":
    """Make the socket of this node's heartbeats. No ZMTP heartbeats: a third of the idle cost."""
    socket = context.socket(zmq.PUB)
    _tcp_options(socket)
    socket.set(zmq.MAXMSGSIZE, SMALL_FRAME_BYTES_MAX)
    socket.set(zmq.SNDHWM, 64)  # a late heartbeat tells nothing
    return socket


def new_subscriber(context: "zmq.Context[zmq.Socket[bytes]]", prefix: bytes) -> "zmq.Socket[bytes]":
    """Make the socket that hears everybody's heartbeats."""
    socket = context.socket(zmq.SUB)
    _tcp_options(socket)
    socket.set(zmq.MAXMSGSIZE, SMALL_FRAME_BYTES_MAX)
    socket.set(zmq.RCVHWM, 64)  # for each peer
    socket.subscribe(prefix)
    return socket


def tcp(socket: "zmq.Socket[bytes]", host: str, port: int | str) -> str:
    """Write the address of an IP literal for libzmq, and set `socket` to its family.

    With IPV6 always on, 0.0.0.0 would be bound as a mapped IPv6 address, which fails where there is
    no IPv6. The option counts for the connections made after it, so one SUB may have both.
    """
    socket.set(zmq.IPV6, int(":" in host))
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def bind_pair(
    router: "zmq.Socket[bytes]", publisher: "zmq.Socket[bytes]", bind: Endpoint
) -> Endpoint:
    """Bind the ROUTER and, on the next port, the PUB; return the address with its real port.

    Port 0: a free pair. A name: its first IPv4 address, else its first. Raises BindError if a port
    is taken, Refused if it may not be had, InvalidRequest if this host has no such address.
    """
    host = _bind_address(bind)
    for _ in range(PAIR_ATTEMPTS if bind.port == 0 else 1):
        router_address = _bind(router, "ROUTER", host, bind.port)
        port = int(router_address.rpartition(":")[2])
        try:
            if port <= PORT_MAX:
                _bind(publisher, "PUB", host, port + 1)
                return Endpoint(host, port)
        except BindError:
            if bind.port != 0:
                raise
        router.unbind(router_address)
    raise BindError(
        f"bind: cannot listen on {bind}: no two free ports in a row in {PAIR_ATTEMPTS} attempts",
        field="bind",
    )


def _bind_address(bind: Endpoint) -> str:
    if is_literal(bind.host):
        return bind.host
    try:
        found = addresses(bind)
    except OSError as error:
        raise InvalidRequest(f"bind: cannot listen on {bind}: {error}", field="bind") from error
    return next((address.host for address in found if ":" not in address.host), found[0].host)


def _bind(socket: "zmq.Socket[bytes]", role: str, host: str, port: int) -> str:
    """Bind and return the address as libzmq writes it."""
    try:
        socket.bind(tcp(socket, host, port or "*"))
    except zmq.ZMQError as error:
        raise bind_error(Endpoint(host, port), role, error.errno or 0) from error
    return socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")


def bind_error(at: Endpoint, role: str, code: int) -> DiscoError:
    """Return what to say when the system refuses an address with this errno."""
    # libzmq says ENODEV of an address that no interface has; the system's own word is clearer.
    code = errno.EADDRNOTAVAIL if code == errno.ENODEV else code
    text = f"bind: cannot listen on {at} ({role}): {os.strerror(code)}"
    match code:
        case errno.EADDRNOTAVAIL:
            return InvalidRequest(text, field="bind")
        case errno.EACCES | errno.EPERM:
            return Refused(text, kind="permission", field="bind")
        case _:
            return BindError(text, field="bind")


class Drain:
    """Reads one socket as soon as it holds something, a bounded share a turn of the loop.

    The descriptor that libzmq shows is edge-triggered: any call on the socket may eat its signal.
    So it is read until nothing is left, and looked at again after each send.
    """

    def __init__(self, socket: "zmq.Socket[bytes]", take: Callable[[], int]) -> None:
        """`take` handles one message and returns its bytes; zmq.Again says that there is none."""
        self._loop = asyncio.get_running_loop()
        self._socket = socket
        self._take = take
        self._descriptor: int = socket.FD
        self._next: asyncio.Handle | None = None
        self._closed = False
        self._loop.add_reader(self._descriptor, self._turn)
        self.arm()

    def arm(self) -> None:
        """Read in the loop's next turn."""
        if self._next is None and not self._closed:
            self._next = self._loop.call_soon(self._turn)

    def look(self) -> None:
        """See whether a call on the socket ate the signal of something that arrived."""
        if int(self._socket.get(zmq.EVENTS)) & _READABLE:
            self.arm()

    def close(self) -> None:
        """Stop reading; before the socket is closed."""
        self._closed = True
        self._loop.remove_reader(self._descriptor)
        if self._next is not None:
            self._next.cancel()

    def _turn(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        rest = True
        try:
            rest = self._share()
        finally:  # whatever handling one message raised, the others are still there
            if rest:
                self.arm()

    def _share(self) -> bool:
        """Handle what is there, up to the share of one turn; return whether more may be."""
        messages, size = 0, 0
        while messages < MESSAGES_PER_TURN and size < BYTES_PER_TURN and not self._closed:
            try:
                size += self._take()
            except zmq.Again:
                return False
            messages += 1
        return True


class Monitor:
    """Hands on what libzmq says about the connections of one socket."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        socket: "zmq.Socket[bytes]",
        events: int,
        on_event: Callable[[int], None],
    ) -> None:
        """`on_event` is called with each event of the mask `events`."""
        address = f"inproc://monitor-{next(_monitors)}"
        socket.monitor(address, events)
        self._socket = socket
        self._on_event = on_event
        self._pair = context.socket(zmq.PAIR)
        self._pair.set(zmq.LINGER, 0)
        self._pair.set(zmq.RCVHWM, 0)  # the I/O thread itself would wait at a full queue
        self._pair.connect(address)
        self._drain = Drain(self._pair, self._take)

    def close(self) -> None:
        """Stop; before the monitored socket is closed.

        The telling ends first: the I/O thread, and with it every connection, would wait for ever
        to tell an event to a reader that is gone.
        """
        self._socket.disable_monitor()
        self._drain.close()
        self._pair.close()

    def _take(self) -> int:
        frames = self._pair.recv_multipart(zmq.NOBLOCK)
        self._on_event(int(parse_monitor_message(frames)["event"]))
        return len(frames[0])
