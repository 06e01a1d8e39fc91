"""What the store keeps, as rows; and a batch of changes to them, written in one transaction."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple

import msgpack

from discoagent.core.entry import Entry
from discoagent.store.events import LoggedEvent

EVENTS_LEAST = 10_000  # of the log, kept in any case
EVENTS_WAITING = 20_000  # for a disk that is slow
PEERS_KEPT = 64

Key = tuple[int, str, str]
"""Kind, name and id of an entry; the core's keys are such, too."""
PackedRows = dict[bytes, bytes | None]
"""By packed key: the rest of a row, packed, or None for what has ended."""
_NOTHING = b"\xc0"  # msgpack's nil
# One packer for all rows, which the loop alone packs: making one costs more than the packing.
_pack = msgpack.Packer().pack


class StoredEntry(NamedTuple):
    """One of this node's entries, with what ends it beyond what its owner's bytes say.

    `ttl_ms` and `deadline_ms` (wall clock) are those of a lease, None for others. The wrapper is
    the process that may tell how the owner ended: its pid and start time in clock ticks.
    """

    kind: int
    name: str
    id: str
    owner: bytes
    body: bytes
    ttl_ms: int | None = None
    deadline_ms: int | None = None
    wrapper_pid: int | None = None
    wrapper_start: int | None = None

    @property
    def key(self) -> Key:
        """What identifies the entry within its node."""
        return self[:3]


def pack_key(key: Key) -> bytes:
    """Pack a key."""
    raw: bytes = _pack(key)
    return raw


def pack_row(entry: "StoredEntry | Entry") -> bytes:
    """Pack all but the key of an entry that its owner ends, or of a row."""
    if type(entry) is Entry:
        raw: bytes = _pack((entry.owner, entry.body))
    else:
        assert type(entry) is StoredEntry
        raw = _pack(entry[3:])
    return raw


def pack_rows(rows: PackedRows) -> bytes:
    """Put packed rows together."""
    return b"".join([key + (row or _NOTHING) for key, row in rows.items()])


def unpack_rows(packed: bytes) -> Iterator[tuple[Key, StoredEntry | None]]:
    """Read what `pack_rows` put together, in its order."""
    values: Iterator[Any] = iter(msgpack.Unpacker(BytesIO(packed), use_list=False))
    for key in values:
        row = next(values)
        yield key, None if row is None else StoredEntry(*key, *row)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of the log is kept: the latest so many events, of so many days."""

    rows: int = 50_000
    days: int = 30


BOUNDS = Bounds()


class StoredLife(NamedTuple):
    """One life of this node's agent, and the number of the last event of its log.

    `baseline` and `vector` are where it found all nodes when the log began, and with that event.
    The log began after the event `begun`, and by `caught_up` the agent knew what its former life
    had known (None: not yet); each with its moment, as is the last that was written, `seen_ms`.
    """

    incarnation: int
    began_ms: int
    vector: bytes = b""
    baseline: bytes = b""
    number: int = 0
    begun: int = 0
    begun_ms: int = 0
    caught_up: int | None = None
    caught_up_ms: int = 0
    seen_ms: int = 0


class Checkpoint(NamedTuple):
    """All that was shown after the event of that number, packed, and when that was."""

    number: int
    seen_ms: int
    entries: bytes


class KnownPeer(NamedTuple):
    """A peer that was there lately, and where; `seen_ms` is of the wall clock."""

    endpoint: str
    node: str
    seen_ms: int


class Identity(NamedTuple):
    """Whose store it is."""

    node: str
    cluster: str


class Read(NamedTuple):
    """What a file holds. `identity` is None in a new one.

    `number` is that of the last change of the last life (`incarnation`) that it has.
    """

    identity: Identity | None
    incarnation: int
    number: int
    entries: dict[Key, StoredEntry]
    peers: list[KnownPeer]
    lives: list[StoredLife]


class Batch:
    """What is to be written in one transaction; each next one can be merged into it.

    `entries`: the packed row of each changed key, None for one that ended; with `whole` these are
    all that there are. `number` is that of the last change in it, `live` how many entries there are
    after it. `noted`: fields of the present life, by name.
    """

    __slots__ = (
        "checkpoint",
        "entries",
        "events",
        "gone_peers",
        "identity",
        "life",
        "live",
        "noted",
        "number",
        "peers",
        "whole",
    )

    def __init__(self) -> None:
        self.number = 0
        self.life: StoredLife | None = None
        self.identity: Identity | None = None
        self.whole = False
        self.entries: PackedRows = {}
        self.live = 0
        self.events: deque[LoggedEvent] = deque(maxlen=EVENTS_WAITING)
        self.peers: dict[str, KnownPeer] = {}
        self.gone_peers: set[str] = set()
        self.noted: dict[str, Any] = {}
        self.checkpoint: Checkpoint | None = None

    def merge(self, later: "Batch") -> None:
        """Take in what was handed over after this, in the same life."""
        assert later.life is None, "another life begins in a batch of its own"
        self.number = later.number
        self.identity = later.identity or self.identity
        if later.whole:
            self.whole = True
            self.entries.clear()
        if later.changes_entries:
            self.entries.update(later.entries)
            self.live = later.live
        self.events.extend(later.events)
        self.peers = {
            endpoint: peer
            for endpoint, peer in self.peers.items()
            if endpoint not in later.gone_peers
        }
        self.peers.update(later.peers)
        self.gone_peers = (self.gone_peers | later.gone_peers) - set(later.peers)
        self.noted.update(later.noted)
        self.checkpoint = later.checkpoint or self.checkpoint

    @property
    def changes_entries(self) -> bool:
        """Would something be missing from the file without it?"""
        return self.whole or bool(self.entries)
