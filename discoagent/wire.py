"""Wire version 1: messages to bytes and back, bounded and validated. Pure.

Every message but the heartbeat is one msgpack array; sizes and field types are checked one by one as they are read:

    [version, kind, [node, incarnation], field..., {extension: bytes}]

A later version may append fields before the extension map; they are passed by, here and in each array within. Whatever
changes the meaning of a message takes a new kind, and whatever changes this frame a new version: both are refused by
their own word, so that a counter shows them. Unknown extensions are kept in the envelope.

A heartbeat is a fixed struct, which is why its size is the same everywhere and a thousand of them a second are cheap:

    topic 8 bytes | version u8 | kind u8 | node_hash incarnation beat clock set_digest vector_digest chain_hash u64
    | flags u8 | {extension: bytes}

The topic is the SUB socket's prefix; `encode` and `decode` leave it out. The first byte tells the two forms apart:
a version number here, the header of an array there.
"""

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import msgpack

from discoagent.core.entry import ReplicaId
from discoagent.core.limits import (
    CHAINS_PER_REQUEST,
    ENDPOINT_BYTES_MAX,
    EXTENSION_BYTES_MAX,
    EXTENSIONS_MAX,
    MESSAGE_BYTES_MAX,
    NAME_BYTES_MAX,
    NODES_MAX,
    REASON_BYTES_MAX,
)
from discoagent.core.messages import (
    Acquaintance,
    DeltaMessage,
    Digest,
    DigestReply,
    Envelope,
    Farewell,
    Heartbeat,
    Hello,
    Message,
    Parting,
    Refusal,
    RefusalKind,
    Standing,
    SyncChunk,
    SyncRequest,
    Want,
    Welcome,
)
from discoagent.wire_chains import (
    DELTA_FIELDS,
    pack_delta,
    pack_part,
    read_delta,
    read_features,
    read_part,
    read_wire,
)
from discoagent.wire_fields import INTEGER_MAX, Reader, WireError

__all__ = [
    "HEARTBEAT_BYTES",
    "TOPIC_BYTES",
    "WIRE_VERSION",
    "Number",
    "WireError",
    "decode",
    "encode",
    "topic",
]

WIRE_VERSION = 1
TOPIC_BYTES = 8

NO_EXTENSIONS: Mapping[int, bytes] = MappingProxyType({})


class Number(IntEnum):
    """The kinds of messages, by the number that stands for each on the wire."""

    HEARTBEAT = 0
    DELTA = 1
    FAREWELL = 2
    HELLO = 3
    WELCOME = 4
    REFUSAL = 5
    DIGEST = 6
    DIGEST_REPLY = 7
    SYNC_REQUEST = 8
    SYNC_CHUNK = 9


_HEARTBEAT = struct.Struct(">BB7QB")
_EMPTY_MAP = b"\x80"
HEARTBEAT_BYTES = _HEARTBEAT.size + len(_EMPTY_MAP)
_ENVELOPE_FIELDS = 4  # version, kind, sender, extensions
_ARRAY_HEADERS = frozenset({*range(0x90, 0xA0), 0xDC, 0xDD})


def topic(cluster: str) -> bytes:
    """Return what the frames of this cluster's heartbeats start with: TOPIC_BYTES of hash."""
    return hashlib.blake2b(cluster.encode(), digest_size=TOPIC_BYTES).digest()


def encode(
    message: Message,
    sender: ReplicaId | None,
    extensions: Mapping[int, bytes] = NO_EXTENSIONS,
) -> bytes:
    """Return the frame of a message; of a heartbeat, without its topic and whatever `sender` is.

    Raises WireError (`size`) if it would be larger than any peer takes, ValueError if nobody is its sender.
    """
    if isinstance(message, Heartbeat):
        frame = _pack_heartbeat(message) + msgpack.packb(dict(extensions))
    elif sender is None:
        raise ValueError(f"a {type(message).__name__} names its sender")
    else:
        codec = _BY_TYPE[type(message)]
        fields = codec.pack(message)
        frame = msgpack.packb([WIRE_VERSION, codec.number, sender, *fields, dict(extensions)])
    if len(frame) > MESSAGE_BYTES_MAX:
        raise WireError(
            "size",
            f"a {type(message).__name__} of {len(frame)} bytes, the bound is {MESSAGE_BYTES_MAX}",
        )
    return bytes(frame)


def decode(frame: bytes | memoryview) -> Envelope:
    """Read a frame, a heartbeat's without its topic. Raises WireError, and nothing else, for any nonsense."""
    if not 0 < len(frame) <= MESSAGE_BYTES_MAX:
        raise WireError("size", f"the frame has {len(frame)} bytes, not 1..{MESSAGE_BYTES_MAX}")
    try:
        if frame[0] in _ARRAY_HEADERS:
            return _read_message(Reader(frame), len(frame))
        return _read_heartbeat(frame)
    except msgpack.OutOfData:
        raise WireError("malformed", "the frame ends within a field") from None
    except (ValueError, msgpack.UnpackException) as error:
        raise WireError("malformed", f"the frame is not msgpack: {error!r}") from None


