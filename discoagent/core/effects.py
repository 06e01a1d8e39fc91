"""What the replica asks of the shell: values, so tests are equalities and each is logged once."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from discoagent.core.entry import Cause, Entry, ReplicaId
from discoagent.core.messages import Heartbeat, Message, RefusalKind


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Publish a heartbeat to everyone who listens."""

    message: Heartbeat


@dataclass(frozen=True, slots=True)
class Send:
    """Hand a message to the DEALER of each endpoint. The endpoints were connected before."""

    endpoints: tuple[str, ...]
    message: Message


@dataclass(frozen=True, slots=True)
class Answer:
    """Send a message back over the ROUTER, along the connection on which `to` last asked."""

    to: ReplicaId
    message: Message


@dataclass(frozen=True, slots=True)
class Connect:
    """Open the DEALER to this endpoint and let the SUB socket hear its PUB. Again: no effect."""

    endpoint: str


class DialOutcome(StrEnum):
    """What a plain TCP connect to an endpoint showed, within a second for each of its halves."""

    OPEN = "open"  # a ZMTP greeting came
    REFUSED = "refused"  # the host lives, nobody listens
    MUTE = "mute"  # the kernel accepted, the process says nothing
    SILENT = "silent"  # nothing came back at all


@dataclass(frozen=True, slots=True)
class Dial:
    """Try a plain TCP connect beside the links, and tell `Replica.dialled` what it showed."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class Redial:
    """Make both connections anew: this peer was silent so long that the old ones may be deaf."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close both."""

    endpoint: str


class EventKind(StrEnum):
    """What happened to a shown entry. (`synced` is a watcher's own mark, not the replica's.)"""

    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"


class Event(NamedTuple):  # there are more of them than of any other value; a tuple is made soonest
    """One change of what is shown. `entry` is None in a removal, `before` None in an addition.

    After it, just the node's steps up to `clock` are shown; 0 where that is not so, as in the midst
    of what a handover, a verdict or a scan changes at once.
    """

    kind: EventKind
    node: str
    entry: Entry | None
    before: Entry | None
    cause: Cause
    clock: int = 0


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the watchers, in this order."""

    event: Event


class NodeState(StrEnum):
    """A node as this agent sees it."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    RESTARTING = "restarting"
    DOWN = "down"
    LEFT = "left"
    FORGOTTEN = "forgotten"  # no peer is in this state: it is what became of one


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A node's state changed, for the log: never an event for watchers."""

    replica: ReplicaId
    before: NodeState | None
    after: NodeState
    evidence: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A Hello came to nothing, by us (`by_us`) or by the peer: for the log and `discoctl join`."""

    kind: RefusalKind
    endpoint: str
    peer: ReplicaId
    cluster: str
    text: str
    by_us: bool


@dataclass(frozen=True, slots=True)
class Greeted:
    """A Hello of ours was answered with a Welcome, for `discoctl join`."""

    endpoint: str
    peer: ReplicaId


@dataclass(frozen=True, slots=True)
class Namesake:
    """Another live node bears our name with the better right: the shell ends the agent."""

    text: str


@dataclass(frozen=True, slots=True)
class SeenBy:
    """A peer answered `Replica.ask_seen`: what it had not reached by then, with its clocks."""

    number: int
    node: str
    behind: tuple[tuple[ReplicaId, int], ...]


@dataclass(frozen=True, slots=True)
class Outranked:
    """The cluster remembers a higher incarnation of this very node, which nobody else is.

    A clock was set back. The shell takes an incarnation above it and starts the chain anew.
    """

    incarnation: int


Effect = (
    Broadcast
    | Send
    | Answer
    | Connect
    | Dial
    | Redial
    | Disconnect
    | Emit
    | StateChanged
    | Refused
    | Greeted
    | Namesake
    | Outranked
    | SeenBy
)
