"""The fields of each kind of message, and the number that stands for it. Pure.

    DELTA         [[delta...]...]
    FAREWELL      parting, [] | [[delta...]]
    HELLO         number, cluster, endpoint, wire low, wire high, [feature...], clock, set digest
    WELCOME       as HELLO up to the clock, then [member...]
    REFUSAL       number, kind, cluster, text
    DIGEST        number, [[node, incarnation, clock]...]
    DIGEST_REPLY  number, [member...]
    SYNC_REQUEST  number, [[node, incarnation, since, after, floor]...]
    SYNC_CHUNK    number, is it the last, [part...]
    PROBE         number, [node...]
    PROBE_REPLY   number, [member...]
    SEEN          number, [[node, incarnation, clock]...], patience ms
    SEEN_REPLY    number, [[node, incarnation, clock]...]
    member        [node, incarnation, endpoint, clock, standing, age ms, beat, refused ms + 1 | 0]

Deltas and parts are in `wire_chains.py`, what is around the fields in `wire.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from discoagent.core.entry import ReplicaId
from discoagent.core.limits import (
    CHAINS_PER_REQUEST,
    DELTAS_MAX,
    ENDPOINT_BYTES_MAX,
    NAME_BYTES_MAX,
    NODES_MAX,
    PATIENCE_MS_MAX,
    PROBED_MAX,
    REASON_BYTES_MAX,
)
from discoagent.core.messages import (
    Acquaintance,
    DeltaMessage,
    Digest,
    DigestReply,
    Farewell,
    Hello,
    Message,
    Parting,
    Probe,
    ProbeReply,
    Refusal,
    RefusalKind,
    Seen,
    SeenReply,
    Standing,
    SyncChunk,
    SyncRequest,
    Want,
    Welcome,
)
from discoagent.wire.chains import (
    DELTA_FIELDS,
    pack_delta,
    pack_part,
    read_delta,
    read_features,
    read_part,
    read_wire,
)
from discoagent.wire.fields import Reader

DIGEST_MAX = 2**64 - 1


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
    PROBE = 10
    PROBE_REPLY = 11
    SEEN = 12
    SEEN_REPLY = 13


def _pack_delta_message(it: DeltaMessage) -> list[Any]:
    return [[pack_delta(delta) for delta in it.deltas]]


def _read_delta_message(reader: Reader) -> DeltaMessage:
    count = reader.items("deltas", DELTAS_MAX)
    return DeltaMessage(
        tuple(read_delta(reader, reader.array("delta", DELTA_FIELDS)) for _ in range(count))
    )


def _pack_farewell(it: Farewell) -> list[Any]:
    return [int(it.parting), [] if it.delta is None else [pack_delta(it.delta)]]


def _read_farewell(reader: Reader) -> Farewell:
    parting = reader.choice("farewell.parting", {parting.value: parting for parting in Parting})
    if reader.items("farewell.deltas", 1):
        return Farewell(parting, read_delta(reader, reader.array("delta", DELTA_FIELDS)))
    return Farewell(parting)


def _pack_greeting(it: Hello | Welcome) -> list[Any]:
    return [it.number, it.cluster, it.endpoint, *it.wire, it.features, it.clock]


def _read_greeting(reader: Reader) -> tuple[int, str, str, tuple[int, int], tuple[str, ...], int]:
    return (
        reader.integer("number"),
        reader.text("greeting.cluster", NAME_BYTES_MAX),
        reader.text("greeting.endpoint", ENDPOINT_BYTES_MAX),
        read_wire(reader, "greeting.wire"),
        read_features(reader, "greeting.features"),
        reader.integer("greeting.clock"),
    )


def _pack_hello(it: Hello) -> list[Any]:
    return [*_pack_greeting(it), it.set_digest]


def _read_hello(reader: Reader) -> Hello:
    return Hello(*_read_greeting(reader), reader.integer("greeting.set_digest", high=DIGEST_MAX))


def _pack_welcome(it: Welcome) -> list[Any]:
    return [*_pack_greeting(it), _pack_members(it.members)]


def _read_welcome(reader: Reader) -> Welcome:
    return Welcome(*_read_greeting(reader), _read_members(reader))


def _pack_refusal(it: Refusal) -> list[Any]:
    return [it.number, int(it.kind), it.cluster, it.text]


def _read_refusal(reader: Reader) -> Refusal:
    return Refusal(
        reader.integer("number"),
        reader.choice("refusal.kind", {kind.value: kind for kind in RefusalKind}),
        reader.text("refusal.cluster", NAME_BYTES_MAX),
        reader.text("refusal.text", REASON_BYTES_MAX, 0),
    )


def _pack_digest(it: Digest) -> list[Any]:
    return [it.number, _pack_clocks(it.known)]


def _read_digest(reader: Reader) -> Digest:
    return Digest(reader.integer("number"), _read_clocks(reader, "digest.known"))


def _pack_clocks(clocks: tuple[tuple[ReplicaId, int], ...]) -> list[Any]:
    return [[*replica, clock] for replica, clock in clocks]


def _read_clocks(reader: Reader, field: str) -> tuple[tuple[ReplicaId, int], ...]:
    clocks = []
    for _ in range(reader.items(field, NODES_MAX)):
        width = reader.array(field, 3)
        clocks.append((reader.replica(f"{field}.replica"), reader.integer(f"{field}.clock")))
        reader.skip(width - 3)
    return tuple(clocks)


def _pack_seen(it: Seen) -> list[Any]:
    return [it.number, _pack_clocks(it.goals), it.patience_ms]


def _read_seen(reader: Reader) -> Seen:
    number = reader.integer("number")
    goals = _read_clocks(reader, "seen.goals")
    return Seen(number, goals, reader.integer("seen.patience_ms", high=PATIENCE_MS_MAX))


def _pack_seen_reply(it: SeenReply) -> list[Any]:
    return [it.number, _pack_clocks(it.behind)]


def _read_seen_reply(reader: Reader) -> SeenReply:
    return SeenReply(reader.integer("number"), _read_clocks(reader, "seen.behind"))


def _pack_digest_reply(it: DigestReply | ProbeReply) -> list[Any]:
    return [it.number, _pack_members(it.members)]


def _read_digest_reply(reader: Reader) -> DigestReply:
    return DigestReply(reader.integer("number"), _read_members(reader))


def _pack_members(members: tuple[Acquaintance, ...]) -> list[Any]:
    return [
        [
            *it.replica,
            it.endpoint,
            it.clock,
            int(it.standing),
            it.age_ms,
            it.beat,
            it.refused_ms + 1,
        ]
        for it in members
    ]


_STANDINGS: Mapping[int, Standing] = {standing.value: standing for standing in Standing}


def _read_members(reader: Reader) -> tuple[Acquaintance, ...]:
    return tuple(_read_member(reader) for _ in range(reader.items("members", NODES_MAX)))


def _read_member(reader: Reader) -> Acquaintance:
    width = reader.array("members", 8)
    member = Acquaintance(
        reader.replica("members.replica"),
        reader.text("members.endpoint", ENDPOINT_BYTES_MAX),
        reader.integer("members.clock"),
        reader.choice("members.standing", _STANDINGS),
        reader.integer("members.age_ms"),
        reader.integer("members.beat"),
        reader.integer("members.refused_ms") - 1,
    )
    reader.skip(width - 8)
    return member


def _pack_sync_request(it: SyncRequest) -> list[Any]:
    return [it.number, [[*want.replica, want.since, want.after, want.floor] for want in it.wants]]


def _read_sync_request(reader: Reader) -> SyncRequest:
    number = reader.integer("number")
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
    number = reader.integer("number")
    last = reader.boolean("sync.last")
    count = reader.items("sync.parts", CHAINS_PER_REQUEST)
    return SyncChunk(number, last, tuple(read_part(reader) for _ in range(count)))


def _pack_probe(it: Probe) -> list[Any]:
    return [it.number, it.nodes]


def _read_probe(reader: Reader) -> Probe:
    number = reader.integer("number")
    count = reader.items("probe.nodes", PROBED_MAX)
    return Probe(number, tuple(reader.name("probe.nodes") for _ in range(count)))


def _read_probe_reply(reader: Reader) -> ProbeReply:
    return ProbeReply(reader.integer("number"), _read_members(reader))


@dataclass(frozen=True, slots=True)
class Codec:
    """How one kind of message becomes `fields` fields, and these become one again."""

    number: Number
    fields: int
    pack: Callable[[Any], list[Any]]
    read: Callable[[Reader], Message]


BY_TYPE: Mapping[type, Codec] = {
    DeltaMessage: Codec(Number.DELTA, 1, _pack_delta_message, _read_delta_message),
    Farewell: Codec(Number.FAREWELL, 2, _pack_farewell, _read_farewell),
    Hello: Codec(Number.HELLO, 8, _pack_hello, _read_hello),
    Welcome: Codec(Number.WELCOME, 8, _pack_welcome, _read_welcome),
    Refusal: Codec(Number.REFUSAL, 4, _pack_refusal, _read_refusal),
    Digest: Codec(Number.DIGEST, 2, _pack_digest, _read_digest),
    DigestReply: Codec(Number.DIGEST_REPLY, 2, _pack_digest_reply, _read_digest_reply),
    SyncRequest: Codec(Number.SYNC_REQUEST, 2, _pack_sync_request, _read_sync_request),
    SyncChunk: Codec(Number.SYNC_CHUNK, 3, _pack_sync_chunk, _read_sync_chunk),
    Probe: Codec(Number.PROBE, 2, _pack_probe, _read_probe),
    Seen: Codec(Number.SEEN, 3, _pack_seen, _read_seen),
    SeenReply: Codec(Number.SEEN_REPLY, 2, _pack_seen_reply, _read_seen_reply),
    ProbeReply: Codec(Number.PROBE_REPLY, 2, _pack_digest_reply, _read_probe_reply),
}
BY_NUMBER: Mapping[int, Codec] = {codec.number: codec for codec in BY_TYPE.values()}
