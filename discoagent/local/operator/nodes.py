"""What an operator asks about other nodes, and does about them."""

from collections.abc import Callable, Mapping
from typing import Any

from discoagent.core.effects import Effect, NodeState
from discoagent.core.entry import Cause, CauseWord
from discoagent.core.replica import MemberView, Replica
from discoagent.errors import NoInstance, Refused
from discoagent.local.host import owners
from discoagent.local.host.clock import Clock
from discoagent.local.host.owners import Asker
from discoagent.local.host.privileges import Privileges
from discoagent.local.operator.why import itself, told
from discoagent.local.requests import operations
from discoagent.local.requests.desk import Caller, Desk


class Nodes:
    """Knows why a node is in its state, and forgets nodes."""

    def __init__(
        self,
        replica: Replica,
        perform: Callable[[list[Effect]], None],
        clock: Clock,
        privileges: Privileges,
    ) -> None:
        """`perform` runs effects; `privileges` say who may forget."""
        self._replica = replica
        self._perform = perform
        self._clock = clock
        self._privileges = privileges

    def handlers(self, desk: Desk) -> Mapping[type, Callable[[Caller, Any], None]]:
        """Return what does each operation."""

        def forget(caller: Caller, call: operations.Forget) -> None:
            self._privileges.check_operator(caller.asker, "forget")
            desk.answer(caller, self.forget(call.node, caller.asker))

        def why(caller: Caller, call: operations.Why) -> None:
            desk.answer(caller, self.why(call.node))

        return {operations.Forget: forget, operations.Why: why}

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

    def why(self, node: str) -> dict[str, Any]:
        """Return what the state of a node is founded on, what would clear it, and how it changed.

        Raises NoInstance if it never was known here.
        """
        if node == self._replica.id.node:
            return itself(self._replica.id)
        now = self._clock.now()
        case = self._replica.why(node, now)
        if case is None:
            raise _unknown(node)
        return told(node, case, now, self._clock.wall_ms())

    def _view(self, node: str) -> MemberView:
        for view in self._replica.members(self._clock.now()):
            if view.replica.node == node:
                return view
        raise _unknown(node)


def _unknown(node: str) -> NoInstance:
    return NoInstance(f"node {node}: this agent knows no such node", field="node")
