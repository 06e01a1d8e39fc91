"""What we tell of the nodes that we know: to peers that ask, and to users."""

from dataclasses import dataclass

from discoagent.core.effects import NodeState
from discoagent.core.entry import Kind, MemberRecord, ReplicaId
from discoagent.core.membership import Membership
from discoagent.core.messages import Acquaintance, Standing
from discoagent.core.peer import PRESENT, Peer

AGE_MAX = 1e9  # seconds; longer ago is told as this
STANDINGS = {
    NodeState.ALIVE: Standing.ALIVE,
    NodeState.SUSPECT: Standing.SUSPECT,
    NodeState.RESTARTING: Standing.RESTARTING,
    NodeState.LEFT: Standing.LEFT,
}


@dataclass(frozen=True, slots=True)
class MemberView:
    """One node for `members`: `heard` in seconds since the last sign of life, 0 for ourselves."""

    replica: ReplicaId
    endpoint: str
    state: NodeState
    instances: int
    heard: float
    record: MemberRecord | None
    evidence: str = ""


def name_in_use(node: str, endpoint: str, age: float) -> str:
    """Say who bears a name already, heard `age` seconds ago."""
    return f"node name {node} is in use at {endpoint}, heard {age:.1f} s ago"


def acquaintances(members: Membership, asker: ReplicaId, now: float) -> tuple[Acquaintance, ...]:
    """Return whom we hold present, with ages.

    The asker knows itself best, unless a later life bears its name: then its clock was set back, or
    it has a namesake, and must learn of it.
    """
    return tuple(
        _acquaintance(members, peer, now)
        for peer in members.peers.values()
        if peer.state in PRESENT
        and (peer.replica.node != asker.node or peer.replica.incarnation > asker.incarnation)
    )


def later_life(members: Membership, asker: ReplicaId, endpoint: str) -> tuple[Acquaintance, ...]:
    """Return a later life of the asker's name that is not present: down, left or forgotten.

    The asker's clock was set back, and it has to take a higher incarnation. It is told so as of
    somebody that nobody hears, at its own endpoint.
    """
    peer, latest = members.peers.get(asker.node), members.latest(asker.node)
    if latest <= asker.incarnation or (peer is not None and peer.state in PRESENT):
        return ()
    later = ReplicaId(asker.node, latest)
    return (Acquaintance(later, endpoint, 0, Standing.SUSPECT, _milliseconds(AGE_MAX)),)


def acquaintance(members: Membership, node: str, now: float) -> Acquaintance | None:
    """Return how we see one node that is present or has left (its farewell may not reach all)."""
    peer = members.peers.get(node)
    if peer is None or peer.state is NodeState.DOWN:
        return None
    return _acquaintance(members, peer, now)


def _acquaintance(members: Membership, peer: Peer, now: float) -> Acquaintance:
    """Return what we tell of a peer: ages are real time, our own pauses count.

    Restarting without a refusal means that it said farewell. Where a sign of life came after the
    refusal, or our own pause voided it, the peer is alive, though no tick has said so yet.
    """
    refused = peer.refused > peer.sign
    returned = peer.state is NodeState.RESTARTING and not (peer.farewell or refused)
    return Acquaintance(
        peer.replica,
        peer.endpoint,
        peer.node.chain.clock,
        Standing.ALIVE if returned else STANDINGS[peer.state],
        _milliseconds(members.real - peer.seen),
        peer.beat,
        _milliseconds(now - peer.refused) if refused else -1,
    )


def views(members: Membership, now: float) -> list[MemberView]:
    """Return every known node as users see it, sorted, ourselves included."""
    services = Kind.SERVICE
    mine = members.me.count(services)
    own = MemberView(members.id, members.endpoint, NodeState.ALIVE, mine, 0.0, members.own.record)
    others = [
        MemberView(
            peer.replica,
            peer.endpoint,
            peer.state,
            peer.node.count(services),
            max(0.0, min(now - peer.sign, AGE_MAX)),
            peer.node.chain.record,
            peer.evidence,
        )
        for peer in members.peers.values()
    ]
    return sorted([own, *others], key=lambda view: view.replica)


def _milliseconds(seconds: float) -> int:
    return max(0, round(min(seconds, AGE_MAX) * 1000))
