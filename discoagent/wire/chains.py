"""Entries, deltas and pages as msgpack fields: the bulk of what travels. Pure.

    entry   kind, name, id, owner's number, body
    body    bytes, or by kind: a record | [node, incarnation]
    record  [endpoint, version, wire low, wire high, [feature...], {label: value}, settled, boot,
            [[kind, name, id, cause...]...]]
    cause   [word, actor, at ms]
    delta   node, incarnation, since, until, [cause...], [owner...],
            [[gap, cause's number | nil, entry...]...], [gap, cause's number, step | 0, gap, ...]
    page    node, incarnation, after, clock, [owner...], [[gap, entry...]...], is it the last,
            [gap, count, gap, ...]
    part    [0, delta...] | [1, page...] | [2, node, incarnation]

Dots ascend and travel as the gap to the one before, of one byte as a rule; owners and causes, which
many entries of one turn or one application share, travel once and are one object each afterwards.
In each array a later version may append fields, which this one passes by.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from discoagent.core.entry import Cause, Entry, Key, Kind, MemberRecord, ReplicaId
from discoagent.core.limits import (
    ACTOR_BYTES_MAX,
    CAUSE_WORD_BYTES_MAX,
    CHUNK_ENTRIES_MAX,
    ENDED_MAX,
    ENDPOINT_BYTES_MAX,
    ENTRIES_PER_NODE_MAX,
    ENTRY_BYTES_MAX,
    FEATURES_MAX,
    LABELS_MAX,
    NAME_BYTES_MAX,
    NODES_MAX,
    OWNER_BYTES_MAX,
)
from discoagent.core.messages import Absent, Delta, Page, Part, Removal
from discoagent.wire.fields import Reader, WireError

LABEL_VALUE_BYTES_MAX = 1_024
STEPS_PER_PART_MAX = 10 * CHUNK_ENTRIES_MAX  # senders stop at a chunk; to overshoot is no offence
LIVE_DOTS_MAX = ENTRIES_PER_NODE_MAX + NODES_MAX  # with the protocol's own: the record, verdicts

_ENTRY_FIELDS = 5
_DELTA, _PAGE, _ABSENT = range(3)

_KindReader = tuple[
    Kind,
    Callable[[Reader], tuple[str, str]],
    Callable[[Reader], bytes | MemberRecord | ReplicaId],
]


class _Numbering(dict[Any, int]):
    """Numbers values in the order in which they are first asked for."""

    def __missing__(self, value: Any) -> int:
        number = self[value] = len(self)
        return number


def pack_delta(delta: Delta) -> list[Any]:
    """Return the fields of a delta."""
    causes, owners = _Numbering(), _Numbering()
    added: list[Any] = []
    last = delta.since
    for dot, (entry, cause) in sorted(delta.added.items()):
        number = None if cause is None else causes[cause]
        added.append([dot - last, number, *_pack_entry(entry, owners)])
        last = dot
    removed: list[int] = []
    last = 0
    for dot, (cause, clock) in sorted(delta.removed.items()):
        removed += (dot - last, causes[cause], clock and clock - dot)
        last = dot
    return [*delta.replica, delta.since, delta.until, list(causes), list(owners), added, removed]


def read_delta(reader: Reader, count: int) -> Delta:
    """Read a delta of `count` fields."""
    replica = reader.replica("delta.replica")
    since = reader.integer("delta.since")
    until = reader.integer("delta.until", low=1)
    if since >= until:
        raise WireError("order", f"delta.since is {since}, not below delta.until, {until}")
    causes = [_read_cause(reader) for _ in range(reader.items("delta.causes", STEPS_PER_PART_MAX))]
    owners = _read_owners(reader)
    added: dict[int, tuple[Entry, Cause | None]] = {}
    dot = since
    for _ in range(reader.items("delta.added", STEPS_PER_PART_MAX)):
        width = reader.array("entry", 2 + _ENTRY_FIELDS)
        dot += reader.integer("delta.added.gap", low=1, high=until - dot)
        cause = reader.optional_index("entry.cause", causes)
        added[dot] = (_read_entry(reader, owners, width - 2), cause)
    removed = _read_removed(reader, until, causes)
    if not added.keys().isdisjoint(removed):
        raise WireError("order", "a dot is in both delta.added and delta.removed")
    reader.skip(count - 8)
    return Delta(replica, since, until, added, removed)


DELTA_FIELDS = 8


def pack_part(part: Part) -> list[Any]:
    """Return one part of a sync chunk as an array, its kind first."""
    match part:
        case Delta():
            return [_DELTA, *pack_delta(part)]
        case Page():
            return [_PAGE, *_pack_page(part)]
        case Absent():
            return [_ABSENT, *part.replica]


def read_part(reader: Reader) -> Part:
    """Read one part of a sync chunk."""
    width = reader.array("part", 1)
    fields_min, read = reader.choice("part.kind", _PARTS)
    if width - 1 < fields_min:
        raise WireError("missing", f"part has {width - 1} of {fields_min} fields")
    return read(reader, width - 1)


def _pack_page(page: Page) -> list[Any]:
    owners = _Numbering()
    entries: list[Any] = []
    last = page.after
    for dot, entry in sorted(page.entries.items()):
        entries.append([dot - last, *_pack_entry(entry, owners)])
        last = dot
    runs: list[int] = []
    last = 0
    for first, count in page.live or ():
        runs += (first - last, count)
        last = first + count - 1
    is_last = page.live is not None
    return [*page.replica, page.after, page.clock, list(owners), entries, is_last, runs]


def _read_page(reader: Reader, count: int) -> Page:
    replica = reader.replica("page.replica")
    after = reader.integer("page.after")
    clock = reader.integer("page.clock")
    owners = _read_owners(reader)
    entries: dict[int, Entry] = {}
    dot = after
    for _ in range(reader.items("page.entries", STEPS_PER_PART_MAX)):
        width = reader.array("entry", 1 + _ENTRY_FIELDS)
        dot += reader.integer("page.entries.gap", low=1, high=clock - dot)
        entries[dot] = _read_entry(reader, owners, width - 1)
    is_last = reader.boolean("page.last")
    live = _read_live(reader, clock)
    reader.skip(count - 8)
    return Page(replica, after, clock, entries, live if is_last else None)


def _read_absent(reader: Reader, count: int) -> Absent:
    replica = reader.replica("absent.replica")
    reader.skip(count - 2)
    return Absent(replica)


_PARTS: Mapping[int, tuple[int, Callable[[Reader, int], Part]]] = {
    _DELTA: (DELTA_FIELDS, read_delta),
    _PAGE: (8, _read_page),
    _ABSENT: (2, _read_absent),
}


def _read_removed(reader: Reader, until: int, causes: list[Cause]) -> dict[int, Removal]:
    length = reader.items("delta.removed", 3 * STEPS_PER_PART_MAX)
    if length % 3:
        raise WireError("missing", "delta.removed ends with a dot without a cause or a step")
    removed: dict[int, Removal] = {}
    dot = 0
    for _ in range(length // 3):
        dot += reader.integer("delta.removed.gap", low=1, high=until - dot)
        cause = reader.index("delta.removed.cause", causes)
        age = reader.integer("delta.removed.step", high=until - dot)
        removed[dot] = Removal(cause, dot + age if age else 0)
    return removed


def _read_live(reader: Reader, clock: int) -> tuple[tuple[int, int], ...]:
    length = reader.items("page.live", 2 * LIVE_DOTS_MAX)
    if length % 2:
        raise WireError("missing", "page.live ends with a run without a count")
    runs: list[tuple[int, int]] = []
    last = total = 0
    for _ in range(length // 2):
        first = last + reader.integer("page.live.gap", low=1, high=clock - last)
        count = reader.integer("page.live.count", low=1, high=clock - first + 1)
        total += count
        if total > LIVE_DOTS_MAX:
            raise WireError("length", f"page.live names over {LIVE_DOTS_MAX} dots, the bound")
        runs.append((first, count))
        last = first + count - 1
    return tuple(runs)


def _read_cause(reader: Reader) -> Cause:
    width = reader.array("cause", 3)
    cause = _read_cause_fields(reader)
    reader.skip(width - 3)
    return cause


def _read_cause_fields(reader: Reader) -> Cause:
    return Cause(
        sys.intern(reader.text("cause.word", CAUSE_WORD_BYTES_MAX)),
        reader.blob("cause.actor", ACTOR_BYTES_MAX),
        reader.integer("cause.at"),
    )


def _read_owners(reader: Reader) -> list[bytes]:
    count = reader.items("owners", STEPS_PER_PART_MAX)
    return [reader.blob("entry.owner", OWNER_BYTES_MAX) for _ in range(count)]


def _pack_entry(entry: Entry, owners: _Numbering) -> tuple[Any, ...]:
    body: Any = entry.body
    if isinstance(body, MemberRecord):
        body = _pack_record(body)
    return (int(entry.kind), entry.name, entry.id, owners[entry.owner], body)


def _read_entry(reader: Reader, owners: list[bytes], count: int) -> Entry:
    kind, read_names, read_body = reader.choice("entry.kind", _KINDS)
    name, identity = read_names(reader)
    owner = reader.index("entry.owner", owners)
    body = read_body(reader)
    if count > _ENTRY_FIELDS:
        reader.skip(count - _ENTRY_FIELDS)
    return Entry(kind, name, identity, owner, body)


def _read_service_names(reader: Reader) -> tuple[str, str]:
    """Read a service and an instance. Services are few and named often: interned."""
    return sys.intern(reader.name("entry.name")), reader.name("entry.id")


def _read_presence_names(reader: Reader) -> tuple[str, str]:
    return reader.text("entry.name", NAME_BYTES_MAX), reader.text("entry.id", NAME_BYTES_MAX)


def _read_own_names(reader: Reader) -> tuple[str, str]:
    """Read the names of one of the protocol's own entries, which may do without."""
    return reader.text("entry.name", NAME_BYTES_MAX, 0), reader.text("entry.id", NAME_BYTES_MAX, 0)


