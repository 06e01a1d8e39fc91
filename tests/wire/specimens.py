"""A full message of each kind, every optional part of it there."""

import msgpack

from discoagent.core.entry import Cause, Entry, Kind, MemberRecord, ReplicaId
from discoagent.core.messages import (
    Absent,
    Acquaintance,
    Delta,
    DeltaMessage,
    Digest,
    DigestReply,
    Farewell,
    Heartbeat,
    Hello,
    Message,
    Page,
    Parting,
    Probe,
    ProbeReply,
    Refusal,
    RefusalKind,
    Removal,
    Seen,
    SeenReply,
    Standing,
    SyncChunk,
    SyncRequest,
    Want,
    Welcome,
)
from discoagent.wire import encode

SENDER = ReplicaId("node-a", 1_700_000_000_000_000)
_PEER = ReplicaId("node-b", 1_700_000_000_000_001)
_THIRD = ReplicaId("node-c", 5)
_ENDPOINTS = ("10.0.0.5:7800", "10.0.0.6:7800", "[fe80::1]:7800")
_CAUSE = Cause("registered", b"\x94\xcd\x03\xe8\xcd\x30\x39\xa3/sh\xc0", 1_700_000_000_000)
_OWNER = b"12345678\x95\xcd\x03\xe8\x2a\x07\xc0\xc0"
_SERVICE = Entry(
    Kind.SERVICE,
    "web",
    "web-1",
    _OWNER,
    msgpack.packb(["passing", "::1", 80, ["t"], {"k": "v"}, ["process", 42], 1, 2, [3, 4], []]),
)
_PRESENCE = Entry(
    Kind.PRESENCE,
    "älice",
    "3.000000000004",
    _OWNER,
    msgpack.packb(["room:1", {"device": "tv"}, ["process", 42], 1, 2, [3, 4]]),
)
_FORGOTTEN = Entry(Kind.FORGOTTEN, "", "", b"", ReplicaId("gone", 7))


def specimens(
    sender: ReplicaId,
    peer: ReplicaId,
    endpoints: tuple[str, str, str],
    cluster: str = "prod",
) -> tuple[Message, ...]:
    """Return what `sender` may say, of itself, of `peer` and of a third at these endpoints."""
    record = MemberRecord(
        endpoints[0], "0.1.0", (1, 1), ("sync",), {"zone": "a"}, settled=True, boot="b-1"
    )
    member = Entry(Kind.MEMBER, "", "", b"", record)
    delta = Delta(
        sender,
        4,
        9,
        {5: (_SERVICE, _CAUSE), 6: (_PRESENCE, None), 8: (_FORGOTTEN, _CAUSE), 9: (member, _CAUSE)},
        {2: Removal(_CAUSE, 7), 3: Removal(Cause("exit:SIGKILL", b"", 5), 0)},
    )
    page = Page(peer, 3, 20, {4: _SERVICE, 11: _PRESENCE, 20: member}, ((1, 2), (4, 1), (11, 10)))
    members = (
        Acquaintance(peer, endpoints[1], 20, Standing.ALIVE, 350, 17),
        Acquaintance(_THIRD, endpoints[2], 2, Standing.RESTARTING, 4_000, 9, 120),
    )
    return (
        Heartbeat(2**64 - 1, sender.incarnation, 17, 9, 1, 2, 3, 0),
        DeltaMessage((delta,)),
        Seen(4, ((peer, 7),), 1_000),
        SeenReply(4, ((peer, 6),)),
        Farewell(Parting.LEAVE, delta),
        Farewell(Parting.RESTART),
        Hello(1, cluster, endpoints[0], (1, 1), ("sync",), 9, 2**63),
        Welcome(1, cluster, endpoints[1], (1, 2), (), 20, members),
        Refusal(1, RefusalKind.CLUSTER, cluster, f"this is cluster {cluster}"),
        Digest(2, ((sender, 9), (peer, 20))),
        DigestReply(2, members),
        Probe(3, (peer.node, _THIRD.node)),
        ProbeReply(3, members),
        SyncRequest(3, (Want(peer, 4, 11, 20), Want(sender, 0))),
        SyncChunk(3, False, (page, delta, Absent(_THIRD))),
    )


SPECIMENS = specimens(SENDER, _PEER, _ENDPOINTS)


def specimen_frames() -> list[bytes]:
    """Return every specimen as a frame with an extension, as `SENDER` would send it."""
    return [encode(message, SENDER, {7: b"later"}) for message in SPECIMENS]
