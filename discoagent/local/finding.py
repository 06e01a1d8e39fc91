"""Who is looked for, and when this agent may be believed: seeds, former peers, and readiness."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from discoagent.core.effects import Effect, Greeted, Refused
from discoagent.core.replica import Replica
from discoagent.errors import DiscoError
from discoagent.local import operations
from discoagent.local.door import JoinOutcome
from discoagent.local.queries import HERE
from discoagent.local.readiness import ALONE_AFTER, Readiness
from discoagent.local.seeds import Joins, Seeds

_log = logging.getLogger("discoagent")


class Finding:
    """Has seeds and former peers greeted, for ever, and opens `readiness`."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        replica: Replica,
        former: Iterable[str],
        perform: Callable[[Iterable[Effect]], None],
        now: Callable[[], float],
        ready_line: str,
    ) -> None:
        """`former`: where peers were in the life before; `ready_line` is logged when ready."""
        self._loop = loop
        self._replica = replica
        self._former = tuple(former)
        self._perform = perform
        self._now = now
        self._ready_line = ready_line
        self._alone: asyncio.TimerHandle | None = None
        self._seeds = Seeds(self._greet, self._is_present)
        self._joins = Joins(self._greet_again)
        self.readiness = Readiness(loop)

    def use(self, seeds: Iterable[str]) -> None:
        """Look for these from now on, and for those who were there before."""
        self._seeds.use(tuple(dict.fromkeys((*seeds, *self._former))))

    async def run(self) -> None:
        """Look for them until cancelled. Whoever has nobody to look for is ready at once."""
        if self._seeds.seeds:
            self._alone = self._loop.call_later(ALONE_AFTER, self._serve_alone)
        else:
            self._be_ready()
        await self._seeds.run()

    def close(self) -> None:
        """Let nobody wait any more."""
        if self._alone is not None:
            self._alone.cancel()
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
        """Be ready if the first sync is complete."""
        if not self.readiness.ready and self._replica.ready:
            self._be_ready()

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

    def _is_present(self, node: str) -> bool:
        return any(
            view.replica.node == node and view.state in HERE
            for view in self._replica.members(self._now())
        )
