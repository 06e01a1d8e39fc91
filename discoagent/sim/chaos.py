"""Random worlds: a seed draws how bad the world is, then what happens in it; peace must bring
agreement.

Safety is checked after every step of the trouble, liveness once it ends, then silence. The same
seed always gives the same world, in any process.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from discoagent.core.effects import NodeState
from discoagent.core.entry import CauseWord, Key, Kind
from discoagent.sim.acquainted import acquaint
from discoagent.sim.failure import CheckFailed
from discoagent.sim.links import PORT
from discoagent.sim.profile import LARGE, Profile
from discoagent.sim.step import members_of
from discoagent.sim.trace import Progress
from discoagent.sim.world import Restore, World

SERVICES = ("web", "db", "api")
INSTANCES = 4
LETTERS = 26  # nodes that are named by one
SEEDS_ARE_ALL = 8  # nodes up to which each is told of all that were there before it
SEEDS = 3  # of whom it is told in larger worlds
AT_PEACE = 2.0  # seconds between first contact and the trouble
ENDINGS = (CauseWord.DEREGISTERED, CauseWord.LEASE_EXPIRED, CauseWord.EXIT, "exit:SIGKILL")
TAIL_LINES = 60


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one seed: `failure` is None if every check held."""

    seed: int
    profile: Profile
    failure: CheckFailed | None
    digest: str
    steps: int
    virtual_seconds: float
    agreement: float
    events: int
    sent: dict[str, int]
    messages: int
    bytes: int
    node_seconds: float
    tail: list[str]


