"""Any order of ends: each is one event, with the right cause and actor, here and on another agent,
also where its agent was not there to see it.

Real processes, real pidfds, and a virtual clock: the loop never waits, it takes the time as passed.
"""

import asyncio
import contextlib
import selectors
import subprocess
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from discoagent.checks import Check
from discoagent.core.effects import DialOutcome, Emit, Event
from discoagent.core.entry import Cause, Kind
from discoagent.instance import unpack_actor
from discoagent.local.entries.keeping import Keeping
from discoagent.local.entries.restoring import LEASE_LEFT_MIN, restore
from discoagent.local.requests.operations import Drain, Maint
from discoagent.local.requests.queries import state_of
from discoagent.store import StoredEntry
from tests.agent.local_world import ME, World, end
from tests.core.cluster import Cluster

TTL = 10.0
CHECK = 25.0
HAND = "by hand"  # who made a change: this process, or nobody


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on which time passes when there is nothing else to do."""

    def __init__(self) -> None:
        self.now = 1_000.0
        super().__init__(_Timeless(self))

    def time(self) -> float:
        """Return the virtual time."""
        return self.now


class _Timeless(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if that is nothing, the time is over."""
        found = super().select(0)
        if not found and timeout is not None and timeout > 0:
            self._loop.now += timeout
        return found