def _read_message(reader: Reader, size: int) -> Envelope:
    width = reader.array("message", 2)
    version = reader.integer("message.version")
    if version != WIRE_VERSION:
        raise _wrong_version(version)
    kind = reader.integer("message.kind")
    codec = _BY_NUMBER.get(kind)
    if codec is None:
        raise WireError("unknown-kind", f"message.kind is {kind}")
    least = codec.fields + _ENVELOPE_FIELDS
    if width < least:
        raise WireError("missing", f"{codec.number.name} has {width} of {least} fields")
    sender_width = reader.array("sender", 2)
    sender = reader.replica("sender")
    reader.skip(sender_width - 2)
    message = codec.read(reader)
    reader.skip(width - least)
    extensions = _read_extensions(reader, size)
    return Envelope(message, sender, extensions)


def _read_extensions(reader: Reader, size: int) -> dict[int, bytes]:
    """Read the map that ends every frame of `size` bytes."""
    extensions: dict[int, bytes] = {}
    for _ in range(reader.pairs("extensions", EXTENSIONS_MAX)):
        key = reader.integer("extensions.key")
        if key in extensions:
            raise WireError("duplicate", f"extensions has the key {key} twice")
        extensions[key] = reader.blob("extensions.value", EXTENSION_BYTES_MAX)
    if reader.tell() != size:
        raise WireError("trailing", f"the message ends at byte {reader.tell()} of {size}")
    return extensions


def _wrong_version(version: int) -> WireError:
    return WireError("version", f"message.version is {version}, this agent reads {WIRE_VERSION}")


def _pack_heartbeat(it: Heartbeat) -> bytes:
    return _HEARTBEAT.pack(
        WIRE_VERSION,
        Number.HEARTBEAT,
        it.node_hash,
        it.incarnation,
        it.beat,
        it.clock,
        it.set_digest,
        it.vector_digest,
        it.chain_hash,
        it.flags,
    )


def _read_heartbeat(frame: bytes | memoryview) -> Envelope:
    if frame[0] != WIRE_VERSION:
        raise _wrong_version(frame[0])
    if len(frame) > 1 and frame[1] != Number.HEARTBEAT:
        raise WireError(
            "unknown-kind", f"message.kind is {frame[1]}, of heartbeats it is {Number.HEARTBEAT}"
        )
    if len(frame) < HEARTBEAT_BYTES:
        raise WireError(
            "size", f"a heartbeat of {len(frame)} bytes, not at least {HEARTBEAT_BYTES}"
        )
    fields = _HEARTBEAT.unpack_from(frame)
    for field, value in zip(("incarnation", "beat", "clock"), fields[3:6], strict=True):
        if value > INTEGER_MAX:
            raise WireError("range", f"heartbeat.{field} is {value}, not in 0..{INTEGER_MAX}")
    rest = frame[_HEARTBEAT.size :]
    extensions = {} if rest == _EMPTY_MAP else _read_extensions(Reader(rest), len(rest))
    return Envelope(Heartbeat(*fields[2:]), None, extensions)


def _pack_delta_message(it: DeltaMessage) -> list[Any]:
    return [pack_delta(it.delta)]


def _read_delta_message(reader: Reader) -> DeltaMessage:
    return DeltaMessage(read_delta(reader, reader.array("delta", DELTA_FIELDS)))


def _pack_farewell(it: Farewell) -> list[Any]:
    return [int(it.parting), [] if it.delta is None else [pack_delta(it.delta)]]


def _read_farewell(reader: Reader) -> Farewell:
    parting = reader.choice("farewell.parting", {parting.value: parting for parting in Parting})
    if reader.items("farewell.deltas", 1):
        return Farewell(parting, read_delta(reader, reader.array("delta", DELTA_FIELDS)))
    return Farewell(parting)


def _pack_hello(it: Hello | Welcome) -> list[Any]:
    return [it.cluster, it.endpoint, *it.wire, it.features, it.clock]


def _read_greeting(reader: Reader) -> tuple[str, str, tuple[int, int], tuple[str, ...], int]:
    return (
        reader.text("cluster", NAME_BYTES_MAX),
        reader.text("endpoint", ENDPOINT_BYTES_MAX),
        read_wire(reader, "wire"),
        read_features(reader, "features"),
        reader.integer("clock"),
    )


def _read_hello(reader: Reader) -> Hello:
    return Hello(*_read_greeting(reader))


