"""Forgetting, because it was long ago or because an operator says so; it bans nobody's return.

An operator's verdict on a life is an entry of the system in the chain of the agent that was asked.
So it reaches everybody like any other entry, also those who were away. It is honoured wherever that
life is not alive and gave no sign since the verdict came: whoever hears it knows better. The chain
holds it for `forget_after`, or until that node is back.
"""

from typing import NamedTuple

from discoagent.core.chain import FORGOTTEN_GROUP
from discoagent.core.effects import Effect, NodeState
from discoagent.core.entry import UNKNOWN, Cause, CauseWord, Entry, Kind, ReplicaId
from discoagent.core.limits import GRAVES_MAX
from discoagent.core.membership import Membership
from discoagent.core.peer import PRESENT, Peer


class Pending(NamedTuple):
    """A verdict that may still have to be honoured here, and since when it is known here."""

    life: ReplicaId
    by: ReplicaId
    actor: bytes
    at: float


class Forgetting:
    """Passes verdicts, honours those of others, and drops its own in time."""

    def __init__(self, members: Membership) -> None:
        self._members = members
        self._pending: dict[str, Pending] = {}
        self._passed: dict[str, float] = {}  # our own verdicts: when

    def forget(self, node: str, cause: Cause, now: float) -> list[Effect]:
        """Forget a node that is not alive, and let everybody do so."""
        members = self._members
        peer = members.peers[node]
        assert peer.state is not NodeState.ALIVE
        if len(self._passed) >= GRAVES_MAX:
            self._drop(next(iter(self._passed)))
        members.own.put(verdict(peer.replica), cause)
        self._passed[node] = now
        return members.forget(peer, "an operator said so here", _hiding(cause.actor), now)

    def look(self, now: float) -> list[Effect]:
        """Honour what came since the last look, and what had to wait."""
        if self._members.verdicts:
            told, self._members.verdicts = self._members.verdicts, []
            for by, entry, cause in told:
                assert isinstance(entry.body, ReplicaId)
                self._take(Pending(entry.body, by, cause.actor if cause else b"", now))
        effects: list[Effect] = []
        if not self._pending:  # as after nearly every message
            return effects
        for node, pending in list(self._pending.items()):
            effects += self._honour(node, pending, now)
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Look once more, and drop those of ours that were held for long enough."""
        over = now - self._members.timing.forget_after
        for node, at in list(self._passed.items()):
            peer = self._members.peers.get(node)
            if at < over or (peer is not None and peer.sign > at):
                self._drop(node)
        return self.look(now)

    def _take(self, pending: Pending) -> None:
        node = pending.life.node
        known = self._pending.get(node)
        older = known is not None and known.life.incarnation > pending.life.incarnation
        if older or node == self._members.id.node:
            return
        if known is None and len(self._pending) >= GRAVES_MAX:
            self._members.counters["too-many-verdicts"] += 1
            return
        self._pending[node] = pending

    def _honour(self, node: str, pending: Pending, now: float) -> list[Effect]:
        """Forget that life if it is time; drop the verdict if it has no point any more."""
        peer = self._members.peers.get(node)
        void = now - pending.at > self._members.timing.forget_after or not self._stands(pending)
        if void or (peer is not None and _disproved(peer, pending)):
            del self._pending[node]
            return []
        if peer is None or peer.state is NodeState.ALIVE:
            return []
        del self._pending[node]
        evidence = f"an operator said so on {pending.by.node}"
        return self._members.forget(peer, evidence, _hiding(pending.actor), now)

    def _stands(self, pending: Pending) -> bool:
        """Does the one who passed the verdict, if it is there, still hold it?"""
        holder = self._members.peers.get(pending.by.node)
        if holder is None or holder.replica != pending.by or holder.state not in PRESENT:
            return True
        return holder.node.chain.get(verdict(pending.life).key) == verdict(pending.life)

    def _drop(self, node: str) -> None:
        del self._passed[node]
        self._members.own.withdraw((*FORGOTTEN_GROUP, node), UNKNOWN)


def _disproved(peer: Peer, pending: Pending) -> bool:
    """Is it another life, or was there a sign of this one since?"""
    return peer.replica.incarnation > pending.life.incarnation or peer.sign > pending.at


def _hiding(actor: bytes) -> Cause:
    """Return why entries go; each agent dates it for itself. A scan does not tell who said so."""
    return Cause(CauseWord.NODE_FORGOTTEN, actor, 0)


def verdict(life: ReplicaId) -> Entry:
    """Return the entry that says that a life is to be forgotten."""
    return Entry(Kind.FORGOTTEN, FORGOTTEN_GROUP[1], life.node, b"", life)
