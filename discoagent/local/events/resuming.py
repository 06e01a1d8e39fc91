"""What the holder of a token missed: out of this agent's log, or else node by node.

The log tells exactly what came after the number that this agent gave. Without it the vector does:
a node that stands where it stood has not changed; one whose chain this agent followed from there
has its steps told; any other is told anew, after a `reset` of that node alone.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from discoagent.core.effects import Event
from discoagent.core.replica import Replica, Shown
from discoagent.local.events.history import History
from discoagent.local.events.past import Past, Stretch
from discoagent.local.requests import telling
from discoagent.local.requests.queries import Scope
from discoagent.store.events import LoggedEvent, Position
from discoagent.token import Giver, Token, Vector, write

REACH_SECONDS = 1.0  # that clocks are given to reach those of a token of another agent
LOOK_AGAIN = 0.02
PASSED_PER_TURN = 200  # changes that a filter passes by before others have their turn


class Wish(NamedTuple):
    """From where a watcher wants to go on.

    `seen`: the number up to which it saw events without a token of their own. `kept`: it wants to
    be told what did not change, too, for it does not know that. `steps`: after a reset it wants the
    present as this life of the agent first found it, and each change since.
    """

    token: Token
    scope: Scope
    seen: int = 0
    kept: bool = False
    steps: bool = False

    @property
    def incarnation(self) -> int | None:
        """The life in which `seen` was numbered."""
        return self.token.giver.incarnation if self.token.giver else None


class Resuming:
    """Works out what watchers missed."""

    def __init__(
        self,
        replica: Replica,
        history: History,
        past: Past,
        shown: Callable[[Scope, str | None], Iterable[Shown | None]],
        wall_ms: Callable[[], int],
    ) -> None:
        """`shown` is the present of a scope, of one node or of all."""
        self._replica = replica
        self._history = history
        self._past = past
        self._shown = shown
        self._wall_ms = wall_ms

    async def missed(self, wish: Wish) -> Iterator[bytes]:
        """Return what leads from the token to now, ended by `synced`, as packed rows."""
        token = wish.token
        if token.vector is None or token.cluster != self._history.cluster:
            return self._all_anew(wish)
        giver = token.giver
        if giver is not None and giver.node == self._replica.id.node:
            stretches = await self._past.since(giver)
            if stretches is not None:
                return self._by_log(wish, stretches)
        await self._reach(token.vector)
        return self._by_vector(wish, token.vector)

    def _all_anew(self, wish: Wish) -> Iterator[bytes]:
        self._history.look()
        return telling.present(
            self._shown(wish.scope, None),
            at=self._wall_ms(),
            token=self._history.token(),
            lost=self._history.lost,
            reset=True,
        )

    # -- by the log

    def _by_log(self, wish: Wish, stretches: Sequence[Stretch]) -> Iterator[bytes]:
        """Tell what was logged; then anew those with whom the log does not go on to now.

        Or these as the last life found them, and then all that it logged.
        """
        self._history.look()
        vector = Vector(wish.token.vector)
        *former, last = stretches
        anew = sorted(last.lost | last.fresh)
        parts = [self._follow(wish, stretch, vector) for stretch in former]
        if wish.steps:
            parts += [
                self._found(wish, node, last.events, vector, reset=node in last.lost)
                for node in anew
            ]
            last = last._replace(lost=frozenset(), fresh=frozenset())
        parts.append(self._follow(wish, last, vector))
        if not wish.steps:
            parts += [
                self._anew(wish, node, vector, reset=node in stretches[-1].lost) for node in anew
            ]
        return chain(*parts, self._kept(wish, anew), self._synced())

    def _follow(self, wish: Wish, stretch: Stretch, vector: Vector) -> Iterator[bytes]:
        left = stretch.lost | stretch.fresh
        for node, position in stretch.begins.items():
            vector.move(node, position)
        for each in stretch.events:
            moved: dict[str, Position | None] = {
                **(each.also or {}),
                each.event.node: each.position,
            }
            for node, after in moved.items():
                if node not in left:
                    vector.move(node, after)
            seen = each.number <= wish.seen and stretch.incarnation == wish.incarnation
            if seen or each.event.node in left:
                continue
            if (event := wish.scope.view(each.event)) is not None:
                # Who goes on from a number has seen all of every node until then.
                giver = Giver(self._replica.id.node, stretch.incarnation, each.number)
                token = self._token(vector, None if left else giver)
                yield telling.event(each._replace(event=event), token)
            elif each.number % PASSED_PER_TURN == 0:
                yield telling.BREATH

    # -- node by node

    async def _reach(self, vector: Mapping[str, Position]) -> None:
        """Wait, not for long, until this agent knows what the token's giver knew."""
        loop = asyncio.get_running_loop()
        until = loop.time() + REACH_SECONDS
        while loop.time() < until and not all(  # noqa: ASYNC110 - clocks tell nobody that they move
            _reached(self._replica.position(node), seen) for node, seen in vector.items()
        ):
            await asyncio.sleep(LOOK_AGAIN)

    def _by_vector(self, wish: Wish, seen: Mapping[str, Position]) -> Iterator[bytes]:
        self._history.look()
        now = self._history.positions
        vector = Vector(seen)
        parts: list[Iterator[bytes]] = []
        anew: set[str] = set()
        for node in sorted(now.keys() | seen.keys()):
            before, after = seen.get(node), now.get(node)
            if before == after and after is not None and after[1]:
                continue
            steps = None if before is None else self._steps_since(node, before)
            if steps is not None and after is not None:
                parts.append(self._steps(wish, node, after, steps, vector))
                continue
            anew.add(node)
            reset = before is not None
            logged = self._history.after(0) if wish.steps and self._history.begun else None
            if logged is None:
                parts.append(self._anew(wish, node, vector, reset=reset))
            else:
                parts.append(self._found(wish, node, logged, vector, reset=reset))
                changes = [each.event for each in logged if each.event.node == node]
                parts.append(self._steps(wish, node, after, changes, vector))
        return chain(*parts, self._kept(wish, anew), self._synced())

    def _steps_since(self, node: str, position: Position) -> list[Event] | None:
        """Return what changed of a node; of our own, over a restart too if nothing was lost."""
        if node == self._replica.id.node and position == self._history.continues:
            logged = self._history.after(0)
            if logged is None:
                return None
            return [each.event for each in logged if each.event.node == node]
        return self._replica.steps_since(node, position)

    def _steps(
        self, wish: Wish, node: str, now: Position | None, steps: list[Event], vector: Vector
    ) -> Iterator[bytes]:
        at = self._wall_ms()
        for number, step in enumerate(steps, 1):
            position = (now[0], step.clock) if now else (0, 0)
            vector.move(node, position)
            if (event := wish.scope.view(step)) is not None:
                logged = LoggedEvent(0, event.cause.at or at, event, position)
                yield telling.event(logged, self._token(vector))
            elif number % PASSED_PER_TURN == 0:
                yield telling.BREATH
        vector.move(node, now)

    # -- anew

    def _anew(self, wish: Wish, node: str, vector: Vector, *, reset: bool) -> Iterator[bytes]:
        """Tell the present of a node."""
        now = self._history.positions.get(node)
        return self._whole(node, now, self._shown(wish.scope, node), vector, reset=reset)

    def _found(
        self, wish: Wish, node: str, logged: list[LoggedEvent], vector: Vector, *, reset: bool
    ) -> Iterator[bytes]:
        """Tell of a node as it was before all that this life has logged."""
        everything = self._shown(wish.scope._replace(wanted=None), node)
        there = {it.entry.key: it.entry for it in everything if it is not None}
        for each in reversed(logged):
            event = each.event
            if event.node != node:
                continue
            if event.entry is not None:
                there.pop(event.entry.key, None)
            if event.before is not None and wish.scope.concerns(event.before):
                there[event.before.key] = event.before
        shown = [Shown(node, it) for it in there.values() if wish.scope.shows(node, it)]
        begins = (self._history.baseline or {}).get(node)
        told = telling.mark("told", self._wall_ms(), None)
        return chain(self._whole(node, begins, shown, vector, reset=reset), [told])

    def _whole(
        self,
        node: str,
        stands: Position | None,
        shown: Iterable[Shown | None],
        vector: Vector,
        *,
        reset: bool,
    ) -> Iterator[bytes]:
        at = self._wall_ms()
        vector.move(node, stands and (stands[0], 0))
        if reset:
            yield telling.mark("reset", at, self._token(vector), node)
        yield from telling.entries("added", at, shown, self._token(vector))
        vector.move(node, stands)

    # -- the end

    def _kept(self, wish: Wish, told: Collection[str]) -> Iterator[bytes]:
        """Return what is shown of all nodes but those that were told anew."""
        if not wish.kept:
            return iter(())
        at = self._wall_ms()
        shown = self._shown(wish.scope, None)
        kept = (each for each in shown if each is None or each.node not in told)
        return telling.entries("kept", at, kept, None)

    def _synced(self) -> Iterator[bytes]:
        self._history.look()
        return iter([telling.mark("synced", self._wall_ms(), self._history.token())])

    def _token(self, vector: Vector, giver: Giver | None = None) -> str | None:
        return None if vector.large else write(self._history.cluster, giver, vector)


def _reached(now: Position | None, seen: Position) -> bool:
    """Does a node stand at least where it was seen, or in a later life?"""
    if now is None or now[0] != seen[0]:
        return now is not None and now[0] > seen[0]
    return not seen[1] or now[1] >= seen[1]