def _pack_welcome(it: Welcome) -> list[Any]:
    return [*_pack_hello(it), _pack_members(it.members)]


def _read_welcome(reader: Reader) -> Welcome:
    return Welcome(*_read_greeting(reader), _read_members(reader))


def _pack_refusal(it: Refusal) -> list[Any]:
    return [int(it.kind), it.cluster, it.text]


def _read_refusal(reader: Reader) -> Refusal:
    return Refusal(
        reader.choice("refusal.kind", {kind.value: kind for kind in RefusalKind}),
        reader.text("refusal.cluster", NAME_BYTES_MAX),
        reader.text("refusal.text", REASON_BYTES_MAX, 0),
    )


def _pack_digest(it: Digest) -> list[Any]:
    return [[[*replica, clock] for replica, clock in it.known]]


def _read_digest(reader: Reader) -> Digest:
    known = []
    for _ in range(reader.items("digest.known", NODES_MAX)):
        width = reader.array("digest.known", 3)
        known.append((reader.replica("digest.replica"), reader.integer("digest.clock")))
        reader.skip(width - 3)
    return Digest(tuple(known))


def _pack_digest_reply(it: DigestReply) -> list[Any]:
    return [_pack_members(it.members)]


def _read_digest_reply(reader: Reader) -> DigestReply:
    return DigestReply(_read_members(reader))


def _pack_members(members: tuple[Acquaintance, ...]) -> list[Any]:
    return [[*it.replica, it.endpoint, it.clock, int(it.standing), it.age_ms] for it in members]


_STANDINGS: Mapping[int, Standing] = {standing.value: standing for standing in Standing}


def _read_members(reader: Reader) -> tuple[Acquaintance, ...]:
    return tuple(_read_member(reader) for _ in range(reader.items("members", NODES_MAX)))


def _read_member(reader: Reader) -> Acquaintance:
    width = reader.array("members", 6)
    member = Acquaintance(
        reader.replica("members.replica"),
        reader.text("members.endpoint", ENDPOINT_BYTES_MAX),
        reader.integer("members.clock"),
        reader.choice("members.standing", _STANDINGS),
        reader.integer("members.age_ms"),
    )
    reader.skip(width - 6)
    return member


def _pack_sync_request(it: SyncRequest) -> list[Any]:
    return [it.number, [[*want.replica, want.since, want.after, want.floor] for want in it.wants]]


def _read_sync_request(reader: Reader) -> SyncRequest:
    number = reader.integer("sync.number")
    count = reader.items("sync.wants", CHAINS_PER_REQUEST)
    return SyncRequest(number, tuple(_read_want(reader) for _ in range(count)))


def _read_want(reader: Reader) -> Want:
    width = reader.array("sync.wants", 5)
    want = Want(
        reader.replica("want.replica"),
        reader.integer("want.since"),
        reader.integer("want.after"),
        reader.integer("want.floor"),
    )
    reader.skip(width - 5)
    return want


def _pack_sync_chunk(it: SyncChunk) -> list[Any]:
    return [it.number, it.last, [pack_part(part) for part in it.parts]]


def _read_sync_chunk(reader: Reader) -> SyncChunk:
    number = reader.integer("sync.number")
    last = reader.boolean("sync.last")
    count = reader.items("sync.parts", CHAINS_PER_REQUEST)
    return SyncChunk(number, last, tuple(read_part(reader) for _ in range(count)))


@dataclass(frozen=True, slots=True)
class _Codec:
    """How one kind of message becomes `fields` fields, and these become one again."""

    number: Number
    fields: int
    pack: Callable[[Any], list[Any]]
    read: Callable[[Reader], Message]


_BY_TYPE: Mapping[type, _Codec] = {
    DeltaMessage: _Codec(Number.DELTA, 1, _pack_delta_message, _read_delta_message),
    Farewell: _Codec(Number.FAREWELL, 2, _pack_farewell, _read_farewell),
    Hello: _Codec(Number.HELLO, 6, _pack_hello, _read_hello),
    Welcome: _Codec(Number.WELCOME, 7, _pack_welcome, _read_welcome),
    Refusal: _Codec(Number.REFUSAL, 3, _pack_refusal, _read_refusal),
    Digest: _Codec(Number.DIGEST, 1, _pack_digest, _read_digest),
    DigestReply: _Codec(Number.DIGEST_REPLY, 1, _pack_digest_reply, _read_digest_reply),
    SyncRequest: _Codec(Number.SYNC_REQUEST, 2, _pack_sync_request, _read_sync_request),
    SyncChunk: _Codec(Number.SYNC_CHUNK, 3, _pack_sync_chunk, _read_sync_chunk),
}
_BY_NUMBER: Mapping[int, _Codec] = {codec.number: codec for codec in _BY_TYPE.values()}
