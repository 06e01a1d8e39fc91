"""One step of one agent, as the checks see it, and what that agent was seen to show until then."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from discoagent.core.effects import Effect, Event
from discoagent.core.entry import Entry, Key, ReplicaId
from discoagent.core.membership import Membership
from discoagent.core.node import Node
from discoagent.core.peer import Peer
from discoagent.core.replica import Replica
from discoagent.sim.failure import CheckFailed

if TYPE_CHECKING:
    from discoagent.sim.host import Host
    from discoagent.sim.world import World


class Token(NamedTuple):
    """Where a watcher of one node stood, and what it had been shown by then."""

    position: tuple[int, int]
    shown: dict[Key, Entry]


@dataclass(slots=True)
class Observer:
    """What one life of an agent was seen to show, from its effects alone."""

    shown: dict[str, dict[Key, Entry]] = field(default_factory=dict)  # by node; no node is empty
    buried: set[int] = field(default_factory=set)  # registrations that it said have ended
    peaks: dict[str, tuple[int, int]] = field(default_factory=dict)
    unsettled_since: dict[str, float] = field(default_factory=dict)
    heard: dict[ReplicaId, float] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: whose it was, what came out of it, and the nodes that checks are to look at."""

    world: "World"
    host: "Host"
    replica: Replica
    effects: list[Effect]
    names: Collection[str]

    @property
    def observer(self) -> Observer:
        """Return what this life has shown until now."""
        return self.host.observer

    @property
    def members(self) -> Membership:
        """Return whom the replica knows."""
        return members_of(self.replica)

    def nodes(self) -> list[Node]:
        """Return what is held of the nodes to look at."""
        held = self.members.presence.nodes
        return [held[name] for name in self.names if name in held]

    def peers(self) -> list[Peer]:
        """Return the others among the nodes to look at."""
        peers = self.members.peers
        return [peers[name] for name in self.names if name in peers]

    def fail(self, check: Callable[["Step"], None], detail: str) -> CheckFailed:
        """Return the failure of a check, under its name."""
        name = check.__name__.replace("_", " ")
        return CheckFailed(name, str(self.replica.id), detail)


def members_of(replica: Replica) -> Membership:
    """Return whom a replica knows. It tells users less than checks need to see."""
    return replica._members  # noqa: SLF001
