"""Who is looked for, and when this agent may be believed: seeds, former peers, and readiness.

An agent is ready early, and then *catches up* with what its former life knew: those that were its
peers are known again, and every node's entries are there, so that what is missing is gone.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from discoagent.core.effects import Effect, Greeted, Refused
from discoagent.core.replica import Replica
from discoagent.errors import DiscoError
from discoagent.local.peers.seeds import JoinOutcome, Joins, Seeds
from discoagent.local.requests import operations
from discoagent.local.requests.readiness import ALONE_AFTER, Readiness
from discoagent.store import KnownPeer

LATE = 1.0  # seconds beyond the time in which nodes that started with this one settle
LOOK_AGAIN = 1.0  # seconds between two looks whether a former peer's agent is still gone

_log = logging.getLogger("discoagent")


class Finding:
    """Has seeds and former peers greeted, for ever, and opens `readiness`.

    Who has not caught up `down_after` or `settle_after` after the start has waited for the dead,
    unless a missed one's host lives, for its agent may start again, or somebody who is known has
    not said all yet: they are given `restart_grace`.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        replica: Replica,
        former: Iterable[KnownPeer],
        perform: Callable[[Iterable[Effect]], None],
        now: Callable[[], float],
        ready_line: str,
        caught_up: Callable[[], None],
    ) -> None:
        """`former`: the peers of the life before; `ready_line` is logged when ready.

        `caught_up` is called once.
        """
        self._loop = loop
        self._replica = replica
        self._former = tuple(former)
        last = max((peer.seen_ms for peer in self._former), default=0)  # all there have the same
        self._missed = {it.node: it.endpoint for it in self._former if it.seen_ms == last}
        self._caught_up = caught_up
        self._catching_up: asyncio.TimerHandle | None = None
        self._perform = perform
        self._now = now
        self._ready_line = ready_line
        self._alone: asyncio.TimerHandle | None = None
        self._seeds = Seeds(self._greet, replica.reached)
        self._joins = Joins(self._greet_again)
        self.readiness = Readiness(loop)

    def use(self, seeds: Iterable[str]) -> None:
        """Look for these from now on, and for those who were there before."""
        self._seeds.use(tuple(dict.fromkeys((*seeds, *(it.endpoint for it in self._former)))))

    async def run(self) -> None:
        """Look for them until cancelled. Whoever has nobody to look for is ready at once."""
        timing = self._replica.timing
        patience = max(timing.down_after, timing.settle_after) + LATE
        grace = self._now() + max(patience, timing.restart_grace)
        self._catching_up = self._loop.call_later(patience, self._lose_patience, grace)
        if self._seeds.seeds:
            self._alone = self._loop.call_later(ALONE_AFTER, self._serve_alone)
        else:
            self._be_ready()
        await self._seeds.run()

    def close(self) -> None:
        """Let nobody wait any more."""
        for timer in (self._alone, self._catching_up):
            if timer is not None:
                timer.cancel()
        self.readiness.close()

    def greeted(self, effect: Greeted) -> None:
        """Take in that somebody answered."""
        self._seeds.greeted(effect)
        self._joins.greeted(effect)
        self.readiness.alone = False

    def refused(self, effect: Refused) -> None:
        """Take in that somebody refused us."""
        if not effect.by_us:
            self._joins.refused(effect)

    def look(self) -> None:
        """Be ready if the first sync is complete; see whether we have caught up."""
        if not self.readiness.ready and self._replica.ready:
            self._be_ready()
        if self._catching_up is not None and self._knows_all():
            self._be_caught_up()

    def _knows_all(self) -> bool:
        if not (self.readiness.ready and self._replica.settled):
            return False
        return not self._unknown()

    def _unknown(self) -> set[str]:
        """Return the peers of the life before that are not known again."""
        return self._missed.keys() - {it.replica.node for it in self._replica.members(self._now())}

    def _lose_patience(self, grace: float) -> None:
        """Have caught up, unless more is to be expected of those who are missed; until `grace`."""
        living = any(self._seeds.lives(self._missed[node]) for node in self._unknown())
        if self._now() < grace and (living or not self._replica.settled):
            self._catching_up = self._loop.call_later(LOOK_AGAIN, self._lose_patience, grace)
        else:
            self._be_caught_up()

    def _be_caught_up(self) -> None:
        if self._catching_up is not None:
            self._catching_up.cancel()
            self._catching_up = None
            self._caught_up()

    async def join(self, call: operations.Join, answer: Callable[[JoinOutcome], None]) -> None:
        """Greet these nodes and answer once it is known what came of it."""
        try:
            answer(await self._joins.join(call.addresses, call.wait_ms))
        except DiscoError as error:
            answer(error)

    def _be_ready(self) -> None:
        if self._alone is not None:
            self._alone.cancel()
        self.readiness.open()
        _log.info("%s", self._ready_line)

    def _serve_alone(self) -> None:
        if self._seeds.reached or self.readiness.ready:
            return
        self.readiness.alone = True
        _log.warning(
            "no peer was reached in %g s (tried %s): serving alone, and trying on",
            ALONE_AFTER,
            ", ".join(self._seeds.seeds),
        )
        self._be_ready()

    def _greet(self, endpoints: Iterable[str]) -> None:
        self._perform(self._replica.seeds(endpoints, self._now()))

    def _greet_again(self, endpoint: str) -> bool:
        effects = self._replica.join(endpoint, self._now())
        self._perform(effects)
        return bool(effects)  # none: that is ourselves