class Lives(RuleBasedStateMachine):
    """One agent with its entries, and another that is told of them."""

    @initialize()
    def begin(self) -> None:
        """Two agents that know each other."""
        self.loop = VirtualLoop()
        asyncio.set_event_loop(None)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.leases: dict[str, float] = {}
        self.checked: dict[str, float] = {}
        self.states: dict[str, str] = {}
        self.count = 0
        self.loop.run_until_complete(self._begin())

    async def _begin(self) -> None:
        self.cluster = Cluster(now=self.loop.now)
        self.seen_there = 0
        self._live(World(endpoint="a:1"))
        self.there = self.cluster.start("b", cluster="test")
        self.cluster.run("b", self.there.seeds(["a:1"], self.loop.now))

    def _live(self, world: World) -> None:
        """Let the first agent begin a life."""
        self.world = world
        self.cluster.running["a"] = world.replica
        self.cluster.events["a"], self.cluster.effects["a"] = [], []
        self.cluster.dials["a"] = DialOutcome.OPEN
        self.seen = 0

    def teardown(self) -> None:
        """End what still runs."""
        if hasattr(self, "loop"):
            self.world.close()
            self.loop.close()
            for process in self.processes.values():
                _finish(process)

    def ask(self, operation: str, **arguments: Any) -> Any:
        """Do one thing at the first agent."""

        async def asked() -> Any:
            return self.world.ask(operation, **arguments)

        return self.loop.run_until_complete(asked())

    def name(self) -> str:
        """Return a name that was never used."""
        self.count += 1
        return f"x{self.count}"

    def told(self, *expected: tuple[str, str, str, str]) -> None:
        """Push to the other agent; see that both told of this, and of nothing else."""
        self.cluster.now = self.loop.now
        here = [_said(it) for it in self.world.events[self.seen :]]
        self.seen = len(self.world.events)
        self.cluster.run("a", [])
        there = [_said(it) for it in self.cluster.events["b"][self.seen_there :]]
        self.seen_there = len(self.cluster.events["b"])
        assert sorted(here) == sorted(there) == sorted(expected)

    # -- what begins

    @precondition(lambda self: len(self.processes) < 4)
    @rule()
    def a_process(self) -> None:
        """Register a process."""
        name = self.name()
        process = self.processes[name] = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        self.ask("register", service="s", id=name, lifetime=["process", process.pid])
        self.states[name] = "passing"
        self.told(("added", name, "registered", HAND))

    @rule()
    def a_lease(self) -> None:
        """Register a lease."""
        name = self.name()
        self.ask("register", service="s", id=name, lifetime=["lease", round(TTL * 1000)])
        self.leases[name] = self.loop.now + TTL
        self.states[name] = "passing"
        self.told(("added", name, "registered", HAND))

    @rule()
    def a_checked_one(self) -> None:
        """Register what must say that it is well."""
        name = self.name()
        check = Check.ttl(CHECK).packed()
        self.ask("register", service="s", id=name, lifetime=["static"], checks=[check])
        self.ask("ttl", id=f"s/{name}", word="pass")
        self.checked[name] = self.loop.now + CHECK
        self.states[name] = "passing"
        self.told(("added", name, "registered", HAND), ("updated", name, "check", HAND))

    # -- what goes on

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        """Give a lease its time anew: no event."""
        name = data.draw(st.sampled_from(sorted(self.leases)))
        self.ask("renew", id=f"s/{name}")
        self.leases[name] = self.loop.now + TTL
        self.told()

    @rule()
    def drain(self) -> None:
        """Drain the host, and what is drained already is no event."""
        call = Drain()
        changed = [name for name, state in self.states.items() if state != "draining"]
        self.loop.run_until_complete(_done(lambda: self.world.own.upkeep.drain(call, ME)))
        self.states = dict.fromkeys(self.states, "draining")
        self.told(*(("updated", name, "drained", HAND) for name in changed))

    @rule()
    def undrain(self) -> None:
        """End that; what failed meanwhile has failed."""
        changed = [name for name, state in self.states.items() if state == "draining"]
        call = Maint(on=False)
        self.loop.run_until_complete(_done(lambda: self.world.own.upkeep.maint(call, ME)))
        for name in changed:
            failed = self.checked.get(name, self.loop.now + 1) <= self.loop.now
            self.states[name] = "critical" if failed else "passing"
        self.told(*(("updated", name, "maint", HAND) for name in changed))

    # -- what ends

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        """Kill a process, unreaped."""
        name = data.draw(st.sampled_from(sorted(self.processes)))
        process = self.processes.pop(name)
        end(process)
        self.loop.run_until_complete(self.world.event(self.seen + 1))
        _finish(process)
        self.states.pop(name)
        self.told(("removed", name, "exit:SIGKILL", ""))

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def deregister(self, data: st.DataObject) -> None:
        """End any of them by hand; what would have ended it ends nothing any more."""
        name = data.draw(st.sampled_from(sorted(self.states)))
        self.ask("deregister", id=f"s/{name}")
        for table in (self.states, self.leases, self.checked):
            table.pop(name, None)
        if name in self.processes:
            _finish(self.processes.pop(name))
        self.told(("removed", name, "deregistered", HAND))

    @rule(seconds=st.floats(0.5, 30.0))
    def time_passes(self, seconds: float) -> None:
        """Leases run out, and checks fail."""
        began = self.loop.now
        passed = asyncio.Event()
        self.loop.call_later(seconds, passed.set)  # seconds of virtual time
        self.loop.run_until_complete(passed.wait())
        over = [name for name, when in self.leases.items() if when <= self.loop.now]
        failed = [name for name, when in self.checked.items() if began < when <= self.loop.now]
        for name in over:
            del self.leases[name], self.states[name]
        for name in failed:
            if self.states[name] == "passing":
                self.states[name] = "critical"
        self.told(
            *(("removed", name, "lease-expired", "") for name in over),
            *(("updated", name, "check", "") for name in failed),
        )

    @rule(data=st.data(), seconds=st.floats(0.1, 14.0))
    def the_agent_is_away(self, data: st.DataObject, seconds: float) -> None:
        """It is killed, and comes back; some that it watched have ended by then, or are gone."""
        rows = self._kept()
        self.world.close()
        names = st.sampled_from(sorted(self.processes)) if self.processes else st.nothing()
        ended = sorted(data.draw(st.sets(names)))
        gone = {name for name in ended if data.draw(st.booleans())}
        processes = [self.processes.pop(name) for name in ended]
        for name, process in zip(ended, processes, strict=True):
            (_finish if name in gone else end)(process)
            self.states.pop(name)
        self.loop.now += seconds
        self.loop.run_until_complete(self._return(rows, seconds))
        for process in processes:
            _finish(process)
        causes = ("exit" if name in gone else "exit:SIGKILL" for name in ended)
        self.told(
            *(("removed", name, cause, "") for name, cause in zip(ended, causes, strict=True))
        )

    def _kept(self) -> list[StoredEntry]:
        """Return what the store has of the entries."""
        world = self.world
        keeping = Keeping(
            store=world.store,
            lifetimes=world.lifetimes,
            own=world.replica.own,
            loop=self.loop,
            wall_ms=world.tick_ms,
        )
        return keeping.rows(world.replica.own)

    async def _return(self, rows: list[StoredEntry], seconds: float) -> None:
        """Begin another life with what was kept, as the agent does."""
        before = self.world
        incarnation = before.replica.id.incarnation + 1
        self._live(World(endpoint="a:1", incarnation=incarnation, settled=False))
        world, now = self.world, self.loop.now
        world.wall_ms = before.wall_ms + round(seconds * 1000)
        restored = restore(
            rows,
            replica=world.replica,
            lifetimes=world.lifetimes,
            revive=world.own.revive,
            now=now,
            wall_ms=world.tick_ms(),
        )
        world.perform([Emit(event) for event in restored.events])
        world.perform(
            world.replica.settle(Cause("updated", b"", world.tick_ms()), now, restored.ended)
        )
        self.cluster.run("a", world.replica.seeds(["b:1"], now))
        for name, when in self.leases.items():
            lease = world.lifetimes.leases.get((Kind.SERVICE, "s", name))
            assert lease is not None
            assert abs(lease.deadline - max(when, now + LEASE_LEFT_MIN)) < 0.1
            self.leases[name] = lease.deadline
        for name, when in self.checked.items():
            if when > now - seconds:  # nobody looked whether its owner said anything meanwhile
                self.checked[name] = now + CHECK

    @invariant()
    def no_ghosts(self) -> None:
        """Both agents show what there is, in the state in which it is."""
        if not hasattr(self, "world"):
            return
        for replica in (self.world.replica, self.there):
            shown: Mapping[str, str] = {
                it.entry.id: state_of(it) for it in replica.lookup(Kind.SERVICE, ("s",))
            }
            assert shown == self.states


def _said(event: Event) -> tuple[str, str, str, str]:
    """Return what an event was, of what, why, and by whom."""
    entry = event.entry or event.before
    assert entry is not None
    actor = unpack_actor(event.cause.actor)
    assert actor is None or (actor.uid, actor.pid) == (ME.uid, ME.pid)
    return str(event.kind), entry.id, event.cause.word, HAND if actor else ""


async def _done(work: Any) -> Any:
    return work()


def _finish(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=60,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
