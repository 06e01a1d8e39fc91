"""What is known of another node: its present life, what others told of it, the graves of lives."""

from dataclasses import dataclass, field
from typing import NamedTuple

from discoagent.core.effects import DialOutcome, NodeState
from discoagent.core.entry import ReplicaId
from discoagent.core.node import Node

NEVER = float("-inf")
PRESENT = (NodeState.ALIVE, NodeState.SUSPECT, NodeState.RESTARTING)


@dataclass(slots=True)
class Peer:
    """Another node's present life as we know it. Times are of the witnessed clock, in seconds."""

    replica: ReplicaId
    endpoint: str
    node: Node
    state: NodeState = NodeState.ALIVE
    since: float = 0.0  # of the state
    heard: float = NEVER  # the last sign of life that came directly
    told: float = NEVER  # the last one that others tell of
    answered: float = NEVER  # when it was asked the last question that it answered
    beat: int = 0
    welcomed: bool = False  # a Hello was answered, one way or the other
    evidence: str = ""
    floor: int = 0  # it came back from its grave, and is shown from this clock on

    # what tells the dead from the silent; `seen` is of the shell's clock, which never stands still
    seen: float = NEVER  # the last sign of life
    refused: float = NEVER  # its port refused, or was mute, for this life
    gone: float = NEVER  # the first of these refusals since its last sign of life
    mute: bool = False  # the last of these was mute
    farewell: bool = False  # this life said that it stops
    dialling: float = NEVER  # a dial is under way since
    dialled: float = NEVER
    arrived: int = 0  # the latest beat that came directly, known before or not
    arrival: float = NEVER  # when that was
    redialled: float = NEVER
    redials: int = 0  # since a heartbeat came directly
    testimony: "dict[str, Testimony]" = field(default_factory=dict)  # by teller

    # what `why` tells beside that; of the shell's clock
    spoke: float = NEVER  # its last own word came
    teller: str = ""  # who told of the last sign of life that others told of
    told_at: float = NEVER  # when that was
    refuser: str = ""  # who saw that its port refused; "": we did
    port: DialOutcome | None = None  # what the last dial showed
    ported: float = NEVER  # when that was

    # what this peer's heartbeats said of its view, against ours
    set_differs: int = 0
    still: int = 0
    last_vectors: tuple[int, int] = (0, 0)
    last_digests: tuple[int, int] = (0, 0)
    ask_after: float = 0.0
    back_off: float = 0.0

    hash_differs: int = 0

    def begin(self, replica: ReplicaId) -> None:
        """Know nothing of this life but that it began."""
        self.replica = replica
        self.beat = self.floor = self.arrived = 0
        self.arrival = NEVER
        self.heard = self.told = self.answered = self.seen = self.refused = self.gone = NEVER
        self.farewell = self.mute = self.welcomed = False
        self.dialling = self.dialled = NEVER
        self.testimony.clear()
        self.spoke = self.told_at = self.ported = NEVER
        self.teller = self.refuser = ""
        self.port = None
        self.hash_differs = 0

    @property
    def sign(self) -> float:
        """When was the last sign of life, direct, told or answered?"""
        return max(self.heard, self.told, self.answered)

    @property
    def shows(self) -> bool:
        """Is there anything that may be shown?"""
        return self.state in PRESENT and self.node.chain.clock >= self.floor


class Asked(NamedTuple):
    """A question that waits for its answer: when it was put, on both clocks, and to whom."""

    number: int
    at: float
    real: float
    whom: str


class Testimony(NamedTuple):
    """What another told of a peer: when it was asked, and what it knew."""

    asked: float
    beat: int
    age: float
    refused_ms: int


@dataclass(frozen=True, slots=True)
class Grave:
    """What is remembered of a forgotten life, so that hearsay cannot raise it."""

    endpoint: str
    incarnation: int
    clock: int
    beat: int
    closed: bool

    def bans(self, replica: ReplicaId, *, direct: bool) -> bool:
        """Does it keep this life from coming back? Its own word raises it, unless it is closed."""
        if replica.incarnation > self.incarnation:
            return False
        return not direct or replica.incarnation < self.incarnation or self.closed
