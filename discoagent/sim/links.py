"""A host's connections to the others, and what goes out over them."""

from typing import TYPE_CHECKING

from discoagent import wire
from discoagent.core.effects import Answer, Broadcast, Send
from discoagent.core.limits import MESSAGE_BYTES_MAX
from discoagent.core.messages import Heartbeat, Message
from discoagent.sim import versions
from discoagent.sim.failure import CheckFailed
from discoagent.sim.network import Channel

if TYPE_CHECKING:
    from discoagent.sim.host import Host

PORT = 7000
HEARTBEAT_BYTES_MAX = 100 - wire.TOPIC_BYTES  # as this release says it


class Links:
    """The DEALERs of a host, and what its SUB socket is connected to; by endpoint."""

    def __init__(self, host: "Host") -> None:
        self._host = host
        self._until_made: dict[str, float] = {}
        self._last_made: dict[str, float] = {}

    def to(self, name: str) -> bool:
        """Is there a connection to that host?"""
        return f"{name}:{PORT}" in self._until_made

    def since(self, name: str) -> float:
        """Return when the last connection to that host was made, whether it lasts or not."""
        return self._last_made.get(f"{name}:{PORT}", 0.0)

    def hear(self, endpoint: str) -> bool:
        """Is the SUB socket connected to that endpoint, handshake and all?"""
        now = self._host.world.now
        return self._until_made.get(endpoint, now) < now and self._host.running

    def connect(self, endpoint: str) -> None:
        """Connect where nothing is; the handshake takes three ways through the network."""
        world = self._host.world
        handshake = 3 * world.random.uniform(*world.profile.latency)
        if endpoint not in self._until_made:
            self._until_made[endpoint] = self._last_made[endpoint] = world.now + handshake

    def hang_up(self, endpoint: str) -> None:
        """Close a connection, if there is one."""
        self._until_made.pop(endpoint, None)
        self._host.world.network.hang_up(self._host.name, host_of(endpoint))

    def clear(self) -> None:
        """Lose all connections: the process ended."""
        self._until_made.clear()

    def send(self, effect: Broadcast | Send | Answer) -> None:
        """Hand a message to the network, for everybody whom it is for."""
        frame = self._encode(effect.message)
        host, world = self._host, self._host.world
        match effect:
            case Broadcast():
                world.network.publish(host, frame)
                if host.newer:
                    self._say_what_nobody_knows()
            case Send(endpoints):
                for endpoint in endpoints:
                    self._ask(endpoint, frame, effect)
            case Answer(to):
                if world.hosts[to.node].links.to(host.name):
                    world.network.send(host.name, to.node, Channel.ANSWER, frame, to)

    def _ask(self, endpoint: str, frame: bytes, effect: Send) -> None:
        host, world = self._host, self._host.world
        if endpoint not in self._until_made:
            detail = f"none to {endpoint}: {effect}"
            raise CheckFailed("sends go over connections", host.name, detail)
        if host_of(endpoint) in world.hosts:
            world.network.send(host.name, host_of(endpoint), Channel.ASK, frame, None)

    def _say_what_nobody_knows(self) -> None:
        """Send one peer, another each time, a message of a kind that is new."""
        host, world = self._host, self._host.world
        assert host.replica is not None
        others = [name for name in map(host_of, self._until_made) if name in world.hosts]
        if others:
            frame = versions.unheard_of(host.replica.id)
            world.network.send(host.name, world.random.choice(others), Channel.ASK, frame, None)

    def _encode(self, message: Message) -> bytes:
        host, world = self._host, self._host.world
        assert host.replica is not None
        frame = wire.encode(message, host.replica.id)
        if host.newer:
            frame = versions.newer(frame)
        kind = type(message).__name__
        world.sent[kind] = world.sent.get(kind, 0) + 1
        bound = HEARTBEAT_BYTES_MAX if isinstance(message, Heartbeat) else MESSAGE_BYTES_MAX
        if len(frame) > bound:
            raise CheckFailed("messages are bounded", host.name, f"{len(frame)} bytes: {message}")
        world.trace.fold(world.now, host.name, frame)
        return frame


def host_of(endpoint: str) -> str:
    """Return the name of the host that listens there."""
    return endpoint.rsplit(":", 1)[0]