class Chaos:
    """Lets things happen to a world, at the rates of its profile."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._luck = world.random
        self._nobody_comes = False
        self._rates: tuple[tuple[float, Callable[[], None]], ...] = (
            (world.profile.writes, self._write),
            (world.profile.cuts, self._cut),
            (world.profile.crashes, self._crash),
            (world.profile.pauses, self._pause),
            (world.profile.forgets, self._forget),
            (world.profile.clogs, self._clog),
        )

    def run(self) -> None:
        """Start everybody, let it happen for as long as the profile says."""
        world, luck = self._world, self._luck
        if world.profile.acquainted:
            self._boot_all()
        else:
            for number in range(world.profile.nodes):
                self._boot(number)
                world.run(luck.choice(world.profile.boot))
        for number in range(world.profile.newcomers):
            world.at(luck.uniform(0, world.profile.seconds), partial(self._join, f"n{number}"))
        self._trouble(world.now + world.profile.seconds)
        self._nobody_comes = world.profile.away_lasts is None  # then who is away by now stays away
        for host in world.hosts.values():  # a newcomer's only seed may be
            if host.seeds:
                host.seeds = tuple(other.endpoint for other in world.hosts.values())

    def _trouble(self, end: float) -> None:
        """Let things happen until then."""
        world, luck = self._world, self._luck
        total = sum(rate for rate, _ in self._rates)
        if not total:
            world.run(end - world.now)
        while world.now < end:
            world.run(min(luck.expovariate(total), end - world.now))
            point = luck.uniform(0, total)
            for rate, happen in self._rates:
                point -= rate
                if point <= 0:
                    happen()
                    break

    def _boot_all(self) -> None:
        """Let all nodes have been there for long."""
        world = self._world
        for number in range(world.profile.nodes):
            self._boot(number, seeds=())
        world.run(world.profile.timing.settle_after + 1)  # nobody is there to be told of it
        acquaint(world)
        for host in world.hosts.values():
            host.seeds = tuple(f"{seed}:{PORT}" for seed in world.names[:SEEDS])
        world.run(AT_PEACE)

    def _boot(self, number: int, seeds: tuple[str, ...] | None = None) -> None:
        """Start a node for the first time, with its services."""
        world = self._world
        name = chr(ord("a") + number) if number < LETTERS else f"node{number}"
        if seeds is None and world.profile.nodes > SEEDS_ARE_ALL:
            seeds = tuple(world.hosts)[:SEEDS]
        world.start(name, seeds=seeds)
        for instance in range(world.profile.services):
            world.register(name, SERVICES[instance % len(SERVICES)], f"s{instance}")

    def _running(self) -> list[str]:
        return [name for name, host in sorted(self._world.hosts.items()) if host.running]

    def _some_key(self, node: str) -> Key | None:
        return self._luck.choice(list(self._world.hosts[node].services) or [None])

    def _write(self) -> None:
        running = self._running()
        if not running:
            return
        world, luck = self._world, self._luck
        node = luck.choice(running)
        if world.hosts[node].paused:
            return
        for _ in range(luck.choice((1, 1, 1, 3, 8))):
            key = self._some_key(node)
            what = luck.random()
            if key is None or what < 0.4:
                kind = Kind.PRESENCE if luck.random() < 0.2 else Kind.SERVICE
                name = f"i{luck.randrange(INSTANCES)}"
                world.register(node, luck.choice(SERVICES), name, kind=kind)
            elif what < 0.7:
                world.update(node, key[1], key[2], kind=key[0])
            else:
                world.withdraw(node, key[1], key[2], kind=key[0], cause=luck.choice(ENDINGS))

    def _outage(self, lasts: float | None) -> float:
        return self._luck.uniform(0.1, 1) * (lasts or self._world.profile.outage)

    def _cut(self) -> None:
        world, luck = self._world, self._luck
        names = sorted(world.hosts)
        if luck.random() < 0.5:
            some = set(luck.sample(names, luck.randint(1, len(names) - 1)))
            world.partition(some, set(names) - some)
        else:
            source, target = luck.sample(names, 2)
            world.cut(source, target)
            if luck.random() < 0.5:
                world.cut(target, source)
        world.at(self._outage(world.profile.cut_lasts), world.heal)

    def _clog(self) -> None:
        world = self._world
        source, target = self._luck.sample(sorted(world.hosts), 2)
        world.clog(source, target)
        lasts = self._outage(world.profile.clog_lasts)
        world.at(lasts, lambda: world.unclog(source, target))

    def _crash(self) -> None:
        running = self._running()
        if not running:
            return
        world, luck = self._world, self._luck
        name = luck.choice(running)
        how, restore = luck.random(), luck.choice((Restore.STORE, Restore.STORE, Restore.NOTHING))
        if how < 0.4:
            world.crash(name)
        elif how < 0.7:
            world.stop(name)
        elif how < 0.85:
            world.power_off(name)
            restore = Restore.REBOOT
        else:
            world.leave(name)
        away = self._outage(world.profile.away_lasts)
        world.at(away, lambda: self._start(name, restore))
        key = self._some_key(name)
        if key is not None and luck.random() < 0.3:  # it ends while no agent is there
            world.withdraw(name, key[1], key[2], kind=key[0], cause=CauseWord.EXIT)

    def _start(self, name: str, restore: Restore) -> None:
        if not self._nobody_comes and not self._world.hosts[name].running:
            back = self._luck.choice((0.0, 0.0, 0.0, 5.0))
            self._world.start(name, restore=restore, clock_back=back)

    def _join(self, name: str) -> None:
        running = self._running()
        if running and not self._nobody_comes:
            self._world.start(name, seeds=(self._luck.choice(running),))

    def _forget(self) -> None:
        """An operator has somebody forgotten who is not alive there, wherever it is alive."""
        world, luck = self._world, self._luck
        choices = [
            (name, peer.replica.node)
            for name in self._running()
            if not world.hosts[name].paused
            for peer in members_of(world.replica(name)).peers.values()
            if peer.state is not NodeState.ALIVE
        ]
        if choices:
            world.forget(*luck.choice(choices))

    def _pause(self) -> None:
        awake = [name for name in self._running() if not self._world.hosts[name].paused]
        if awake:
            name = self._luck.choice(awake)
            self._world.pause(name, self._outage(self._world.profile.pause_lasts))


def run_seed(
    seed: int,
    echo: Callable[[str], None] | None = None,
    profile: Profile | None = None,
    progress: Progress | None = None,
) -> Report:
    """Run one seed from chaos to peace, in a world of this profile, or one that the seed draws."""
    world = World(seed, profile or Profile.swarm(seed), echo, progress)
    failure, agreement = None, 0.0
    try:
        with _collecting_less(world.profile):
            Chaos(world).run()
            agreement = world.settle()
    except CheckFailed as failed:
        failure = failed
    except AssertionError as failed:  # an invariant of the core itself
        failure = CheckFailed("an assertion of the core", "world", repr(failed))
    return Report(
        seed,
        world.profile,
        failure,
        world.trace.digest(),
        world.trace.steps,
        world.now,
        agreement,
        sum(len(host.observer.events) for host in world.hosts.values()),
        dict(sorted(world.sent.items())),
        world.network.messages,
        world.network.bytes,
        len(world.hosts) * world.now,
        world.trace.tail(TAIL_LINES) if failure is not None else [],
    )


@contextmanager
def _collecting_less(profile: Profile) -> Iterator[None]:
    """Look for garbage less often in a large world: what there is in it, is in use.

    (A million chains were looked at again and again, for a third of the time that it took.)
    """
    before = gc.get_threshold()
    if profile.nodes > LARGE:
        gc.set_threshold(1_000_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
