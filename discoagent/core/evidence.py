"""What a node's state is founded on: who heard what, when and by which path; and how it changed."""

from typing import NamedTuple

from discoagent.core.effects import DialOutcome, NodeState
from discoagent.core.entry import ReplicaId
from discoagent.core.limits import CHANGES_MAX, CHANGES_PER_NODE_MAX, CHANGES_PER_NODE_MIN
from discoagent.core.peer import NEVER, Peer


class Witness(NamedTuple):
    """What one that was asked told of a node: seconds before; None: nothing of that kind."""

    node: str
    asked: float
    beat: int
    heard: float
    refused: float | None


class Evidence(NamedTuple):
    """All that was known of a node at a time. Times are seconds before it; None: never.

    `silence` is what verdicts go by: our own pauses do not count. `beat`: its latest heartbeat that
    is known. `spoke`: its last own word came here, a heartbeat or a greeting. `answered`: it was
    asked what it answered last. `told`: when another, `teller`, heard it last. `port`: what the
    last dial showed, `dialled` ago. `refused`: its port was seen to refuse or to be mute, by
    `refuser`, or by us (""). `farewell`: it said that it stops. `witnesses`: what those told who
    were asked since its last sign. `silent` of `present` nodes are silent; (0, 0) if not most.
    """

    silence: float | None
    beat: int
    spoke: float | None
    answered: float | None
    told: float | None
    teller: str
    port: DialOutcome | None
    dialled: float | None
    refused: float | None
    refuser: str
    farewell: bool
    witnesses: tuple[Witness, ...]
    silent: int
    present: int


class Change(NamedTuple):
    """One change of a node's state: when, on the shell's clock, and why."""

    at: float
    replica: ReplicaId
    before: NodeState | None
    after: NodeState
    reason: str
    evidence: Evidence


class Case(NamedTuple):
    """What is known of a node that is or was known: its changes, oldest first.

    `reason` and `evidence` are of now; the latter is None if it is forgotten. `due`: so many
    seconds until the next verdict, if nothing changes meanwhile.
    """

    state: NodeState
    reason: str
    evidence: Evidence | None
    due: float | None
    changes: tuple[Change, ...]


class Casebook:
    """The last changes of each node, also of forgotten ones: as long as its grave is kept."""

    def __init__(self) -> None:
        self._changes: dict[str, list[Change]] = {}

    def note(self, change: Change) -> None:
        """Write down a change. In large clusters fewer of each node are kept."""
        changes = self._changes.setdefault(change.replica.node, [])
        changes.append(change)
        share = CHANGES_MAX // len(self._changes)
        del changes[: -max(CHANGES_PER_NODE_MIN, min(CHANGES_PER_NODE_MAX, share))]

    def of(self, node: str) -> tuple[Change, ...]:
        """Return the changes of a node, oldest first."""
        return tuple(self._changes.get(node, ()))

    def drop(self, node: str) -> None:
        """Keep nothing of a node."""
        self._changes.pop(node, None)


def gather(peer: Peer, *, now: float, real: float, silent: tuple[int, int]) -> Evidence:
    """Return what is known of a peer, on the witnessed clock and on the shell's."""
    refused = peer.refused > peer.sign
    return Evidence(
        silence=_ago(peer.sign, now),
        beat=peer.beat,
        spoke=_ago(peer.spoke, real),
        answered=_ago(peer.answered, now),
        told=_ago(peer.told_at, real),
        teller=peer.teller,
        port=peer.port,
        dialled=_ago(peer.ported, real),
        refused=now - peer.refused if refused else None,
        refuser=peer.refuser if refused else "",
        farewell=peer.farewell,
        witnesses=tuple(
            Witness(
                node,
                now - told.asked,
                told.beat,
                now - told.asked + told.age,
                now - told.asked + told.refused_ms / 1000 if told.refused_ms >= 0 else None,
            )
            for node, told in peer.testimony.items()
            if told.asked > peer.sign
        ),
        silent=silent[0],
        present=silent[1],
    )


def _ago(at: float, now: float) -> float | None:
    return None if at == NEVER else max(0.0, now - at)
