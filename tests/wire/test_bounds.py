"""Each bound of the wire: what just keeps it is read, what just breaks it is refused by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from discoagent.core import limits
from discoagent.core.entry import Cause, Entry, Kind, MemberRecord, ReplicaId
from discoagent.core.messages import (
    Absent,
    Acquaintance,
    Delta,
    DeltaMessage,
    Digest,
    DigestReply,
    Heartbeat,
    Hello,
    Message,
    Page,
    Probe,
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
from discoagent.wire import WireError, decode, encode
from discoagent.wire.chains import LABEL_VALUE_BYTES_MAX, LIVE_DOTS_MAX, STEPS_PER_PART_MAX
from tests.wire.specimens import SENDER

INTEGER_MAX = 2**63 - 1
HELLO = Hello(1, "prod", "10.0.0.5:7800", (1, 1))
SERVICE = Entry(Kind.SERVICE, "web", "web-1", b"12345678", b"")
SHORTEST = Entry(Kind.SERVICE, "s", "i", b"", b"")
PRESENCE = Entry(Kind.PRESENCE, "room", "alice", b"12345678", b"")
RECORD = MemberRecord("10.0.0.5:7800", "0.1.0")
CAUSE = Cause("registered", b"", 1)
EMPTY = Delta(SENDER, 0, 1, {}, {})


def delta(entry: Entry = SERVICE, cause: Cause = CAUSE) -> DeltaMessage:
    """A delta of one entry, made for one reason."""
    return DeltaMessage((Delta(SENDER, 0, 1, {1: (entry, cause)}, {}),))


def member(**changes: Any) -> DeltaMessage:
    """A delta of one member record."""
    return delta(Entry(Kind.MEMBER, "", "", b"", replace(RECORD, **changes)))


def page(*live: tuple[int, int], clock: int = INTEGER_MAX) -> SyncChunk:
    """A last page that holds nothing and names these runs of live dots."""
    return SyncChunk(1, True, (Page(SENDER, 0, clock, {}, live),))


def names(count: int) -> tuple[str, ...]:
    """So many names."""
    return tuple(f"name-{number}" for number in range(count))


def acquaintances(count: int) -> tuple[Acquaintance, ...]:
    """So many members."""
    return (Acquaintance(SENDER, "a:1", 1, Standing.ALIVE, 0),) * count


@dataclass(frozen=True)
class Bound:
    """`build(most)` is read; `build(most + 1)` is refused with `reason`, and `field` is named."""

    field: str
    reason: str
    most: int
    build: Callable[[int], Message]


BOUNDS = [
    Bound(
        "greeting.cluster",
        "length",
        limits.NAME_BYTES_MAX,
        lambda n: replace(HELLO, cluster="c" * n),
    ),
    Bound(
        "greeting.endpoint",
        "length",
        limits.ENDPOINT_BYTES_MAX,
        lambda n: replace(HELLO, endpoint="e" * n),
    ),
    Bound(
        "greeting.features",
        "length",
        limits.FEATURES_MAX,
        lambda n: replace(HELLO, features=names(n)),
    ),
    Bound(
        "greeting.features",
        "name",
        limits.NAME_BYTES_MAX,
        lambda n: replace(HELLO, features=("f" * n,)),
    ),
    Bound("greeting.wire.high", "range", INTEGER_MAX, lambda n: replace(HELLO, wire=(1, n))),
    Bound("greeting.clock", "range", INTEGER_MAX, lambda n: replace(HELLO, clock=n)),
    Bound("number", "range", INTEGER_MAX, lambda n: replace(HELLO, number=n)),
    Bound("deltas", "length", limits.DELTAS_MAX, lambda n: DeltaMessage((EMPTY,) * n)),
    Bound("seen.goals", "length", limits.NODES_MAX, lambda n: Seen(1, ((SENDER, 1),) * n, 0)),
    Bound("seen.behind", "length", limits.NODES_MAX, lambda n: SeenReply(1, ((SENDER, 1),) * n)),
    Bound("seen.patience_ms", "range", limits.PATIENCE_MS_MAX, lambda n: Seen(1, (), n)),
    Bound(
        "member.ended",
        "length",
        limits.ENDED_MAX,
        lambda n: member(ended={(Kind.SERVICE, "s", str(i)): CAUSE for i in range(n)}),
    ),
    Bound("probe.nodes", "length", limits.PROBED_MAX, lambda n: Probe(1, ("a",) * n)),
    Bound("members", "length", limits.NODES_MAX, lambda n: DigestReply(1, acquaintances(n))),
    Bound(
        "members",
        "length",
        limits.NODES_MAX,
        lambda n: Welcome(1, "c", "a:1", (1, 1), (), 1, acquaintances(n)),
    ),
    Bound(
        "members.endpoint",
        "length",
        limits.ENDPOINT_BYTES_MAX,
        lambda n: DigestReply(1, (Acquaintance(SENDER, "e" * n, 1, Standing.ALIVE, 0),)),
    ),
    Bound(
        "members.age_ms",
        "range",
        INTEGER_MAX,
        lambda n: DigestReply(1, (Acquaintance(SENDER, "e", 1, Standing.ALIVE, n),)),
    ),
    Bound(
        "refusal.cluster",
        "length",
        limits.NAME_BYTES_MAX,
        lambda n: Refusal(1, RefusalKind.CLUSTER, "c" * n, ""),
    ),
    Bound(
        "refusal.text",
        "length",
        limits.REASON_BYTES_MAX,
        lambda n: Refusal(1, RefusalKind.WIRE, "c", "t" * n),
    ),
    Bound("digest.known", "length", limits.NODES_MAX, lambda n: Digest(1, ((SENDER, 1),) * n)),
    Bound("digest.known.clock", "range", INTEGER_MAX, lambda n: Digest(1, ((SENDER, n),))),
    Bound(
        "digest.known.replica",
        "name",
        limits.NAME_BYTES_MAX,
        lambda n: Digest(1, ((ReplicaId("n" * n, 1), 1),)),
    ),
    Bound(
        "digest.known.replica", "range", INTEGER_MAX, lambda n: Digest(1, ((ReplicaId("n", n), 1),))
    ),
    Bound(
        "sync.wants",
        "length",
        limits.CHAINS_PER_REQUEST,
        lambda n: SyncRequest(1, (Want(SENDER, 0),) * n),
    ),
    Bound("want.since", "range", INTEGER_MAX, lambda n: SyncRequest(1, (Want(SENDER, n),))),
    Bound(
        "want.after", "range", INTEGER_MAX, lambda n: SyncRequest(1, (Want(SENDER, 0, after=n),))
    ),
    Bound(
        "want.floor", "range", INTEGER_MAX, lambda n: SyncRequest(1, (Want(SENDER, 0, floor=n),))
    ),
    Bound(
        "sync.parts",
        "length",
        limits.CHAINS_PER_REQUEST,
        lambda n: SyncChunk(1, True, (Absent(SENDER),) * n),
    ),
    Bound(
        "entry.name", "name", limits.NAME_BYTES_MAX, lambda n: delta(replace(SERVICE, name="s" * n))
    ),
    Bound("entry.id", "name", limits.NAME_BYTES_MAX, lambda n: delta(replace(SERVICE, id="i" * n))),
    Bound(
        "entry.name",
        "length",
        limits.NAME_BYTES_MAX,
        lambda n: delta(replace(PRESENCE, name="s" * n)),
    ),
    Bound(
        "entry.id",
        "length",
        limits.NAME_BYTES_MAX,
        lambda n: delta(replace(PRESENCE, id="ü" * (n // 2) + "u" * (n % 2))),
    ),
    Bound(
        "entry.owner",
        "length",
        limits.OWNER_BYTES_MAX,
        lambda n: delta(replace(SERVICE, owner=b"o" * n)),
    ),
    Bound(
        "entry.body",
        "length",
        limits.ENTRY_BYTES_MAX,
        lambda n: delta(replace(SERVICE, body=b"b" * n)),
    ),
    Bound(
        "forgotten",
        "name",
        limits.NAME_BYTES_MAX,
        lambda n: delta(Entry(Kind.FORGOTTEN, "", "", b"", ReplicaId("n" * n, 1))),
    ),
    Bound(
        "cause.word",
        "length",
        limits.CAUSE_WORD_BYTES_MAX,
        lambda n: delta(cause=CAUSE._replace(word="w" * n)),
    ),
    Bound(
        "cause.actor",
        "length",
        limits.ACTOR_BYTES_MAX,
        lambda n: delta(cause=CAUSE._replace(actor=b"a" * n)),
    ),
    Bound("cause.at", "range", INTEGER_MAX, lambda n: delta(cause=CAUSE._replace(at=n))),
    Bound(
        "member.endpoint", "length", limits.ENDPOINT_BYTES_MAX, lambda n: member(endpoint="e" * n)
    ),
    Bound("member.version", "length", limits.NAME_BYTES_MAX, lambda n: member(version="v" * n)),
    Bound("member.boot", "length", limits.NAME_BYTES_MAX, lambda n: member(boot="b" * n)),
    Bound("member.features", "length", limits.FEATURES_MAX, lambda n: member(features=names(n))),
    Bound(
        "member.labels",
        "length",
        limits.LABELS_MAX,
        lambda n: member(labels=dict.fromkeys(names(n), "")),
    ),
    Bound(
        "member.labels.key", "length", limits.NAME_BYTES_MAX, lambda n: member(labels={"k" * n: ""})
    ),
    Bound(
        "member.labels.value",
        "length",
        LABEL_VALUE_BYTES_MAX,
        lambda n: member(labels={"k": "v" * n}),
    ),
    Bound(
        "delta.until", "range", INTEGER_MAX, lambda n: DeltaMessage((Delta(SENDER, 0, n, {}, {}),))
    ),
    Bound(
        "delta.added",
        "length",
        STEPS_PER_PART_MAX,
        lambda n: DeltaMessage(
            (Delta(SENDER, 0, n, dict.fromkeys(range(1, n + 1), (SHORTEST, None)), {}),)
        ),
    ),
    Bound(
        "page.entries",
        "length",
        STEPS_PER_PART_MAX,
        lambda n: SyncChunk(
            1, True, (Page(SENDER, 0, n, dict.fromkeys(range(1, n + 1), SHORTEST)),)
        ),
    ),
    Bound(
        "delta.removed",
        "length",
        STEPS_PER_PART_MAX,
        lambda n: DeltaMessage(
            (Delta(SENDER, n, n + 1, {}, dict.fromkeys(range(1, n + 1), Removal(CAUSE, 0))),)
        ),
    ),
    Bound("page.live", "length", LIVE_DOTS_MAX, lambda n: page((1, n))),
    Bound("page.live", "length", LIVE_DOTS_MAX, lambda n: page((1, 5), (INTEGER_MAX - n, n - 5))),
]


@pytest.mark.parametrize(
    "bound", BOUNDS, ids=[f"{n}-{bound.field}" for n, bound in enumerate(BOUNDS)]
)
def test_each_bound_is_kept_to_the_last_unit(bound: Bound) -> None:
    """At the bound a message is read as it was, one above it nothing is; the field is named."""
    allowed = bound.build(bound.most)
    assert decode(encode(allowed, SENDER)).message == allowed

    with pytest.raises(WireError) as refusal:
        decode(encode(bound.build(bound.most + 1), SENDER))

    assert refusal.value.reason == bound.reason
    assert refusal.value.detail.startswith(f"{bound.field} ")
    bounds = str(limits.NAME_BYTES_MAX if bound.reason == "name" else bound.most)
    assert bounds in refusal.value.detail or bound.field.startswith(("delta.removed", "page.live"))


@pytest.mark.parametrize("field", ["incarnation", "beat", "clock"])
def test_the_counters_of_a_heartbeat_fit_a_signed_integer(field: str) -> None:
    """Hashes may use all 64 bits; what is counted may not, for every other message bounds it so."""
    heartbeat = Heartbeat(2**64 - 1, 1, 1, 1, *[2**64 - 1] * 3)
    allowed = heartbeat._replace(**{field: INTEGER_MAX})
    assert decode(encode(allowed, None)).message == allowed

    with pytest.raises(WireError, match=f"range: .*{field}"):
        decode(encode(heartbeat._replace(**{field: INTEGER_MAX + 1}), None))


@pytest.mark.parametrize("message", [HELLO, Heartbeat(*[0] * 7)], ids=["array", "heartbeat"])
def test_extensions_are_bounded(message: Message) -> None:
    """In number, in size and in their keys; in both forms of a frame."""
    largest = dict.fromkeys(range(limits.EXTENSIONS_MAX), b"x" * limits.EXTENSION_BYTES_MAX)
    assert decode(encode(message, SENDER, largest)).extensions == largest

    for extensions, refusal in (
        (dict.fromkeys(range(limits.EXTENSIONS_MAX + 1), b""), "length: extensions has 17 .* 16"),
        ({1: b"x" * (limits.EXTENSION_BYTES_MAX + 1)}, "length: extensions.value .* 1025 .* 1024"),
        ({-1: b""}, "range: extensions.key is -1"),
        ({1: "text"}, "type: extensions.value is not bytes but str"),
        ({"one": b""}, "type: extensions.key is not an integer but str"),
    ):
        with pytest.raises(WireError, match=refusal):
            decode(encode(message, SENDER, extensions))  # type: ignore[arg-type]


def test_a_frame_is_bounded() -> None:
    """The largest frame is read; a larger one is neither sent nor read."""
    page = Page(SENDER, 0, 1, {1: SERVICE})
    frame = encode(SyncChunk(1, True, (page,)), SENDER)
    padded = _padded(frame, limits.MESSAGE_BYTES_MAX)
    assert len(padded) == limits.MESSAGE_BYTES_MAX
    assert decode(padded) == decode(frame)

    with pytest.raises(
        WireError, match=f"size: the frame has {limits.MESSAGE_BYTES_MAX + 1} bytes"
    ):
        decode(_padded(frame, limits.MESSAGE_BYTES_MAX + 1))


def test_a_message_that_no_peer_would_take_is_not_encoded() -> None:
    """Rather an error here than a silent cut of the connection there."""
    bodies = {dot: replace(SERVICE, body=b"b" * 16_384) for dot in range(1, 300)}

    with pytest.raises(WireError, match=f"size: a SyncChunk of .*{limits.MESSAGE_BYTES_MAX}"):
        encode(SyncChunk(1, True, (Page(SENDER, 0, 300, bodies),)), SENDER)


def _padded(frame: bytes, size: int) -> bytes:
    """Append one unknown field to the message, of as many bytes as make the frame `size` long."""
    header, extensions = frame[0], frame[-1:]
    assert header < 0x9F
    assert extensions == b"\x80"
    field = b"\xc6" + (size - len(frame) - 5).to_bytes(4)
    return bytes([header + 1]) + frame[1:-1] + field + bytes(size - len(frame) - 5) + extensions
