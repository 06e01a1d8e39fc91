"""ZeroMQ's links as far as the protocol can tell them apart, and worse.

Faithful: every connection keeps its order; what is sent to somebody who cannot be reached waits at
the sender (a DEALER) or is lost (a PUB, an answer). The adversary of a `Profile` loses, doubles and
shuffles whatever it likes.
"""

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from discoagent import wire
from discoagent.core.effects import DialOutcome
from discoagent.core.entry import ReplicaId
from discoagent.core.messages import Envelope

if TYPE_CHECKING:
    from discoagent.sim.host import Host
    from discoagent.sim.world import World

QUEUE_MAX = 1_000  # frames that wait at a DEALER
DIAL_HALF = 1.0  # seconds that a connect, and then a greeting, may take
RECONNECT = (0.05, 1.0)  # seconds until a connection is back once it could be
NEVER = float("-inf")


class Channel(StrEnum):
    """The three ways of a frame."""

    PUBLISH = "pub"  # PUB -> SUB
    ASK = "ask"  # DEALER -> ROUTER
    ANSWER = "answer"  # ROUTER -> DEALER


class Network:
    """Carries frames between the hosts of one world.

    `lose` is for scenarios: called with (from, to, channel, frame), True loses that frame.
    """

    def __init__(self, world: "World") -> None:
        self._world = world
        self.profile = world.profile
        self.cuts: dict[tuple[str, str], float] = {}  # (from, to) with when each was made
        self._last: dict[tuple[str, str, Channel], float] = {}
        self._waiting: dict[tuple[str, str], list[bytes]] = {}
        self._clogged: dict[tuple[str, str], list[Callable[[], None]]] = {}
        self._troubled: dict[tuple[str, str], float] = {}
        self.lose: Callable[[str, str, Channel, bytes], bool] | None = None
        self.calm = False
        self.messages = 0  # handed to the network, each copy of its own
        self.bytes = 0

    # ---- trouble

    def cut(self, source: str, target: str) -> None:
        """Let nothing through from one to the other."""
        self.cuts.setdefault((source, target), self._world.now)

    def clog(self, source: str, target: str) -> None:
        """Keep what goes that way for later: nothing is lost, and nothing arrives."""
        self._clogged.setdefault((source, target), [])

    def unclog(self, source: str, target: str) -> None:
        """Let what was kept arrive, all at once."""
        for goes_on in self._clogged.pop((source, target), []):
            goes_on()

    def heal(self) -> None:
        """Let everything through again; what waits goes out as connections come back."""
        for way in sorted(self._clogged):
            self.unclog(*way)
        healed, self.cuts = sorted(self.cuts), {}
        for source, target in healed:
            self._reconnect(source, target)

    def is_cut(self, source: str, target: str) -> bool:
        """Does nothing pass that way?"""
        return (source, target) in self.cuts

    def was_cut(self, source: str, target: str, at: float) -> bool:
        """Did nothing pass that way at that time, as far as we know by now?"""
        return bool(self.cuts) and self.cuts.get((source, target), at + 1) <= at

    def troubled(self, source: str, target: str) -> float:
        """Return when the network last kept a frame from its way; that is a reason for silence."""
        return self._troubled.get((source, target), NEVER)

    def trouble(self, source: str, target: str) -> None:
        """Note such a reason."""
        self._troubled[source, target] = self._world.now

    def settle(self) -> None:
        """Be faithful and quick from now on."""
        self.calm = True
        self.lose = None
        self.heal()

    def dial(self, source: str, target: str) -> tuple[DialOutcome, float]:
        """Return what a plain connect shows, and after how many seconds."""
        host, luck = self._world.hosts.get(target), self._world.random
        round_trip = 2 * luck.uniform(*self.profile.latency)
        ways = ((source, target), (target, source))
        blocked = any(way in self.cuts or way in self._clogged for way in ways)
        if host is None or host.dark or blocked or round_trip > DIAL_HALF:
            return DialOutcome.SILENT, DIAL_HALF
        if not self.calm and luck.random() < self.profile.loss:
            return DialOutcome.SILENT, DIAL_HALF
        if not host.running:
            return DialOutcome.REFUSED, round_trip
        return (DialOutcome.MUTE, DIAL_HALF) if host.paused else (DialOutcome.OPEN, round_trip)

    # ---- hosts come and go

    def came(self, name: str) -> None:
        """A host listens (again): connections to it come back."""
        for source, target in sorted(self._waiting):
            if target == name:
                self._reconnect(source, target)

    def went(self, name: str) -> None:
        """A host's process ended, and its queues with it."""
        for pair in [pair for pair in self._waiting if pair[0] == name]:
            del self._waiting[pair]

    def hang_up(self, source: str, target: str) -> None:
        """Close a DEALER: what waits in it is gone."""
        self._waiting.pop((source, target), None)

    def _reconnect(self, source: str, target: str) -> None:
        delay = self._world.random.uniform(*RECONNECT)
        self._world.at(delay, lambda: self._release(source, target))

    def _release(self, source: str, target: str) -> None:
        host = self._world.hosts.get(target)
        if self.is_cut(source, target) or host is None or not host.running:
            return
        frames = self._waiting.pop((source, target), [])
        if frames and not self.calm and self._world.random.random() < self.profile.loss:
            frames = frames[self._world.random.randrange(len(frames)) :]  # they were on their way
        for frame in frames:
            self._carry(source, target, Channel.ASK, frame, None)

    # ---- frames

    def publish(self, host: "Host", frame: bytes) -> None:
        """Send a heartbeat to everybody whose SUB socket is connected to that host."""
        world, profile, source = self._world, self.profile, host.name
        endpoint, luck = host.endpoint, world.random.random
        quick, spread = profile.latency[0], profile.latency[1] - profile.latency[0]
        soonest, calm, clogged = world.now + quick, self.calm, self._clogged
        heartbeat = wire.decode(frame)  # once for all of them, for nothing in it can be changed
        hosts = map(world.hosts.__getitem__, world.names)
        heard_by = [target for target in hosts if target.links.hear(endpoint)]
        self.messages += len(heard_by)
        self.bytes += len(heard_by) * len(frame)
        for target in heard_by:
            name = target.name
            if self._is_taken(source, name, Channel.PUBLISH, frame) or self._is_lost(source, name):
                continue
            twice = not calm and luck() < profile.duplicates
            for _ in range(2 if twice else 1):
                arrival = soonest + spread * luck()
                if clogged and (source, name) in clogged:
                    self._keep(source, name, partial(self._heard, source, name, heartbeat))
                elif profile.ordered:
                    target.hearing.follows(arrival, source, heartbeat)
                else:
                    target.hearing.comes(arrival, source, heartbeat)

    def send(
        self, source: str, target: str, channel: Channel, frame: bytes, to: ReplicaId | None
    ) -> None:
        """Take a frame on its way, or keep it from it."""
        self.messages += 1
        self.bytes += len(frame)
        if self._is_taken(source, target, channel, frame):
            return
        if channel is Channel.ASK and (source, target) in self._waiting:
            self._wait(source, target, frame)
            return
        if self._is_lost(source, target):
            return
        twice = not self.calm and self._world.random.random() < self.profile.duplicates
        for _ in range(2 if twice else 1):
            self._carry(source, target, channel, frame, to)

    def _is_taken(self, source: str, target: str, channel: Channel, frame: bytes) -> bool:
        """Does a scenario take this frame off its way?"""
        if self.lose is None or not self.lose(source, target, channel, frame):
            return False
        self.trouble(source, target)
        self._world.trace.say(self._world.now, source, f"lost on the way to {target}")
        return True

    def _is_lost(self, source: str, target: str) -> bool:
        """Is the next frame one of those that the world loses?"""
        if self.calm or self._world.random.random() >= self.profile.loss:
            return False
        self.trouble(source, target)
        return True

    def _carry(
        self, source: str, target: str, channel: Channel, frame: bytes, to: ReplicaId | None
    ) -> None:
        world = self._world
        if (source, target) in self._clogged:
            self._keep(source, target, partial(self._carry, source, target, channel, frame, to))
            return
        slow, quick = self.profile.latency[1], self.profile.latency[0]
        arrival = world.now + world.random.uniform(quick, slow)
        if self.profile.ordered:
            line = (source, target, channel)
            arrival = self._last[line] = max(arrival, self._last.get(line, 0.0))
        world.at(arrival - world.now, lambda: self._arrive(source, target, channel, frame, to))

    def _keep(self, source: str, target: str, goes_on: Callable[[], None]) -> None:
        """Keep something on its way until that is free, if its receiver lives as long."""
        life = self._world.hosts[target].life
        self.trouble(source, target)

        def free() -> None:
            host = self._world.hosts[target]
            if host.running and host.life is life:
                goes_on()

        self._clogged[source, target].append(free)

    def _heard(self, source: str, target: str, heartbeat: Envelope) -> None:
        """Let a heartbeat arrive now."""
        self._world.hosts[target].hearing.comes(self._world.now, source, heartbeat)

    def _arrive(
        self, source: str, target: str, channel: Channel, frame: bytes, to: ReplicaId | None
    ) -> None:
        host = self._world.hosts[target]
        if self.is_cut(source, target) or not host.running:
            self.trouble(source, target)
            if channel is Channel.ASK and self._world.hosts[source].links.to(target):
                self._wait(source, target, frame)
        elif to is None or host.replica is None or host.replica.id == to:
            host.arrived(frame)

    def _wait(self, source: str, target: str, frame: bytes) -> None:
        queue = self._waiting.setdefault((source, target), [])
        if len(queue) < QUEUE_MAX:
            queue.append(frame)
        else:
            self.trouble(source, target)
