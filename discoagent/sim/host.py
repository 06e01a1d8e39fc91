"""A host: what runs on it, and a stand-in for the agent's shell around the real replica."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from discoagent import wire
from discoagent.core.effects import (
    Answer,
    Broadcast,
    Connect,
    Dial,
    Disconnect,
    Effect,
    Emit,
    Event,
    Outranked,
    Redial,
    Send,
)
from discoagent.core.entry import Cause, CauseWord, Entry, Key, MemberRecord
from discoagent.core.forgetting import verdict
from discoagent.core.membership import member_entry
from discoagent.core.messages import Heartbeat, Parting
from discoagent.core.replica import Replica
from discoagent.sim.checks import Checks
from discoagent.sim.failure import CheckFailed
from discoagent.sim.hearing import Hearing
from discoagent.sim.links import PORT, Links, host_of
from discoagent.sim.model import MEMBER_KEY, Life, Registration
from discoagent.sim.step import Observer, members_of

if TYPE_CHECKING:
    from discoagent.sim.world import World

SEED_INTERVAL = 10.0  # how often the seeds are looked up and greeted anew
SEED_RETRY = 1.0  # the same, while nobody was reached
FIRST_INCARNATION = 10_000_000_000  # microseconds that the wall clock shows at the beginning


class Host:
    """One machine: its services outlive its agent, its links do not."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.endpoint = f"{name}:{PORT}"
        self.rate = 1 + world.random.uniform(-1, 1) * world.profile.skew
        self.boot = f"{name}-boot-0"
        self.services: dict[Key, Registration] = {}
        self.seeds: tuple[str, ...] = ()
        self.replica: Replica | None = None
        self.life: Life | None = None
        self.observer = Observer()
        self.paused = False
        self.newer = (
            world.profile.mixed and len(world.hosts) % 2 == 0
        )  # what it ran before its first life
        self.left = False
        self.dark = False  # the power is off: not even a kernel answers
        self.unreachable = 0.0  # when its agent last did not run or was stopped
        self.paused_until = 0.0
        self.links = Links(self)
        self.hearing = Hearing(world.network, name)
        self._overdue: list[Callable[[], None]] = []  # what came while the process was stopped
        self._tick_due = False
        self._flush_due = False
        self._flushed = 0
        self._verdicts: dict[Key, None] = {}  # those that its chain holds
        self.checks = Checks(world, self)

    # ---- being there

    @property
    def running(self) -> bool:
        """Does the agent's process exist? (It may be stopped.)"""
        return self.replica is not None

    @property
    def awake(self) -> bool:
        """Does it do anything?"""
        return self.replica is not None and not self.paused

    def clock(self) -> float:
        """Return this host's monotonic clock."""
        return self.world.now * self.rate

    def begin(self, incarnation: int, restored: list[Entry], *, settled: bool) -> None:
        """Start a life; `restored` entries, and `settled`, are in its chain before it speaks."""
        record = MemberRecord(self.endpoint, "sim", boot=self.boot)
        world = self.world
        with world.profile.knobs.applied():
            self.replica = Replica(
                node=self.name,
                incarnation=incarnation,
                cluster="sim",
                record=record,
                timing=world.profile.timing,
                now=self.clock(),
            )
        self.life = world.model.begin(self.replica.id, world.now, self.boot)
        self.life.put(next(iter(self.replica.own)))
        self.observer = Observer()
        self.left = False
        self.newer = world.profile.mixed and not self.newer
        world.say(self.name, f"begins as {self.replica.id} with {len(restored)} entries")
        for entry in restored:
            self.put(entry, world.model.cause(CauseWord.REGISTERED))
        if settled:
            self.settle()
        world.network.came(self.name)
        self._greet_seeds(self.life)
        self._tick(self.life)
        if not settled:
            patience = world.profile.timing.settle_after / self.rate
            self.later(patience, self.settle)

    def later(self, delay: float, action: Callable[[], None]) -> None:
        """Do something after a delay if this life still lasts; a stopped process does it once it
        goes on.
        """
        life = self.life

        def due() -> None:
            if self.life is not life or not self.running:
                return
            if self.paused:
                self._overdue.append(action)
            else:
                action()

        self.world.at(delay, due)

    def end(self) -> None:
        """End the agent's process; nothing more is sent, and who is connected sees the end."""
        self.replica = None
        self.unreachable = self.world.now
        if not self.dark:
            for name in sorted(self.world.hosts):
                self.world.hosts[name].loses(self)
        self.paused = False
        self.links.clear()
        self.hearing.clear()
        self._overdue.clear()
        self._tick_due = self._flush_due = False
        self._flushed = 0
        self._verdicts.clear()
        self.world.network.went(self.name)

    def pause(self, until: float) -> None:
        """Stop the process, as SIGSTOP does."""
        self.paused = True
        self.paused_until = until

    def resume(self) -> None:
        """Let the process go on; what waits comes before or after the tick, as luck has it."""
        if not self.paused:
            return
        self.paused = False
        self.unreachable = self.world.now
        for peer in sorted(self.world.hosts):
            self.world.network.trouble(self.name, peer)
            self.world.network.trouble(peer, self.name)
        overdue, self._overdue = self._overdue, []
        life, tick_first = self.life, self.world.random.random() < 0.5
        if self._tick_due and tick_first and life is not None:
            self._tick(life)
        for action in overdue:
            if self.awake and self.life is life:
                action()
        if self._tick_due and life is not None:
            self._tick(life)

    # ---- what clients do

    def put(self, entry: Entry, cause: Cause) -> None:
        """Register or update an entry."""
        assert self.replica is not None
        assert self.life is not None
        if self.replica.own.get(entry.key) != entry:
            self.life.put(entry)
        self._turn(f"put {entry.name}/{entry.id}", self.replica.put, entry, cause)

    def withdraw(self, key: Key, cause: Cause) -> None:
        """Withdraw an entry, if it is in the chain."""
        assert self.replica is not None
        assert self.life is not None
        if key in self.life.dots:
            self.life.withdraw(key)
        self._turn(f"withdraw {key[1]}/{key[2]} {cause.word}", self.replica.withdraw, key, cause)

    def forget(self, node: str, cause: Cause) -> None:
        """Forget a node that is not alive here, as an operator asks for."""
        assert self.replica is not None
        assert self.life is not None
        forgotten = members_of(self.replica).peers[node].replica
        self.world.model.verdicts.add(forgotten)
        self.life.put(verdict(forgotten))
        self._verdicts[verdict(forgotten).key] = None
        self._turn(f"forget {forgotten}", self.replica.forget, node, cause)

    def settle(self) -> None:
        """Say that all that outlived the former life is registered again."""
        assert self.replica is not None
        assert self.life is not None
        record = self.replica.own.record
        if record is not None and not record.settled:
            self.life.put(settled_entry(record))
            self._turn("settle", self.replica.settle, self.world.model.cause(CauseWord.UPDATED))

    def depart(self, parting: Parting, cause: Cause) -> None:
        """Say farewell, and end."""
        assert self.replica is not None
        assert self.life is not None
        if parting is Parting.LEAVE:
            self.life.withdraw(MEMBER_KEY)
            self.life.closing = cause
            self.left = True
        else:
            self.life.said_restart = True
        self._turn(f"depart {parting.name}", self.replica.depart, parting, cause)
        self.end()

    # ---- the loop

    def arrived(self, frame: bytes) -> None:
        """Take what a socket brings that wakes the loop: all but heartbeats."""
        if self.paused:
            self._overdue.append(lambda: self._receive(frame))
        else:
            self._receive(frame)

    def _receive(self, frame: bytes) -> None:
        assert self.replica is not None
        try:
            envelope = self.world.interning.interned(wire.decode(frame))
        except wire.WireError as error:
            if not (self.world.profile.mixed and error.reason == "unknown-kind"):
                raise CheckFailed("every message is read", self.name, str(error)) from error
            self.world.unread += 1  # dropped and counted, as by the transport
            return
        said = f"<- {envelope.sender}: {type(envelope.message).__name__}"
        self._turn(said, self.replica.receive, envelope)

    def _drain(self) -> None:
        """Take in the heartbeats that came since the last tick; most are of no consequence."""
        heard = self.hearing.drain(self.world.now)
        if not heard:
            return
        replica, clock = self.replica, self.clock()
        assert replica is not None
        moved = members_of(replica).moved
        with self.world.profile.knobs.applied():
            for envelope in heard:
                assert isinstance(envelope.message, Heartbeat)
                self.checks.hears(envelope.message)
                effects = replica.receive(envelope, clock)
                if effects or moved:
                    self.done(f"<- {self.checks.sender(envelope.message)}: Heartbeat", effects)
                    moved = members_of(replica).moved
        self.done(f"takes in {len(heard)} heartbeats", [])

    def _greet_seeds(self, life: Life) -> None:
        if self.life is not life or self.replica is None:
            return
        self._turn("greets its seeds", self.replica.seeds, self.seeds)
        interval = SEED_INTERVAL if self.replica.ready else SEED_RETRY
        self.later(interval, lambda: self._greet_seeds(life))

    def _tick(self, life: Life) -> None:
        if self.life is not life or self.replica is None:
            return
        self._tick_due = self.paused
        if self.paused:
            return
        self._drain()
        self._turn("", self.replica.tick)
        delay = max(0.001, self.replica.deadline() / self.rate)
        self.world.at(delay, lambda: self._tick(life))

    def _flush(self) -> None:
        self._flush_due = False
        assert self.replica is not None
        self._flushed = self.replica.own.clock
        self._turn("pushes what is new", self.replica.flush)

    def _turn(self, label: str, verb: Callable[..., list[Effect]], *arguments: object) -> None:
        assert self.replica is not None
        with self.world.profile.knobs.applied():
            effects = verb(*arguments, self.clock())
        self.done(label, effects)

    def done(self, label: str, effects: list[Effect]) -> None:
        """Write down what was done, carry out what came of it, and check it."""
        world = self.world
        assert self.replica is not None
        if self._verdicts:
            self._note_dropped_verdicts()
        if label:
            world.trace.fold(world.now, self.name, label.encode())
            world.say(self.name, label)
        for effect in effects:
            self._run(effect)
        self.checks.after(self.replica, effects)
        if self.life is not None and self._flushed != self.life.clock and not self._flush_due:
            self._flush_due = True
            pacing = world.profile.pacing
            self.later(world.random.uniform(0, pacing) if pacing else 0.0, self._flush)

    def _note_dropped_verdicts(self) -> None:
        """Write down what the replica decides by itself: when a verdict of its own has had its
        time.
        """
        assert self.replica is not None
        assert self.life is not None
        for key in [key for key in self._verdicts if self.replica.own.get(key) is None]:
            del self._verdicts[key]
            self.life.withdraw(key)

    # ---- effects

    def _run(self, effect: Effect) -> None:  # noqa: C901 - one case an effect
        if not isinstance(effect, Broadcast):
            self.world.say(self.name, effect)
        match effect:
            case Emit(event):  # first, for most are
                self.world.trace.fold(self.world.now, self.name, _told(event))
            case Broadcast() | Send() | Answer():
                self.links.send(effect)
            case Connect(endpoint):
                self.links.connect(endpoint)
            case Redial(endpoint):
                self.links.hang_up(endpoint)
                self.links.connect(endpoint)
            case Disconnect(endpoint):
                self.links.hang_up(endpoint)
            case Dial(endpoint):
                self._dial(endpoint)
            case Outranked(incarnation):
                self.later(0.0, lambda: self._rise_above(incarnation))
            case _:
                self.world.trace.fold(self.world.now, self.name, repr(effect).encode())

    def loses(self, other: "Host") -> None:
        """See a connection end because the process at its other end did, unless the way is cut."""
        network = self.world.network
        cut = network.is_cut(other.name, self.name) or network.is_cut(self.name, other.name)
        if other is not self and self.running and self.links.to(other.name) and not cut:
            delay = self.world.random.uniform(*self.world.profile.latency)
            self.later(delay, lambda: self._lost(other.endpoint))

    def _lost(self, endpoint: str) -> None:
        assert self.replica is not None
        self._turn(f"link to {endpoint} ends", self.replica.link_down, endpoint)

    def _dial(self, endpoint: str) -> None:
        """Tell what a plain connect shows, as late as a connect would."""
        outcome, delay = self.world.network.dial(self.name, host_of(endpoint))

        def told() -> None:
            assert self.replica is not None
            label = f"dialled {endpoint}: {outcome.value}"
            self._turn(label, self.replica.dialled, endpoint, outcome)

        self.later(delay, told)

    def _rise_above(self, incarnation: int) -> None:
        """Begin anew above a former life that the cluster remembers: the clock was set back."""
        assert self.replica is not None
        if incarnation < self.replica.id.incarnation:
            return
        own = self.replica.own
        entries = [entry for entry in own if entry.shown]
        settled = own.record is not None and own.record.settled
        said = {entry.key for entry in entries}
        self.end()
        self.begin(incarnation + 1, entries, settled=settled)
        for key, registration in list(self.services.items()):
            if key not in said:  # its client sees yet another life, and says it to that
                self.world.comes_back(self, registration, self.world.random.uniform(0.05, 1.0))


def _told(event: Event) -> bytes:
    """Return what tells an event from all others: every version of an entry has a body like no
    other.
    """
    entry = event.entry or event.before
    assert entry is not None
    return b"%a %a %a %a" % (event.kind.value, event.node, entry.body, event.cause)


def settled_entry(record: MemberRecord) -> Entry:
    """Return the member record as `settle` makes it."""
    return member_entry(replace(record, settled=True))
