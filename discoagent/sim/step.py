"""One step of one agent, as the checks see it, and what that agent was seen to show until then."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from discoagent.core.effects import Effect, Event
from discoagent.core.entry import Entry, Key, ReplicaId
from discoagent.core.membership import Membership
from discoagent.core.replica import Replica
from discoagent.sim.failure import CheckFailed

if TYPE_CHECKING:
    from discoagent.sim.host import Host
    from discoagent.sim.world import World


@dataclass(slots=True)
class Observer:
    """What one life of an agent was seen to show, from its effects alone."""

    shown: dict[tuple[str, Key], Entry] = field(default_factory=dict)
    buried: set[int] = field(default_factory=set)  # registrations that it said have ended
    peaks: dict[str, tuple[int, int]] = field(default_factory=dict)
    unsettled_since: dict[str, float] = field(default_factory=dict)
    heard: dict[ReplicaId, float] = field(default_factory=dict)
    checked: dict[str, tuple[object, ...]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: whose it was, and what came out of it."""

    world: "World"
    host: "Host"
    replica: Replica
    effects: list[Effect]

    @property
    def observer(self) -> Observer:
        """Return what this life has shown until now."""
        return self.host.observer

    @property
    def members(self) -> Membership:
        """Return whom the replica knows."""
        return members_of(self.replica)

    def fail(self, check: Callable[["Step"], None], detail: str) -> CheckFailed:
        """Return the failure of a check, under its name."""
        name = check.__name__.replace("_", " ")
        return CheckFailed(name, str(self.replica.id), detail)


def members_of(replica: Replica) -> Membership:
    """Return whom a replica knows. It tells users less than checks need to see."""
    return replica._members  # noqa: SLF001
