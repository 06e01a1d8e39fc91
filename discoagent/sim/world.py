"""The world: a virtual clock, an agenda, one source of luck, hosts and a network. Its verbs are
what tests say.
"""

import heapq
import random
from bisect import insort
from collections.abc import Callable
from enum import Enum

from discoagent.core.effects import Event
from discoagent.core.entry import Cause, CauseWord, Entry, Key, Kind
from discoagent.core.messages import Parting
from discoagent.core.replica import Replica
from discoagent.sim.agreement import agreement
from discoagent.sim.failure import CheckFailed
from discoagent.sim.host import FIRST_INCARNATION, Host
from discoagent.sim.interning import Interning
from discoagent.sim.model import Model, Registration
from discoagent.sim.network import Network
from discoagent.sim.profile import Profile
from discoagent.sim.trace import Progress, Trace

ON_ITS_WAY = 5.0
BACK_OFF_MAX = 30.0  # of exchanges: what waits that long is still to be said after healing
LOOKED_AT = 64  # agents of which all is looked at in the end
NOISE = ("Digest", "DigestReply", "SyncRequest", "SyncChunk")


class Restore(Enum):
    """What a new life finds of the former one."""

    STORE = "its store: entries are restored before it speaks"
    NOTHING = "nothing: clients say their registrations again"
    REBOOT = "nothing, and the services ended with the host"


