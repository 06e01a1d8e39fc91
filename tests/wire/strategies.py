"""What can be on the wire: strategies for every message, and ways to spoil a frame.

`mutate` changes one field of a valid frame and leaves the rest as it was, `scramble` changes bytes
without any idea of what they mean. Both draw from a `random.Random`: a seed tells a frame again.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import msgpack
from hypothesis import strategies as st

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
from discoagent.wire import HEARTBEAT_BYTES

INTEGER_MAX = 2**63 - 1

# ---- strategies

NAME_CHARACTERS = "abcXYZ019._-"
names = st.text(NAME_CHARACTERS, min_size=1, max_size=8) | st.just("n" * 128)
texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=30)
counts = st.integers(0, 300) | st.integers(0, INTEGER_MAX)
digests = st.integers(0, 2**64 - 1)
replicas = st.builds(ReplicaId, names, counts)
senders = replicas
wires = st.tuples(st.integers(0, 9), st.integers(9, 99))
features = st.lists(names, max_size=3).map(tuple)
extension_maps = st.dictionaries(counts, st.binary(max_size=40), max_size=3)
owners = st.binary(max_size=20) | st.sampled_from([b"12345678 a", b"12345678 b"])
causes = st.builds(Cause, texts.filter(lambda text: len(text.encode()) <= 32), owners, counts)

member_records = st.builds(
    MemberRecord,
    endpoint=texts,
    version=names,
    wire=wires,
    features=features,
    labels=st.dictionaries(texts, texts | st.just(""), max_size=3),
    settled=st.booleans(),
    boot=names | st.just(""),
)
_bodies = st.binary(max_size=40)
entries = st.one_of(
    st.builds(Entry, st.just(Kind.SERVICE), names, names, owners, _bodies),
    st.builds(Entry, st.just(Kind.PRESENCE), texts, texts, owners, _bodies),
    st.builds(Entry, st.just(Kind.MEMBER), st.just(""), st.just(""), owners, member_records),
    st.builds(Entry, st.just(Kind.FORGOTTEN), names, names, owners, replicas),
)


def _dots(low: int, high: int, most: int = 4) -> st.SearchStrategy[list[int]]:
    """Draw distinct dots in low..high, none if there is none."""
    if low > high:
        return st.just([])
    return st.lists(st.integers(low, high), max_size=most, unique=True)


@st.composite
def deltas(draw: st.DrawFn) -> Delta:
    """Draw a delta that keeps its relations."""
    since = draw(st.integers(0, 50) | st.integers(0, INTEGER_MAX - 1))
    until = draw(st.integers(since + 1, min(since + 50, INTEGER_MAX)) | st.just(INTEGER_MAX))
    added = {
        dot: (draw(entries), draw(st.none() | causes)) for dot in draw(_dots(since + 1, until))
    }
    removed = {
        dot: Removal(draw(causes), draw(st.sampled_from(sorted({0, dot + 1, until} - {dot}))))
        for dot in draw(_dots(1, until))
        if dot not in added and dot < until
    }
    return Delta(draw(replicas), since, until, added, removed)


@st.composite
def pages(draw: st.DrawFn) -> Page:
    """Draw a page that keeps its relations."""
    clock = draw(st.integers(0, 50) | counts)
    after = draw(st.integers(0, clock))
    held = {dot: draw(entries) for dot in draw(_dots(after + 1, clock))}
    live = draw(st.none() | _dots(1, min(clock, 1_000)).map(_runs))
    return Page(draw(replicas), after, clock, held, live)


def _runs(dots: list[int]) -> tuple[tuple[int, int], ...]:
    """Turn dots into runs of ascending dots, not always of the longest possible."""
    runs: list[tuple[int, int]] = []
    for dot in sorted(dots):
        if runs and sum(runs[-1]) == dot and dot % 3:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((dot, 1))
    return tuple(runs)


acquaintances = st.builds(
    Acquaintance,
    replicas,
    texts,
    counts,
    st.sampled_from(Standing),
    st.integers(0, 10**6),
    counts,
    st.integers(-1, 10**6),
)
clocks = st.lists(st.tuples(replicas, counts), max_size=3).map(tuple)
members = st.lists(acquaintances, max_size=3).map(tuple)

BY_KIND: Mapping[type[Message], st.SearchStrategy[Message]] = {
    Heartbeat: st.builds(
        Heartbeat,
        node_hash=digests,
        incarnation=counts,
        beat=counts,
        clock=counts,
        set_digest=digests,
        vector_digest=digests,
        chain_hash=digests,
        flags=st.integers(0, 255),
    ),
    DeltaMessage: st.builds(DeltaMessage, st.lists(deltas(), max_size=3).map(tuple)),
    Seen: st.builds(Seen, counts, clocks, st.integers(0, 86_400_000)),
    SeenReply: st.builds(SeenReply, counts, clocks),
    Farewell: st.builds(Farewell, st.sampled_from(Parting), st.none() | deltas()),
    Hello: st.builds(Hello, counts, names, texts, wires, features, counts, digests),
    Welcome: st.builds(Welcome, counts, names, texts, wires, features, counts, members),
    Refusal: st.builds(Refusal, counts, st.sampled_from(RefusalKind), names, texts),
    Digest: st.builds(Digest, counts, st.lists(st.tuples(replicas, counts), max_size=3).map(tuple)),
    DigestReply: st.builds(DigestReply, counts, members),
    Probe: st.builds(Probe, counts, st.lists(names, max_size=4).map(tuple)),
    ProbeReply: st.builds(ProbeReply, counts, members),
    SyncRequest: st.builds(
        SyncRequest,
        counts,
        st.lists(st.builds(Want, replicas, counts, counts, counts), max_size=3).map(tuple),
    ),
    SyncChunk: st.builds(
        SyncChunk,
        counts,
        st.booleans(),
        st.lists(deltas() | pages() | st.builds(Absent, replicas), max_size=3).map(tuple),
    ),
}
messages = st.one_of(*BY_KIND.values())

# ---- spoiling


@dataclass(frozen=True)
class _Place:
    """A value within a tree of lists and maps, by its container and its index or key there."""

    container: Any
    key: Any


def mutate(frame: bytes, random: Random) -> bytes:
    """Return a valid frame with one field changed: its value, type, size or presence."""
    if frame[0] < 0x80:
        return _mutate_heartbeat(frame, random)
    while True:
        root = [msgpack.unpackb(frame, strict_map_key=False)]
        place = random.choice(_places(root))
        place.container[place.key] = _other(place.container[place.key], random)
        mutated = bytes(msgpack.packb(root[0], unicode_errors="surrogateescape"))
        if mutated != frame:
            return mutated


def scramble(frame: bytes, random: Random) -> bytes:
    """Return a frame with some of its bytes changed, lost, doubled or made up."""
    at = random.randrange(len(frame) + 1)
    some = random.randbytes(random.choice((1, 1, 2, 9)))
    match random.randrange(5):
        case 0:
            return frame[:at]
        case 1:
            return frame[:at] + some + frame[at:]
        case 2:
            return frame[:at] + some + frame[at + len(some) :]
        case 3:
            return frame[:at] + frame[random.randrange(len(frame)) :]
        case _:
            return random.randbytes(random.randrange(200))


def _places(value: Any) -> list[_Place]:
    """List every value within a container, the containers in it too."""
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    found = []
    for key in keys:
        found.append(_Place(value, key))
        if isinstance(value[key], list | dict):
            found += _places(value[key])
    return found


_STRANGERS: tuple[Any, ...] = (
    None,
    True,
    -1,
    0.5,
    float("nan"),
    "",
    b"",
    [],
    {},
    [[[[[]]]]],
    {"a": {"b": []}},
    msgpack.ExtType(5, b"x"),
    msgpack.Timestamp(1),
)
_INTEGERS = (0, 1, 2, 255, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -1, -(2**63))
_TEXTS = ("", "a" * 129, "a" * 5_000, "a\nb", "a/b", "\udcff", "ü" * 65, "a\x00", "web", "\u202e")
_BLOBS = (b"", b"x", b"x" * 1_025, b"x" * 4_353, b"x" * 16_385)


def _other(value: Any, random: Random) -> Any:
    """Return another value in the place of this one: of another type, or of another size."""
    others: tuple[Any, ...] = _STRANGERS
    if random.random() < 0.7:
        match value:
            case bool():
                others = (not value, int(value))
            case int():
                others = (*_INTEGERS, value + 1, max(value - 1, 0), random.getrandbits(63))
            case str():
                others = (*_TEXTS, value + value)
            case bytes():
                others = (*_BLOBS, value + value)
            case list():
                return _other_list(value, random)
            case dict():
                others = (dict.fromkeys(range(17), b""), {**value, 9: 9}, {**value, "k": b""})
            case _:
                pass
    return random.choice(others)


def _other_list(value: list[Any], random: Random) -> list[Any]:
    at = random.randrange(len(value) + 1)
    choices: tuple[Callable[[], list[Any]], ...] = (
        lambda: value[:at],
        lambda: value[:at] + value[at + 1 :],
        lambda: value + value,
        lambda: [*value[:at], random.choice(_STRANGERS), *value[at:]],
        lambda: value[::-1],
        lambda: (value * 300)[:300],
    )
    return random.choice(choices)()


_HEARTBEAT = struct.Struct(">BB7QB")


def _mutate_heartbeat(frame: bytes, random: Random) -> bytes:
    while True:
        fields = list(_HEARTBEAT.unpack_from(frame))
        rest = frame[HEARTBEAT_BYTES - 1 :]
        at = random.randrange(len(fields) + 1)
        if at == len(fields):
            rest = random.choice((b"", b"\xc0", b"\x81", b"\x80\x80", msgpack.packb({1: "a"})))
        elif 2 <= at < len(fields) - 1:
            fields[at] = random.choice((*(n for n in _INTEGERS if n >= 0), random.getrandbits(64)))
        else:
            fields[at] = random.randrange(0x80 if at == 0 else 256)
        mutated = _HEARTBEAT.pack(*fields) + rest
        if mutated != frame:
            return mutated
