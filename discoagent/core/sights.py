"""Who has seen what: the question whether others hold replicas up to given clocks, and its answers.

It serves `--wait-seen`, `drain --wait` and `converged`. The asked answers when all is reached, or
when the asker's patience is over; it keeps a bounded number of questions, and says at once how it
stands where it would be one too many.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from discoagent.core.effects import Answer, Effect, SeenBy, Send
from discoagent.core.entry import ReplicaId
from discoagent.core.limits import SEEN_PENDING_MAX
from discoagent.core.membership import Membership
from discoagent.core.messages import Seen, SeenReply
from discoagent.core.peer import PRESENT

Goals = tuple[tuple[ReplicaId, int], ...]


@dataclass(slots=True)
class Pending:
    """A question of another's that waits for our clocks."""

    asker: ReplicaId
    number: int
    goals: Goals
    until: float


class Sights:
    """Asks, and answers."""

    def __init__(self, members: Membership) -> None:
        self._members = members
        self._pending: list[Pending] = []
        self._asked: dict[int, set[str]] = {}  # by number: whose answer is still to come
        self._number = 0

    # ---- asking

    def ask(
        self,
        goals: Mapping[ReplicaId, int],
        patience: float,
        nodes: Collection[str] | None = None,
    ) -> tuple[int, list[str], list[Effect]]:
        """Ask all present peers, or those of `nodes` that are.

        Returns the question's number, whom it goes to, and the effects.
        """
        self._number += 1
        question = Seen(self._number, tuple(sorted(goals.items())), round(patience * 1000))
        peers = [
            peer
            for node, peer in sorted(self._members.peers.items())
            if peer.state in PRESENT and (nodes is None or node in nodes)
        ]
        names = [peer.replica.node for peer in peers]
        if not peers:
            return self._number, [], []
        self._asked[self._number] = set(names)
        endpoints = tuple(peer.endpoint for peer in peers)
        return self._number, names, [Send(endpoints, question)]

    def forget(self, number: int) -> None:
        """Wait for no more answers to a question."""
        self._asked.pop(number, None)

    def answered(self, reply: SeenReply, sender: ReplicaId) -> list[Effect]:
        """Take in one peer's answer, once."""
        waiting = self._asked.get(reply.number)
        if waiting is None or sender.node not in waiting:
            self._members.counters["seen-unasked"] += 1
            return []
        waiting.discard(sender.node)
        if not waiting:
            del self._asked[reply.number]
        return [SeenBy(reply.number, sender.node, reply.behind)]

    # ---- answering

    def asked(self, question: Seen, sender: ReplicaId, now: float) -> list[Effect]:
        """Answer at once if all is reached, or if there is no patience or place to wait."""
        behind = self._behind(question.goals)
        if not behind or not question.patience_ms or len(self._pending) >= SEEN_PENDING_MAX:
            return [Answer(sender, SeenReply(question.number, behind))]
        until = now + question.patience_ms / 1000
        self._pending.append(Pending(sender, question.number, question.goals, until))
        return []

    def look(self, now: float) -> list[Effect]:
        """Answer what is reached by now, or waited for too long."""
        if not self._pending:
            return []
        effects: list[Effect] = []
        waiting = []
        for pending in self._pending:
            pending.goals = tuple(goal for goal in pending.goals if self._behind((goal,)))
            if not pending.goals or pending.until <= now:
                behind = self._behind(pending.goals)
                effects.append(Answer(pending.asker, SeenReply(pending.number, behind)))
            else:
                waiting.append(pending)
        self._pending = waiting
        return effects

    def _behind(self, goals: Goals) -> Goals:
        """Return the goals not reached, with where we stand."""
        stands = ((replica, clock, self._clock(replica)) for replica, clock in goals)
        return tuple((replica, held) for replica, clock, held in stands if held < clock)

    def _clock(self, replica: ReplicaId) -> int:
        members = self._members
        if replica == members.id:
            return members.own.clock
        peer = members.peers.get(replica.node)
        if peer is None:
            return 0
        if peer.replica.incarnation > replica.incarnation:
            return 1 << 62  # that life is over, and we know more than its end
        known = peer.replica == replica and peer.state in PRESENT
        return peer.node.chain.clock if known else 0
