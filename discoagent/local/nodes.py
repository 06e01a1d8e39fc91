"""What an operator does about other nodes."""

from collections.abc import Callable
from typing import Any

from discoagent.clock import Clock
from discoagent.core.effects import Effect, NodeState
from discoagent.core.entry import Cause, CauseWord
from discoagent.core.replica import MemberView, Replica
from discoagent.errors import NoInstance, Refused
from discoagent.local import owners
from discoagent.local.owners import Asker


class Nodes:
    """Forgets nodes."""

    def __init__(
        self, replica: Replica, perform: Callable[[list[Effect]], None], clock: Clock
    ) -> None:
        """`perform` runs effects."""
        self._replica = replica
        self._perform = perform
        self._clock = clock

    def forget(self, node: str, asker: Asker) -> dict[str, Any]:
        """Forget a node here and everywhere, and return which state it was in.

        Raises Refused if it is alive, or is this one; NoInstance if it is not known.
        """
        view = self._view(node)
        if view.replica == self._replica.id:
            raise Refused(f"node {node} is this agent's own: let it leave", field="node")
        if view.state is NodeState.ALIVE:
            raise Refused(
                f"node {node} is alive, heard {view.heard:.1f} s ago: "
                "end its agent before, or let it leave",
                field="node",
            )
        cause = Cause(CauseWord.NODE_FORGOTTEN, owners.actor_of(asker, None), self._clock.wall_ms())
        self._perform(self._replica.forget(node, cause, self._clock.now()))
        return {"node": node, "state": view.state.value}

    def _view(self, node: str) -> MemberView:
        for view in self._replica.members(self._clock.now()):
            if view.replica.node == node:
                return view
        raise NoInstance(f"node {node}: this agent knows no such node", field="node")
