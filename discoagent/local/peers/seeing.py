"""Who has seen what: the peers are asked in rounds, until enough have or the time is over.

A question may be lost (a link that breaks, a peer that restarts), so whoever has not reached what
is asked for is asked again in each round. A peer that is down or has left meanwhile is waited for
no longer.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from discoagent.core.effects import Effect, SeenBy
from discoagent.core.entry import ReplicaId
from discoagent.core.replica import Replica

ROUND = 1.0  # seconds that a peer is given to reach it, before it is asked again
LATE = 0.5  # seconds that its answer may come later: it looks at its own ticks


@dataclass(slots=True, eq=False)
class Question:
    """One question, and what is known of its answers so far.

    `need`: how many must have seen it. `nodes`: whom it went to at first, sorted; `here`: those of
    them that are present still. `seen`: after how many seconds each was known to have reached all;
    `behind`: how many steps of which nodes each of the others lacked when it last answered.
    """

    goals: dict[ReplicaId, int]
    need: int | None
    began: float
    end: float
    there: Callable[[], bool]
    then: Callable[["Question"], None]
    nodes: tuple[str, ...] = ()
    here: frozenset[str] = frozenset()
    seen: dict[str, float] = field(default_factory=dict)
    behind: dict[str, dict[str, int]] = field(default_factory=dict)
    number: int = 0
    until: float = 0.0  # when this round may end
    waiting: set[str] = field(default_factory=set)  # who has not answered in it
    timer: asyncio.TimerHandle | None = None

    @property
    def missing(self) -> list[str]:
        """Who is not known to have reached all, sorted."""
        return [node for node in self.nodes if node not in self.seen]

    @property
    def decided(self) -> bool:
        """Have enough seen it, or are more needed than there are?"""
        need = len(self.nodes) if self.need is None else self.need
        return not len(self.seen) < need <= len(self.nodes)

    def standing(self, node: str) -> tuple[str, dict[str, int]]:
        """Return how a node stands: same, behind (in how many steps of whom) or silent."""
        if node in self.seen:
            return "same", {}
        lacking = self.behind.get(node)
        return ("silent", {}) if lacking is None else ("behind", lacking)

    def take(self, effect: SeenBy, now: float) -> None:
        """Take in one answer."""
        self.waiting.discard(effect.node)
        lacking = {
            replica.node: self.goals[replica] - held
            for replica, held in effect.behind
            if replica in self.goals
        }
        if lacking:
            self.behind[effect.node] = lacking
        else:
            self.seen[effect.node] = now - self.began


class Seeing:
    """Asks the peers on behalf of applications."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        replica: Replica,
        perform: Callable[[Iterable[Effect]], None],
        now: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._replica = replica
        self._perform = perform
        self._now = now
        self._asked: dict[int, Question] = {}

    def ask_own(
        self,
        need: int | None,
        seconds: float,
        there: Callable[[], bool],
        then: Callable[[Question], None],
    ) -> None:
        """Ask who has seen what this node has changed until now.

        `then` is called once: when `need` peers have (None: all that are present), when more are
        needed than there are, or when the time is over. `there`: does anybody still wait for it?
        """
        goals = {self._replica.id: self._replica.own.clock}
        self._begin(goals, need, seconds, there, then, patience=min(ROUND, seconds))

    def ask_all(
        self, seconds: float, there: Callable[[], bool], then: Callable[[Question], None]
    ) -> None:
        """Ask who has all that is shown here now; first how they stand, so that all are heard."""
        self._begin(self._replica.vector(), None, seconds, there, then, patience=0.0)

    def answered(self, effect: SeenBy) -> None:
        """Take in one peer's answer."""
        question = self._asked.get(effect.number)
        if question is None:
            return
        now = self._now()
        question.take(effect, now)
        if question.decided:
            self._conclude(question)
        elif not question.waiting:
            self._look_at(question, max(question.until - now, 0.0))

    def close(self) -> None:
        """Answer nobody any more."""
        for question in self._asked.values():
            if question.timer is not None:
                question.timer.cancel()
        self._asked.clear()

    def _begin(
        self,
        goals: Mapping[ReplicaId, int],
        need: int | None,
        seconds: float,
        there: Callable[[], bool],
        then: Callable[[Question], None],
        *,
        patience: float,
    ) -> None:
        now = self._now()
        question = Question(dict(goals), need, now, now + seconds, there, then)
        self._ask(question, None, patience, now)
        question.nodes = tuple(sorted(question.here))
        if question.decided:
            self._conclude(question)

    def _ask(
        self, question: Question, nodes: Collection[str] | None, patience: float, now: float
    ) -> None:
        """Begin a round: ask these, or all."""
        number, asked, effects = self._replica.ask_seen(question.goals, patience, now, nodes)
        question.number, question.waiting = number, set(asked)
        question.here = frozenset(asked) | (question.here & question.seen.keys())
        question.until = now + patience
        self._asked[number] = question
        self._look_at(question, min(patience + LATE, question.end - now))
        self._perform(effects)

    def _look_at(self, question: Question, seconds: float) -> None:
        if question.timer is not None:
            question.timer.cancel()
        question.timer = self._loop.call_later(seconds, self._round_over, question)

    def _round_over(self, question: Question) -> None:
        now = self._now()
        left = question.end - now
        if left <= 0 or not question.there():
            self._conclude(question)
            return
        self._forget(question)
        vector = self._replica.vector()
        question.goals = {it: clock for it, clock in question.goals.items() if it in vector}
        self._ask(question, question.missing, min(ROUND, left), now)
        if not question.waiting:
            self._conclude(question)

    def _forget(self, question: Question) -> None:
        self._asked.pop(question.number, None)
        self._replica.forget_seen(question.number)

    def _conclude(self, question: Question) -> None:
        if question.timer is not None:
            question.timer.cancel()
        self._forget(question)
        question.then(question)
