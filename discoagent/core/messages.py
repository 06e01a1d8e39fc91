"""Wire version 1 as values. `wire.py` turns them into bytes and back, bounded and validated.

Every message but the heartbeat travels DEALER -> ROUTER; its envelope names the sender's replica. A
question's answer goes back over the connection on which the question came. The heartbeat alone is
broadcast PUB -> SUB.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from discoagent.core.entry import Cause, Entry, ReplicaId

NO_EXTENSIONS: Mapping[int, bytes] = MappingProxyType({})


class Heartbeat(NamedTuple):
    """PUB, every heartbeat interval. The same size in any cluster: names travel as 8-byte hashes.

    `beat` counts the heartbeats of this incarnation: one not heard before is the only sign of life
    there is. `clock` is the sender's own; `chain_hash` the digest of its live dots at that clock.
    `set_digest` covers (node, incarnation) of itself and all that it holds alive, suspect or
    restarting; `vector_digest` their clocks too.
    """

    node_hash: int
    incarnation: int
    beat: int
    clock: int
    set_digest: int
    vector_digest: int
    chain_hash: int
    flags: int = 0


class Removal(NamedTuple):
    """Why an entry went, and the clock of the step that took it (0: not known)."""

    cause: Cause
    clock: int


@dataclass(frozen=True, slots=True)
class Delta:
    """The net change of one replica between two clocks: what was done in (since, until].

    `added` names every dot of that range that is alive at `until`; `removed` the dots of before
    that went, with why. A snapshot starts at 0. An added entry's cause is None where the sender no
    longer knows it.
    """

    replica: ReplicaId
    since: int
    until: int
    added: Mapping[int, tuple[Entry, Cause | None]]
    removed: Mapping[int, Removal]


@dataclass(frozen=True, slots=True)
class DeltaMessage:
    """To every peer, at once: what changed since the last one, in the order of the chain.

    One delta a turn of the loop, more where one instance changed more than once in it: what was
    done in two steps is never told as one.
    """

    deltas: tuple[Delta, ...]


class Parting(IntEnum):
    """How an agent goes."""

    LEAVE = 1  # the delta holds the closing step: the node and its entries are gone
    RESTART = 2  # hold my entries for `restart_grace`


@dataclass(frozen=True, slots=True)
class Farewell:
    """To every peer, at a clean stop."""

    parting: Parting
    delta: Delta | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """The first word to a node, by whoever learns of it. The answer is a `Welcome` or a `Refusal`.

    Every question has a number that its answer repeats, so a late answer is never dated by a later
    question. `set_digest` is the sender's once somebody has told it of the cluster, else 0: who
    knows the same nodes need not be told of them by each.
    """

    number: int
    cluster: str
    endpoint: str
    wire: tuple[int, int]
    features: tuple[str, ...] = ()
    clock: int = 0
    set_digest: int = 0


class Standing(IntEnum):
    """How the teller sees a node it tells of."""

    ALIVE = 1
    SUSPECT = 2
    RESTARTING = 3
    LEFT = 4  # in answers to probes alone


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """One node as told by another, when it answers a question.

    `age_ms` since the teller had its last sign of life, which was `beat`; `refused_ms` since its
    port was last known to refuse, later than that sign, or -1.
    """

    replica: ReplicaId
    endpoint: str
    clock: int
    standing: Standing
    age_ms: int
    beat: int = 0
    refused_ms: int = -1


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to a Hello: the sender has counted the greeter among its peers before this.

    `members` is empty where the greeter's set digest is the sender's.
    """

    number: int
    cluster: str
    endpoint: str
    wire: tuple[int, int]
    features: tuple[str, ...]
    clock: int
    members: tuple[Acquaintance, ...] = ()


class RefusalKind(IntEnum):
    """Why a Hello is refused."""

    CLUSTER = 1
    WIRE = 2
    NAME = 3


@dataclass(frozen=True, slots=True)
class Refusal:
    """The other answer to a Hello: `cluster` is the refuser's, `text` a sentence for operators."""

    number: int
    kind: RefusalKind
    cluster: str
    text: str


@dataclass(frozen=True, slots=True)
class Digest:
    """All that the asker holds alive, suspect or restarting, itself included, with its clocks."""

    number: int
    known: tuple[tuple[ReplicaId, int], ...]


@dataclass(frozen=True, slots=True)
class DigestReply:
    """The same of the asked, with ages and endpoints."""

    number: int
    members: tuple[Acquaintance, ...]


@dataclass(frozen=True, slots=True)
class Want:
    """One chain of a `SyncRequest`: send me what came after `since`.

    Where the server's ring does not reach back it scans in order of birth: `after` is the last dot
    that the asker's assembly holds, `floor` the highest clock that any page of it was read at (0,
    0: from the start).
    """

    replica: ReplicaId
    since: int
    after: int = 0
    floor: int = 0


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """Pull: at most `CHAINS_PER_REQUEST` chains and from where. The server keeps no state."""

    number: int
    wants: tuple[Want, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a scan: entries born after dot `after`, read at `clock`, in order of birth.

    The last page's `live` names every live dot of the chain at `clock` as ascending (first, count)
    runs: what an assembly holds and this does not name is gone. In all other pages `live` is None.
    """

    replica: ReplicaId
    after: int
    clock: int
    entries: Mapping[int, Entry]
    live: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """A holder that cannot serve this chain says so, and is struck off."""

    replica: ReplicaId


Part = Delta | Page | Absent


@dataclass(frozen=True, slots=True)
class SyncChunk:
    """At most `CHUNKS_PER_REQUEST` answers to a `SyncRequest`; `last` closes the request."""

    number: int
    last: bool
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """To a few peers, while others are silent here: what do you know of these nodes?"""

    number: int
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProbeReply:
    """What the witness knows of those of the named that it holds present."""

    number: int
    members: tuple[Acquaintance, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """Tell me when you hold these replicas up to these clocks, or when `patience_ms` is over."""

    number: int
    goals: tuple[tuple[ReplicaId, int], ...]
    patience_ms: int


@dataclass(frozen=True, slots=True)
class SeenReply:
    """The goals that the asked has not reached, with the clocks where it stands (0: nowhere)."""

    number: int
    behind: tuple[tuple[ReplicaId, int], ...]


Message = (
    Heartbeat
    | DeltaMessage
    | Farewell
    | Hello
    | Welcome
    | Refusal
    | Digest
    | DigestReply
    | SyncRequest
    | SyncChunk
    | Probe
    | ProbeReply
    | Seen
    | SeenReply
)


class Envelope(NamedTuple):
    """A decoded message, who sent it, and the extensions this version passes by.

    `sender` is None for a heartbeat, which names its node by hash. Extension keys are small
    integers, values bytes: what a later version adds (signatures, acknowledgements) travels there,
    and older agents ignore it.
    """

    message: Message
    sender: ReplicaId | None
    extensions: Mapping[int, bytes] = NO_EXTENSIONS
