"""Silence, and what follows from it: alive -> suspect -> down, and back.

Silence runs on a *witnessed* clock: it advances by at most two ticks at each call, so the time in
which this agent itself did not run counts for nobody's silence. After a pause longer than a
heartbeat every peer starts anew, since what they said meanwhile may still lie unread. (Lifeguard:
Dadgar, Phillips, Currey, DSN 2018, on local health.)

A sign of life is a beat of this incarnation that was not known before; nothing else is.
"""

from discoagent.core.effects import Effect, NodeState, Redial
from discoagent.core.entry import CauseWord
from discoagent.core.membership import PRESENT, Membership, Peer
from discoagent.core.messages import Heartbeat
from discoagent.core.timing import TICK

REDIAL_INTERVAL = 5.0


class WitnessedClock:
    """A clock that stands still while nobody looks."""

    __slots__ = ("_last", "now")

    def __init__(self, now: float) -> None:
        self._last = now
        self.now = now

    def witness(self, now: float) -> float:
        """Advance by the time since the last call, two ticks at most; return that time whole."""
        gap = max(0.0, now - self._last)
        self._last = now
        self.now += min(gap, 2 * TICK)
        return gap


class Detector:
    """Judges peers by their silence."""

    def __init__(self, members: Membership) -> None:
        self._members = members

    def paused(self, now: float) -> None:
        """Start everybody's silence anew after a pause of our own."""
        for peer in self._members.peers.values():
            peer.heard = max(peer.heard, now)

    def beat(self, peer: Peer, heartbeat: Heartbeat, now: float) -> list[Effect] | None:
        """Take a heartbeat of the peer's present life as a sign of life; None if it is none."""
        if heartbeat.beat <= peer.beat or peer.state is NodeState.LEFT:
            return None
        peer.beat = heartbeat.beat
        if peer.state is NodeState.RESTARTING:
            return None  # it said farewell: what of that life still arrives is late
        peer.heard = now
        match peer.state:
            case NodeState.SUSPECT:
                return self._members.set_state(peer, NodeState.ALIVE, "heard again", now)
            case NodeState.DOWN:
                return self._members.show(peer, "heard again", now)
            case _:
                return []

    def farewell(self, peer: Peer, now: float) -> list[Effect]:
        """Hold the entries of a peer that said it restarts."""
        if peer.state not in PRESENT:
            return []
        if self._members.timing.restart_grace == 0:
            return self._down(peer, "it said that it stops, and restart_grace is 0", now)
        evidence = "it said that it restarts"
        return self._members.set_state(peer, NodeState.RESTARTING, evidence, now)

    def tick(self, now: float) -> list[Effect]:
        """Judge everybody."""
        effects: list[Effect] = []
        for peer in list(self._members.peers.values()):
            match peer.state:
                case NodeState.ALIVE | NodeState.SUSPECT:
                    effects += self._judge(peer, now)
                case NodeState.RESTARTING:
                    if now - peer.since > self._members.timing.restart_grace:
                        effects += self._down(peer, "it said that it restarts, and did not", now)
                case NodeState.DOWN | NodeState.LEFT:
                    if now - peer.since > self._members.timing.forget_after:
                        effects += self._members.forget(peer)
        return effects

    def _judge(self, peer: Peer, now: float) -> list[Effect]:
        timing = self._members.timing
        silence = now - peer.sign
        if silence > timing.down_after:
            return self._down(peer, f"silent for {silence:.1f} s", now)
        if silence > timing.suspect_after:
            evidence = f"silent for {silence:.1f} s"
            return self._members.set_state(peer, NodeState.SUSPECT, evidence, now)
        return []

    def _down(self, peer: Peer, evidence: str, now: float) -> list[Effect]:
        cause = self._members.cause(CauseWord.NODE_DOWN)
        effects = self._members.hide(peer, NodeState.DOWN, cause, evidence, now)
        return [*effects, Redial(peer.endpoint)]
