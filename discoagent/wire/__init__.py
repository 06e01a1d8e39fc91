"""Wire version 1: messages to bytes and back, bounded and validated. Pure.

Every message but the heartbeat is one msgpack array, read and checked field by field:

    [version, kind, [node, incarnation], field..., {extension: bytes}]

A later version may append fields before the extension map; they are passed by, here and in each
array within. Whatever changes the meaning of a message takes a new kind, and whatever changes this
frame a new version: both are refused by their own word, so that a counter shows them. Unknown
extensions are kept in the envelope.

A heartbeat is a fixed struct, so that its size is the same everywhere and a thousand are cheap:

    topic 8 bytes | version u8 | kind u8 | node_hash, incarnation, beat, clock, set_digest,
    vector_digest, chain_hash u64 | flags u8 | {extension: bytes}

The topic is the SUB socket's prefix; `encode` and `decode` leave it out. The first byte tells the
two forms apart: a version number here, the header of an array there.
"""

import struct
from collections.abc import Mapping

import msgpack

from discoagent.core.digest import hashed
from discoagent.core.entry import ReplicaId
from discoagent.core.limits import EXTENSION_BYTES_MAX, EXTENSIONS_MAX, MESSAGE_BYTES_MAX
from discoagent.core.messages import NO_EXTENSIONS, Envelope, Heartbeat, Message
from discoagent.wire.fields import INTEGER_MAX, Reader, WireError
from discoagent.wire.messages import BY_NUMBER, BY_TYPE, Number

__all__ = [
    "HEARTBEAT_BYTES",
    "NO_EXTENSIONS",
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

_HEARTBEAT = struct.Struct(">BB7QB")
_EMPTY_MAP = b"\x80"
HEARTBEAT_BYTES = _HEARTBEAT.size + len(_EMPTY_MAP)
_ENVELOPE_FIELDS = 4  # version, kind, sender, extensions
_ARRAY_HEADERS = frozenset({*range(0x90, 0xA0), 0xDC, 0xDD})


def topic(cluster: str) -> bytes:
    """Return what the frames of this cluster's heartbeats start with: TOPIC_BYTES of hash."""
    return hashed(cluster.encode(), TOPIC_BYTES)


def encode(
    message: Message,
    sender: ReplicaId | None,
    extensions: Mapping[int, bytes] = NO_EXTENSIONS,
) -> bytes:
    """Return the frame of a message; of a heartbeat, without its topic and whatever `sender` is.

    Raises WireError (`size`) if it would be larger than any peer takes, ValueError if nobody is its
    sender.
    """
    if isinstance(message, Heartbeat):
        frame = _pack_heartbeat(message) + msgpack.packb(dict(extensions))
    elif sender is None:
        raise ValueError(f"a {type(message).__name__} names its sender")
    else:
        codec = BY_TYPE[type(message)]
        fields = codec.pack(message)
        frame = msgpack.packb([WIRE_VERSION, codec.number, sender, *fields, dict(extensions)])
    if len(frame) > MESSAGE_BYTES_MAX:
        raise WireError(
            "size",
            f"a {type(message).__name__} of {len(frame)} bytes, the bound is {MESSAGE_BYTES_MAX}",
        )
    return bytes(frame)


def decode(frame: bytes | memoryview) -> Envelope:
    """Read a frame, a heartbeat's without its topic.

    Raises WireError, and nothing else, for whatever is not a message of this version.
    """
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
    codec = BY_NUMBER.get(kind)
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
    if max(fields[3:6]) > INTEGER_MAX:
        counts = "heartbeat.incarnation, beat and clock"
        raise WireError("range", f"{counts} are {fields[3:6]}, not each in 0..{INTEGER_MAX}")
    rest = frame[_HEARTBEAT.size :]
    none = rest == _EMPTY_MAP  # as in every heartbeat of this release
    extensions = NO_EXTENSIONS if none else _read_extensions(Reader(rest), len(rest))
    return Envelope(Heartbeat(*fields[2:]), None, extensions)
