"""Who has seen what: the question whether others hold replicas up to given clocks, and its answers.

It serves `--wait-seen`, `drain --wait` and `converged`. The asked answers when all is reached, or
when the asker's patience is over; it keeps a bounded number of questions, and says at once how it
stands where it would be one too many.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from discoagent.core.effects import Answer, Effect, SeenBy, Send
from discoagent.core.entry import ReplicaId
from discoagent.core.limits import SEEN_PENDING_MAX
from discoagent.core.membership import Membership
from discoagent.core.messages import Seen, SeenReply
from discoagent.core.peer import PRESENT

ANSWERS_TRAVEL = 5.0  # seconds that an answer may take beyond our patience

Goals = tuple[tuple[ReplicaId, int], ...]


class Question(NamedTuple):
    """A question of ours: whose answers are still to come, and until when."""

    waiting: set[str]
    until: float


@dataclass(slots=True, eq=False)
class Pending:
    """A question of another's that waits for our clocks: what is not reached yet, by node."""

    asker: ReplicaId
    number: int
    goals: dict[str, tuple[ReplicaId, int]]
    until: float


class Sights:
    """Asks, and answers."""

    def __init__(self, members: Membership) -> None:
        self._members = members
        self._pending: dict[Pending, None] = {}
        self._waits: dict[str, dict[Pending, None]] = {}  # by the nodes whose clocks they wait for
        self._asked: dict[int, Question] = {}
        self._number = 0

    # ---- asking

    def ask(
        self,
        goals: Mapping[ReplicaId, int],
        patience: float,
        now: float,
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
        self._asked[self._number] = Question(set(names), now + patience + ANSWERS_TRAVEL)
        endpoints = tuple(peer.endpoint for peer in peers)
        return self._number, names, [Send(endpoints, question)]

    def forget(self, number: int) -> None:
        """Wait for no more answers to a question."""
        self._asked.pop(number, None)

    def answered(self, reply: SeenReply, sender: ReplicaId) -> list[Effect]:
        """Take in one peer's answer, once."""
        question = self._asked.get(reply.number)
        if question is None or sender.node not in question.waiting:
            self._members.counters["seen-unasked"] += 1
            return []
        question.waiting.discard(sender.node)
        if not question.waiting:
            del self._asked[reply.number]
        return [SeenBy(reply.number, sender.node, reply.behind)]

    # ---- answering

    def asked(self, question: Seen, sender: ReplicaId, now: float) -> list[Effect]:
        """Answer at once if all is reached, or if there is no patience or place to wait."""
        behind = self._behind(question.goals)
        if not behind or not question.patience_ms or len(self._pending) >= SEEN_PENDING_MAX:
            return [Answer(sender, SeenReply(question.number, behind))]
        until = now + question.patience_ms / 1000
        lacking = {replica for replica, _ in behind}
        goals = {goal[0].node: goal for goal in question.goals if goal[0] in lacking}
        pending = Pending(sender, question.number, goals, until)
        self._pending[pending] = None
        for node in goals:
            self._waits.setdefault(node, {})[pending] = None
        return []

    def look(self) -> list[Effect]:
        """Answer what is reached by the clocks that moved since the last look, or by our own."""
        if not self._pending:
            self._members.advanced.clear()
            return []
        moved, self._members.advanced = self._members.advanced, set()
        moved.add(self._members.id.node)
        effects: list[Effect] = []
        for node in moved & self._waits.keys():
            for pending in list(self._waits[node]):
                if self._behind((pending.goals[node],)):
                    continue
                self._waits_no_more(node, pending)
                del pending.goals[node]
                if not pending.goals:
                    effects.append(self._answer(pending))
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Look once more; answer what waited for too long, wait for no answer that was due."""
        effects = self.look()
        for pending in [pending for pending in self._pending if pending.until <= now]:
            for node in pending.goals:
                self._waits_no_more(node, pending)
            effects.append(self._answer(pending))
        for number in [number for number, it in self._asked.items() if it.until <= now]:
            del self._asked[number]
        return effects

    def _answer(self, pending: Pending) -> Effect:
        del self._pending[pending]
        behind = self._behind(tuple(pending.goals.values()))
        return Answer(pending.asker, SeenReply(pending.number, behind))

    def _waits_no_more(self, node: str, pending: Pending) -> None:
        del self._waits[node][pending]
        if not self._waits[node]:
            del self._waits[node]

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
