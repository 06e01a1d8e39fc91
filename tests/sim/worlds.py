"""What the stories share: a small cluster that is at peace, and hands in its network."""

from collections.abc import Callable
from dataclasses import dataclass, field

from discoagent import wire
from discoagent.core.effects import NodeState
from discoagent.core.messages import (
    DeltaMessage,
    DigestReply,
    Heartbeat,
    Message,
    ProbeReply,
    SyncChunk,
    Welcome,
)
from discoagent.sim import Profile, World
from discoagent.sim.network import Channel

Wanted = Callable[[Message], bool]
ALWAYS = 1_000_000


def is_push(message: Message) -> bool:
    """Is it what an owner pushes?"""
    return isinstance(message, DeltaMessage)


def is_heartbeat(message: Message) -> bool:
    """Is it a heartbeat?"""
    return isinstance(message, Heartbeat)


def is_tale(message: Message) -> bool:
    """Does it tell of third parties?"""
    return isinstance(message, Welcome | ProbeReply | DigestReply)


def is_chunk(message: Message) -> bool:
    """Is it an answer of the sync?"""
    return isinstance(message, SyncChunk)


def three(seed: int = 1, profile: Profile | None = None, names: str = "abc") -> World:
    """Agents that know each other, one service each."""
    world = World(seed, profile)
    for name in names:
        world.start(name)
    world.run(4)
    for name in names:
        world.register(name, "web", name)
    for _ in range(20):
        world.run(1)
        if all(len(world.shown(name)) == len(names) for name in names):
            world.run(1)
            return world
    raise AssertionError("they do not agree")


def everywhere(world: World, names: str, entry: str) -> bool:
    """Do all these agents show it?"""
    return all(entry in world.shown(name) for name in names)


def state(world: World, observer: str, node: str) -> NodeState | None:
    """Return how one agent sees another; None if it does not know it."""
    views = world.replica(observer).members(world.hosts[observer].clock())
    return next((view.state for view in views if view.replica.node == node), None)


def clock(world: World, observer: str, node: str) -> int:
    """Return up to which clock one agent shows another's entries."""
    position = world.replica(observer).position(node)
    assert position is not None
    return position[1]


def told(world: World, name: str) -> list[tuple[str, str, str]]:
    """Return what an agent's watchers were told: (what, id@node, cause)."""
    rows = []
    for event in world.events(name):
        entry = event.entry or event.before
        assert entry is not None
        rows.append((event.kind.value, f"{entry.id}@{event.node}", event.cause.word))
    return rows


@dataclass
class Rule:
    """What becomes of the next `times` wanted messages from one host to another.

    `delay`: they arrive so many seconds late; None: they are kept until `release`, or for ever.
    """

    world: World
    source: str
    target: str
    wanted: Wanted
    times: int
    delay: float | None
    met: int = 0
    kept: list[tuple[Channel, bytes]] = field(default_factory=list)

    def take(self, channel: Channel, frame: bytes) -> None:
        """Have one frame off its way."""
        self.met += 1
        if self.delay is None:
            self.kept.append((channel, frame))
        else:
            self._arrives(self.delay, channel, frame)

    def release(self) -> None:
        """Let everything arrive now that was kept."""
        kept, self.kept = self.kept, []
        for channel, frame in kept:
            self._arrives(0.0, channel, frame)

    def _arrives(self, delay: float, channel: Channel, frame: bytes) -> None:
        host = self.world.hosts[self.target]
        if channel is Channel.PUBLISH:
            host.hearing.comes(self.world.now + delay, self.source, wire.decode(frame))
        else:
            self.world.at(delay, lambda: host.arrived(frame) if host.running else None)


class Interference:
    """Keeps chosen messages of a world from their way."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rules: list[Rule] = []
        world.network.lose = self

    def keep(self, source: str, target: str, wanted: Wanted, times: int = 1) -> Rule:
        """Keep the next messages of that kind until the rule is told to release them."""
        return self._add(Rule(self._world, source, target, wanted, times, None))

    def delay(self, source: str, target: str, wanted: Wanted, by: float, times: int = 1) -> Rule:
        """Let the next messages of that kind arrive `by` seconds late."""
        return self._add(Rule(self._world, source, target, wanted, times, by))

    def _add(self, rule: Rule) -> Rule:
        self._rules.append(rule)
        return rule

    def __call__(self, source: str, target: str, channel: Channel, frame: bytes) -> bool:
        """Decide on one frame: true if the network is not to carry it."""
        if not self._rules:
            return False
        try:
            message = wire.decode(frame).message
        except wire.WireError:  # of a newer release
            return False
        for rule in self._rules:
            here = (source, target) == (rule.source, rule.target) and rule.met < rule.times
            if here and rule.wanted(message):
                rule.take(channel, frame)
                return True
        return False