class World:
    """A cluster of hosts in virtual time; equal seeds and equal verbs make equal worlds.

    Every verb raises `CheckFailed` if a step that it brings about breaks a rule.
    """

    def __init__(
        self,
        seed: int = 0,
        profile: Profile | None = None,
        echo: Callable[[str], None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.seed = seed
        self.profile = profile if profile is not None else Profile()
        self.random = random.Random(seed)
        self.now = 0.0
        self.trace = Trace(echo, progress)
        self.model = Model()
        self.hosts: dict[str, Host] = {}
        self.names: list[str] = []  # of the hosts, sorted
        self.network = Network(self)
        self.interning = Interning()
        self.sent: dict[str, int] = {}
        self.unread = 0  # messages of a kind that the host they came to does not know
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0

    # ---- time

    def at(self, delay: float, action: Callable[[], None]) -> None:
        """Put something on the agenda, `delay` seconds from now."""
        self._sequence += 1
        heapq.heappush(self._agenda, (self.now + delay, self._sequence, action))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self.now, _, action = heapq.heappop(self._agenda)
            action()
        self.now = end

    def until(self, condition: Callable[[], bool], within: float) -> float:
        """Let time pass until something holds; return how long it took. Raises CheckFailed after
        `within` s.
        """
        began, end = self.now, self.now + within
        while not condition():
            if not self._agenda or self._agenda[0][0] > end:
                raise CheckFailed("until", "world", f"it did not happen within {within} s")
            self.now, _, action = heapq.heappop(self._agenda)
            action()
        return self.now - began

    def say(self, node: str, what: object) -> None:
        """Write a line of the log."""
        self.trace.say(self.now, node, what)

    # ---- agents

    def start(
        self,
        name: str,
        *,
        restore: Restore = Restore.STORE,
        back_within: float = 2.0,
        clock_back: float = 0.0,
        seeds: tuple[str, ...] | None = None,
    ) -> None:
        """Start an agent, the first time or again; it is told of `seeds` (hosts), else of all hosts
        so far.

        After `Restore.NOTHING` each client is back within `back_within` seconds. `clock_back`: the
        host's wall clock was set back by so many seconds, and nothing on disk remembers a higher
        incarnation.
        """
        host = self.hosts.get(name)
        first = host is None
        if host is None:
            host = self.hosts[name] = Host(self, name)
            insort(self.names, name)
        host.dark = False
        known = (
            seeds if seeds is not None else tuple(other for other in self.hosts if other != name)
        )
        host.seeds = tuple(f"{seed}:7000" for seed in known)
        incarnation = FIRST_INCARNATION + round((self.now - clock_back) * 1_000_000)
        while any(
            life.node == name and life.incarnation == incarnation for life in self.model.lives
        ):
            incarnation += 1
        if restore is Restore.REBOOT:
            host.boot = f"{name}-boot-{self.now}"
            for key in list(host.services):
                self._end(host, key, self.model.cause(CauseWord.EXIT))
        kept = [each.entry for each in host.services.values()] if restore is Restore.STORE else []
        host.begin(incarnation, kept, settled=not first and restore is not Restore.NOTHING)
        if restore is Restore.NOTHING:
            for registration in list(host.services.values()):
                self.comes_back(host, registration, self.random.uniform(0.05, back_within))

    def comes_back(self, host: Host, registration: Registration, delay: float) -> None:
        """Let a client say its registration again after a delay."""
        if delay * host.rate > self.profile.timing.settle_after - 0.1:
            registration.late = True

        def back() -> None:
            if registration.ended is None:
                host.put(registration.entry, self.model.cause(CauseWord.REGISTERED))

        host.later(delay, back)

    def crash(self, name: str) -> None:
        """End an agent by SIGKILL: it says nothing, its services run on."""
        self.say(name, "crashes")
        self.hosts[name].end()

    def power_off(self, name: str) -> None:
        """End a host: not even its kernel answers any more, and its services are gone."""
        self.say(name, "loses power")
        host = self.hosts[name]
        host.dark = True
        for key in list(host.services):
            self._end(host, key, self.model.cause(CauseWord.EXIT))
        host.end()

    def stop(self, name: str) -> None:
        """Stop an agent cleanly: it says that it restarts."""
        self.hosts[name].depart(Parting.RESTART, self.model.cause(CauseWord.UPDATED))

    def leave(self, name: str) -> None:
        """Let a node leave; its services end with it."""
        host = self.hosts[name]
        cause = self.model.cause(CauseWord.NODE_LEFT)
        for key in list(host.services):
            self._end(host, key, cause)
        host.depart(Parting.LEAVE, cause)

    def forget(self, by: str, name: str) -> None:
        """Let an operator have an agent forget a node that is not alive there."""
        self.hosts[by].forget(name, self.model.cause(CauseWord.NODE_FORGOTTEN))

    def pause(self, name: str, seconds: float) -> None:
        """Stop a process for a while, as SIGSTOP does."""
        host = self.hosts[name]
        self.say(name, f"is stopped for {seconds:.1f} s")
        host.pause(self.now + seconds)
        life = host.life

        def go_on() -> None:
            if host.life is life and host.paused_until <= self.now:
                self.say(name, "goes on")
                host.resume()

        self.at(seconds, go_on)

    # ---- registrations

    def register(
        self, node: str, service: str, instance: str, *, kind: Kind = Kind.SERVICE, owner: str = ""
    ) -> Registration:
        """Register an entry, or take over the key of one that is registered there."""
        host = self.hosts[node]
        former = host.services.get((kind, service, instance))
        word = CauseWord.REGISTERED if former is None else CauseWord.REPLACED
        cause = self.model.cause(word)
        if former is not None:
            former.ended = cause
        identity = (owner or str(len(self.model.registrations))).encode().rjust(8, b"0")
        registration = self.model.register(kind, service, instance, identity)
        host.services[registration.entry.key] = registration
        host.put(registration.entry, cause)
        return registration

    def update(self, node: str, service: str, instance: str, *, kind: Kind = Kind.SERVICE) -> None:
        """Update an entry."""
        host = self.hosts[node]
        registration = host.services[kind, service, instance]
        host.put(self.model.update(registration), self.model.cause(CauseWord.UPDATED))

    def withdraw(
        self,
        node: str,
        service: str,
        instance: str,
        *,
        cause: str = CauseWord.DEREGISTERED,
        kind: Kind = Kind.SERVICE,
    ) -> None:
        """End a registration; while its agent is away its service ends all the same."""
        host, key = self.hosts[node], (kind, service, instance)
        why = self.model.cause(cause)
        self._end(host, key, why)
        if host.running:
            host.withdraw(key, why)
        else:
            self.say(node, f"{service}/{instance} ends while no agent is there")

    def _end(self, host: Host, key: Key, cause: Cause) -> None:
        self.model.end(host.name, host.services.pop(key), cause)

    # ---- the network

    def partition(self, *sides: set[str]) -> None:
        """Split the hosts: nothing passes between two sides."""
        self.say("", f"split {[sorted(side) for side in sides]}")
        for side in sides:
            for other in sides:
                if other is not side:
                    for source in sorted(side):
                        for target in sorted(other):
                            self.network.cut(source, target)

    def cut(self, source: str, target: str) -> None:
        """Let nothing through one way."""
        self.say("", f"cut {source} -> {target}")
        self.network.cut(source, target)

    def clog(self, source: str, target: str) -> None:
        """Let what is sent one way wait on its way."""
        self.say("", f"clogged {source} -> {target}")
        self.network.clog(source, target)

    def unclog(self, source: str, target: str) -> None:
        """Let all that waits there arrive at once."""
        self.say("", f"free {source} -> {target}")
        self.network.unclog(source, target)

    def heal(self) -> None:
        """Let everything through again."""
        self.say("", "heals")
        self.network.heal()

    # ---- looking

    def replica(self, name: str) -> Replica:
        """Return the running replica of that host."""
        replica = self.hosts[name].replica
        assert replica is not None, f"{name} does not run"
        return replica

    def shown(self, observer: str) -> list[str]:
        """Return what an agent shows of services, as `service/id@node` in order."""
        return [
            f"{row.entry.name}/{row.entry.id}@{row.node}"
            for row in self.replica(observer).lookup(Kind.SERVICE)
        ]

    def entry(self, observer: str, node: str, service: str, instance: str) -> Entry | None:
        """Return what an agent shows of one registration."""
        found = self.replica(observer).find(Kind.SERVICE, instance, service, node)
        return found[0].entry if found else None

    def events(self, observer: str) -> list[Event]:
        """Return all events of an agent's present life until now."""
        return self.hosts[observer].observer.events

    # ---- peace

    def settle(self) -> float:
        """Heal all, demand agreement within a bound, then silence; return how soon it came."""
        self.say("", "peace")
        self.network.settle()
        for host in self.hosts.values():
            host.resume()
        timing = self.profile.timing
        within = timing.restart_grace + timing.down_after + BACK_OFF_MAX + 10
        began = self.now
        while True:
            taken, wrong = self.now - began, agreement(self)
            if wrong is not None:
                if taken > within:
                    raise CheckFailed("agreement", "world", f"after {within} s of peace: {wrong}")
                self.run(0.25)
                continue
            self.run(ON_ITS_WAY)  # an old word of somebody who is gone may raise it once more
            if agreement(self) is None:
                break
        self.quiet(self.profile.quiet)
        self._look_at_all_there_is()
        return taken

    def _look_at_all_there_is(self) -> None:
        """Check it on each agent; of very many on some."""
        for name in self.names[:: 1 + len(self.names) // LOOKED_AT]:
            host = self.hosts[name]
            if host.replica is not None:
                host.checks.all_there_is(host.replica)

    def quiet(self, seconds: float) -> None:
        """Demand that nothing happens for a while: no event, no exchange, no sync."""
        events = {name: len(host.observer.events) for name, host in self.hosts.items()}
        noise = {kind: self.sent.get(kind, 0) for kind in NOISE}
        self.run(seconds)
        for name, host in self.hosts.items():
            if len(host.observer.events) != events[name]:
                raise CheckFailed("silence", name, f"{host.observer.events[events[name] :]}")
        now = {kind: self.sent.get(kind, 0) for kind in NOISE}
        if now != noise:
            raise CheckFailed("silence", "world", f"sent {noise} before, {now} after")
