"""What becomes of a node if nothing more is heard of it, and by what it came to where it is."""

from discoagent.core.effects import NodeState
from discoagent.core.evidence import Case
from discoagent.core.guard import Guard
from discoagent.core.membership import Membership
from discoagent.core.peer import PRESENT, Peer
from discoagent.core.timing import Timing


def case_of(members: Membership, guard: Guard, node: str, now: float) -> Case | None:
    """Return all that is known of another node's state; None if it never was known here."""
    peer, changes = members.peers.get(node), members.cases.of(node)
    if peer is None:
        last = changes[-1] if changes else None
        return Case(last.after, last.reason, None, None, changes) if last else None
    due = _due(peer, members.timing, now)
    if peer.state in PRESENT and guard.isolated:
        due = max(due, guard.bound(peer) - now)
    known = members.gathered(peer, now)
    alive = peer.state is NodeState.ALIVE
    return Case(peer.state, peer.evidence, known, None if alive else due, changes)


def _due(peer: Peer, timing: Timing, now: float) -> float:
    """Return in how many seconds the next verdict falls, if nothing changes.

    It mirrors what `detector.py` judges by. A port that refused just now is expected to go on.
    """
    if peer.state not in PRESENT:
        return max(0.0, peer.since + timing.forget_after - now)
    gone = peer.refused > (peer.since if peer.farewell else peer.sign)
    if peer.farewell:
        end = peer.since + timing.restart_grace
    elif gone:
        began = peer.sign + timing.heartbeat_interval if peer.mute else peer.gone
        end = began + timing.restart_grace
    else:
        end = peer.sign + timing.down_after
    if gone and now - peer.refused > (timing.down_after if peer.mute else timing.suspect_after):
        end = min(end, peer.refused + timing.down_after)
    return max(0.0, end - now)
