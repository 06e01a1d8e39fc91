"""The world's verbs in any order, few and small: what fails is shrunk to the shortest story."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from discoagent.core.entry import CauseWord
from discoagent.core.messages import DeltaMessage, Farewell, SyncChunk, SyncRequest, Welcome
from discoagent.core.timing import Timing
from discoagent.sim import Knobs, Profile, Restore, World
from discoagent.sim.host import Host
from tests.sim.worlds import Interference

NAMES = "abcd"
BRISK = Timing(restart_grace=7.0, forget_after=25.0)
TINY = Knobs(ring_steps=2, chunk_entries=2, chunks=1, tail=2, chunk_bytes=200)
KINDS = (DeltaMessage, SyncChunk, SyncRequest, Welcome, Farewell)

names = st.sampled_from(NAMES)
places = st.integers(0, len(NAMES) - 1)  # of a host among those that will do
seconds = st.sampled_from((0.0, 0.3, 2.0, 9.0))
instances = st.sampled_from(("1", "2"))


class Cluster(RuleBasedStateMachine):
    """Every check of the simulator after every step, and peace at the end."""

    @initialize(
        seed=st.integers(0, 3),
        loss=st.sampled_from((0.0, 0.1)),
        knobs=st.sampled_from((Knobs(), TINY)),
        ordered=st.booleans(),
        mixed=st.booleans(),
    )
    def begin(self, seed: int, loss: float, knobs: Knobs, *, ordered: bool, mixed: bool) -> None:
        """Start three agents that know each other."""
        profile = Profile(loss=loss, knobs=knobs, ordered=ordered, mixed=mixed, timing=BRISK)
        self.world = World(seed, profile)
        self.net = Interference(self.world)
        for name in NAMES[:3]:
            self.world.start(name)
        self.world.run(2)

    def running(self) -> list[Host]:
        """Return the hosts whose agents run and are not stopped."""
        return [host for _, host in sorted(self.world.hosts.items()) if host.awake]

    def one(self, place: int) -> Host:
        """Return one of these."""
        running = self.running()
        return running[place % len(running)]

    @rule(passes=seconds)
    def wait(self, passes: float) -> None:
        """Let time pass."""
        self.world.run(passes)

    @rule(name=names, restore=st.sampled_from(Restore), back=st.sampled_from((0.0, 5.0)))
    def start(self, name: str, restore: Restore, back: float) -> None:
        """Start an agent that does not run, for the first time or again."""
        host = self.world.hosts.get(name)
        if host is None or not host.running:
            self.world.start(name, restore=restore, clock_back=back)

    @precondition(lambda self: self.running())
    @rule(place=places, how=st.sampled_from(("crash", "stop", "leave", "power_off")))
    def end(self, place: int, how: str) -> None:
        """End an agent, one way or another."""
        getattr(self.world, how)(self.one(place).name)

    @precondition(lambda self: self.running())
    @rule(place=places, lasts=seconds)
    def pause(self, place: int, lasts: float) -> None:
        """Stop a process for a while."""
        self.world.pause(self.one(place).name, lasts)

    @precondition(lambda self: self.running())
    @rule(place=places, instance=instances, times=st.integers(1, 3))
    def register(self, place: int, instance: str, times: int) -> None:
        """Register an entry, or take over its key."""
        for _ in range(times):
            self.world.register(self.one(place).name, "web", instance)

    @precondition(lambda self: any(host.services for host in self.running()))
    @rule(place=places)
    def update(self, place: int) -> None:
        """Update an entry of one that has some."""
        able = [host for host in self.running() if host.services]
        host = able[place % len(able)]
        _, service, instance = next(iter(host.services))
        self.world.update(host.name, service, instance)

    @precondition(lambda self: any(host.services for host in self.world.hosts.values()))
    @rule(place=places)
    def withdraw(self, place: int) -> None:
        """End an entry, whether its agent runs or not."""
        able = [host for _, host in sorted(self.world.hosts.items()) if host.services]
        host = able[place % len(able)]
        _, service, instance = next(iter(host.services))
        if not host.paused:
            self.world.withdraw(host.name, service, instance, cause=CauseWord.EXIT)

    @rule(source=names, to=names, kind=st.sampled_from(KINDS), by=st.sampled_from((None, 0.5, 3.0)))
    def intercept(self, source: str, to: str, kind: type, by: float | None) -> None:
        """Lose the next message of a kind on its way, or let it be late."""
        if by is None:
            self.net.keep(source, to, lambda message: isinstance(message, kind))
        else:
            self.net.delay(source, to, lambda message: isinstance(message, kind), by)

    @rule(source=names, to=names)
    def cut(self, source: str, to: str) -> None:
        """Let nothing through one way."""
        self.world.cut(source, to)

    @rule(some=st.sets(names, min_size=1, max_size=3))
    def split(self, some: set[str]) -> None:
        """Let nothing through between these and the others."""
        self.world.partition(some, set(NAMES) - some)

    @rule(source=names, to=names)
    def clog(self, source: str, to: str) -> None:
        """Let what is sent one way wait."""
        self.world.clog(source, to)

    @rule(source=names, to=names)
    def unclog(self, source: str, to: str) -> None:
        """Let it arrive."""
        self.world.unclog(source, to)

    @rule()
    def heal(self) -> None:
        """Let everything through."""
        self.world.heal()

    def teardown(self) -> None:
        """Demand agreement, then silence."""
        self.world.settle()


TestCluster = Cluster.TestCase
TestCluster.settings = settings(stateful_step_count=30)
