"""A token: where a watcher stands, as one opaque word. Pure.

It says who gave it and the number of that agent's last event that the watcher has seen, and, node
by node, which incarnation and clock the watcher has seen: the *vector*. The giver goes on from the
number; where its history does not reach, and on any other agent, the vector tells what is missing.

    token   VERSION "." base64url(body, CRC-32 of it), without padding
    body    msgpack: [cluster, giver's node | nil, its incarnation, number, nodes | nil],
            then for each of so many nodes [node, incarnation, clock]

`cluster` is the hash that travels in heartbeats. With version `1z` the body is deflated, as it is
for many nodes. No nodes at all: the watcher is in the midst of a present, and knows nothing whole.
"""

import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import msgpack

from discoagent.core.limits import NODES_MAX, NUMBER_MAX
from discoagent.errors import InvalidRequest, shorten
from discoagent.rules import integer, name

NODES_TOLD = 64  # in clusters of more nodes not every event carries a vector
BODY_BYTES_MAX = 2 * 1024 * 1024
TEXT_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-")
VERSION, DEFLATED = "1", "1z"

# One packer for all: making one for each token would cost more than the packing.
_pack = msgpack.Packer().pack
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_CRC_BYTES = 4
_NONSENSE = (
    ValueError,
    TypeError,
    StopIteration,
    InvalidRequest,
    zlib.error,
    msgpack.UnpackException,
)

Position = tuple[int, int]
"""Incarnation and clock of a node; clock 0: part of what that node shows was not seen."""


class Giver(NamedTuple):
    """The life of an agent that gave a token, and its number of events until then."""

    node: str
    incarnation: int
    number: int


class Token(NamedTuple):
    """A token that was read; without a vector nothing is known of what its holder has seen."""

    cluster: int
    giver: Giver | None
    vector: Mapping[str, Position] | None


UNREADABLE = Token(-1, None, None)  # of a later version: what it says is not known


class Vector:
    """Positions by node, as they move; what does not move is packed once."""

    __slots__ = ("_packed", "_stale", "positions")

    def __init__(self, positions: Mapping[str, Position] | None = None) -> None:
        self.positions: dict[str, Position] = dict(positions or {})
        self._packed: dict[str, bytes] = {}
        self._stale: dict[str, None] = dict.fromkeys(self.positions)

    def __len__(self) -> int:
        return len(self.positions)

    def move(self, node: str, position: Position | None) -> None:
        """Let a node stand there; None: it is shown no more."""
        if position is not None:
            self.positions[node] = position
            self._stale[node] = None
        elif self.positions.pop(node, None) is not None:
            self._packed.pop(node, None)
            self._stale.pop(node, None)

    def pack(self) -> bytes:
        """Return all positions, one after the other."""
        for node in self._stale:
            self._packed[node] = _pack((node, *self.positions[node]))
        self._stale.clear()
        return b"".join(self._packed.values())

    @classmethod
    def unpack(cls, packed: bytes) -> "Vector":
        """Read what `pack` has packed. Whatever is wrong with it raises ValueError."""
        unpacker = msgpack.Unpacker(use_list=False)
        unpacker.feed(packed)
        try:
            return cls(dict(map(_position, unpacker)))
        except _NONSENSE as error:
            raise ValueError("these are no positions") from error

    @property
    def large(self) -> bool:
        """Are there too many nodes for a token with each event?"""
        return len(self.positions) > NODES_TOLD


def write(cluster: int, giver: Giver | None, vector: Vector | None) -> str:
    """Return the token of a watcher that has seen this."""
    node, incarnation, number = giver or (None, 0, 0)
    nodes = None if vector is None else len(vector)
    body: bytes = _pack((cluster, node, incarnation, number, nodes))
    version = VERSION
    if vector is not None:
        body += vector.pack()
        if vector.large:
            body, version = zlib.compress(body, 1), DEFLATED
    raw = body + zlib.crc32(body).to_bytes(_CRC_BYTES, "big")
    text = b2a_base64(raw, newline=False).translate(_TO_URL, b"=")
    return f"{version}.{text.decode()}"


def read(text: object) -> Token:
    """Read a token. Raises InvalidRequest for what is none, or was cut off or changed."""
    if not isinstance(text, str) or not text or not TEXT_CHARACTERS.issuperset(text):
        raise _no_token(text)
    version, dot, rest = text.partition(".")
    if not dot or not version[:1].isdigit():
        raise _no_token(text)
    if version not in (VERSION, DEFLATED):
        return UNREADABLE
    try:
        body = _checked(a2b_base64(rest.encode().translate(_FROM_URL) + b"=="))
        return _read_body(_inflated(body) if version == DEFLATED else body)
    except _NONSENSE:
        raise _no_token(text) from None


def doubted(text: str, nodes: Collection[str]) -> str:
    """Return the token of a watcher that has not seen all of what these nodes show."""
    found = read(text) if nodes else UNREADABLE
    if found.vector is None:
        return text
    vector = Vector(found.vector)
    for node in nodes:
        vector.move(node, (found.vector.get(node, (0, 0))[0], 0))
    return write(found.cluster, None, vector)


def _checked(raw: bytes) -> bytes:
    body, crc = raw[:-_CRC_BYTES], raw[-_CRC_BYTES:]
    if zlib.crc32(body).to_bytes(_CRC_BYTES, "big") != crc:
        raise ValueError("cut off or changed")
    return body


def _inflated(body: bytes) -> bytes:
    inflater = zlib.decompressobj()
    found = inflater.decompress(body, BODY_BYTES_MAX)
    if not inflater.eof:
        raise ValueError("too long")
    return found


def _read_body(body: bytes) -> Token:
    unpacker = msgpack.Unpacker(use_list=False)
    unpacker.feed(body)
    values: Iterator[Any] = iter(unpacker)
    cluster, node, incarnation, number, nodes = next(values)[:5]
    giver = None if node is None else Giver(_name(node), _number(incarnation), _number(number))
    count = None if nodes is None else _number(nodes, NODES_MAX + 1)
    vector = None if count is None else dict(_position(next(values)) for _ in range(count))
    return Token(_number(cluster, 2**64 - 1), giver, vector)


def _position(value: Any) -> tuple[str, Position]:
    node, incarnation, clock = value[:3]
    return _name(node), (_number(incarnation), _number(clock))


def _name(value: object) -> str:
    return name(value, "node")


def _number(value: object, highest: int = NUMBER_MAX) -> int:
    return integer(value, "number", 0, highest)


def _no_token(text: object) -> InvalidRequest:
    return InvalidRequest(f"token: {shorten(text)} is no token", field="token")