def _read_bytes(reader: Reader) -> bytes:
    return reader.blob("entry.body", ENTRY_BYTES_MAX)


def _read_forgotten(reader: Reader) -> ReplicaId:
    width = reader.array("forgotten", 2)
    replica = reader.replica("forgotten")
    reader.skip(width - 2)
    return replica


def _pack_record(record: MemberRecord) -> list[Any]:
    return [
        record.endpoint,
        record.version,
        *record.wire,
        record.features,
        dict(record.labels),
        record.settled,
        record.boot,
        [[*key, *cause] for key, cause in record.ended.items()],
    ]


def _read_record(reader: Reader) -> MemberRecord:
    width = reader.array("member", 9)
    record = MemberRecord(
        endpoint=reader.text("member.endpoint", ENDPOINT_BYTES_MAX),
        version=reader.text("member.version", NAME_BYTES_MAX, 0),
        wire=read_wire(reader, "member.wire"),
        features=read_features(reader, "member.features"),
        labels=_read_labels(reader),
        settled=reader.boolean("member.settled"),
        boot=reader.text("member.boot", NAME_BYTES_MAX, 0),
        ended=_read_ended(reader),
    )
    reader.skip(width - 9)
    return record


def _read_ended(reader: Reader) -> dict[Key, Cause]:
    ended: dict[Key, Cause] = {}
    for _ in range(reader.items("member.ended", ENDED_MAX)):
        width = reader.array("member.ended", 6)
        kind, read_names, _ = reader.choice("member.ended.kind", _KINDS)
        key = (kind, *read_names(reader))
        ended[key] = _read_cause_fields(reader)
        reader.skip(width - 6)
    return ended


