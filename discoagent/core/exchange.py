"""Anti-entropy: digests in heartbeats tell that two views differ; one exchange tells in what.

An exchange is due if a peer's set digest differs from ours for three of its heartbeats, or if the
set digests are equal, the vector digests differ, and both stood still for three. (While clocks
move, vectors always differ somewhere: a rule without standing still exchanges all the time under
load.) The odd one out asks first. While exchanges change nothing, the next one with that peer waits
longer and longer.
"""

from discoagent.core.effects import Answer, Effect, Send
from discoagent.core.entry import ReplicaId
from discoagent.core.membership import Membership
from discoagent.core.messages import Digest, DigestReply, Heartbeat
from discoagent.core.peer import PRESENT, Asked, Peer
from discoagent.core.telling import acquaintances

DUE_AFTER = 3  # heartbeats
MAJORITY_PATIENCE = 2  # more heartbeats that the majority waits for the odd one out to ask
ANSWER_TIMEOUT = 1.5
BACK_OFF_MIN = 2.0
BACK_OFF_MAX = 30.0


class Exchange:
    """Compares digests, asks and answers."""

    def __init__(self, members: Membership) -> None:
        self._members = members
        self._question: Asked | None = None
        self._number = 0

    def heard(self, peer: Peer, heartbeat: Heartbeat, now: float) -> list[Effect]:
        """Compare a heartbeat's digests with ours; ask if the difference is old enough."""
        ours = (self._members.digests.set, self._members.digests.vector)
        theirs = (heartbeat.set_digest, heartbeat.vector_digest)
        peer.set_differs = peer.set_differs + 1 if theirs[0] != ours[0] else 0
        vectors = (ours[1], theirs[1])
        if theirs[0] == ours[0] and vectors[0] != vectors[1] and vectors == peer.last_vectors:
            peer.still += 1
        else:
            peer.still = 0
        peer.last_vectors = vectors
        peer.last_digests = theirs
        if theirs == ours:
            peer.back_off = 0.0
            return []
        waited = max(peer.set_differs, peer.still)
        if waited < DUE_AFTER or now < peer.ask_after or self._asking(now):
            return []
        if waited < DUE_AFTER + MAJORITY_PATIENCE and self._in_majority(theirs):
            return []
        return self._ask(peer, now)

    def _in_majority(self, theirs: tuple[int, int]) -> bool:
        """Are we, with those who agree with us, more than they are?"""
        ours = (self._members.digests.set, self._members.digests.vector)
        votes = [
            peer.last_digests for peer in self._members.peers.values() if peer.state in PRESENT
        ]
        return 1 + votes.count(ours) > votes.count(theirs)

    def _asking(self, now: float) -> bool:
        """Is a question in flight? One is enough."""
        return self._question is not None and now - self._question.at < ANSWER_TIMEOUT

    def _ask(self, peer: Peer, now: float) -> list[Effect]:
        members = self._members
        members.count_own()
        self._number += 1
        self._question = Asked(self._number, now, members.real, peer.replica.node)
        peer.back_off = min(BACK_OFF_MAX, max(BACK_OFF_MIN, 2 * peer.back_off))
        peer.ask_after = now + peer.back_off
        known = [(members.id, members.own.clock)]
        known += [
            (other.replica, other.node.chain.clock)
            for other in members.peers.values()
            if other.state in PRESENT
        ]
        members.counters["digest-asked"] += 1
        return [Send((peer.endpoint,), Digest(self._number, tuple(known)))]

    def asked(self, digest: Digest, sender: ReplicaId, now: float) -> list[Effect]:
        """Answer with whom we hold present; ages are told only in answers."""
        told = acquaintances(self._members, sender, now)
        return [Answer(sender, DigestReply(digest.number, told))]

    def answered(self, reply: DigestReply, sender: ReplicaId) -> Asked | None:
        """Return the question that this answers, once; None if nobody asked."""
        question = self._question
        if question is None or (question.number, question.whom) != (reply.number, sender.node):
            self._members.counters["digest-unasked"] += 1
            return None
        self._question = None
        return question

    def changed(self, peer: Peer) -> None:
        """An exchange with this peer was of use: the next one need not wait long."""
        peer.back_off = 0.0