def read_wire(reader: Reader, field: str) -> tuple[int, int]:
    """Read the lowest and highest wire version that somebody speaks."""
    low = reader.integer(f"{field}.low")
    return low, reader.integer(f"{field}.high", low=low)


def read_features(reader: Reader, field: str) -> tuple[str, ...]:
    """Read the names of features that somebody has."""
    return tuple(reader.name(field) for _ in range(reader.items(field, FEATURES_MAX)))


def _read_labels(reader: Reader) -> dict[str, str]:
    labels: dict[str, str] = {}
    for _ in range(reader.pairs("member.labels", LABELS_MAX)):
        key = reader.text("member.labels.key", NAME_BYTES_MAX)
        if key in labels:
            raise WireError("duplicate", "member.labels has a key twice")
        labels[key] = reader.text("member.labels.value", LABEL_VALUE_BYTES_MAX, 0)
    return labels


_KINDS: Mapping[int, _KindReader] = {
    Kind.MEMBER: (Kind.MEMBER, _read_own_names, _read_record),
    Kind.SERVICE: (Kind.SERVICE, _read_service_names, _read_bytes),
    Kind.PRESENCE: (Kind.PRESENCE, _read_presence_names, _read_bytes),
    Kind.FORGOTTEN: (Kind.FORGOTTEN, _read_own_names, _read_forgotten),
}
