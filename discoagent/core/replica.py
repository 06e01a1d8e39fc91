"""The replica, the only class that the shell drives: verbs and time in, effects out as values.

Journeys: register -> delta -> remote join -> watcher is `put`, `flush`, `receive`, `Emit`. A
newcomer's is `seeds`, `receive` (hello, welcome, chunks), `ready`. A lost delta's is `receive`
(gap), `sync`. A dead host's is `tick` (detector), `Emit`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from types import MappingProxyType

from discoagent.core.chain import MEMBER_KEY, Chain
from discoagent.core.detector import Detector, WitnessedClock
from discoagent.core.digest import mix
from discoagent.core.effects import Broadcast, DialOutcome, Effect, Event, NodeState, Send
from discoagent.core.entry import UNKNOWN, Cause, Entry, Key, Kind, MemberRecord, ReplicaId
from discoagent.core.evidence import Case
from discoagent.core.exchange import Exchange
from discoagent.core.forgetting import Forgetting
from discoagent.core.greeter import Greeter
from discoagent.core.guard import Isolation
from discoagent.core.inbox import Inbox
from discoagent.core.limits import ENDED_MAX
from discoagent.core.membership import Membership, emit, member_entry
from discoagent.core.messages import DeltaMessage, Envelope, Farewell, Heartbeat, Parting
from discoagent.core.presence import Place, Shown
from discoagent.core.prospects import case_of
from discoagent.core.sights import Sights
from discoagent.core.steps import steps_after
from discoagent.core.sync import Sync
from discoagent.core.telling import MemberView, views
from discoagent.core.timing import TICK, Timing

__all__ = ["Isolation", "MemberView", "Replica", "Shown"]

OVERLAYS = (NodeState.SUSPECT, NodeState.RESTARTING)


class Replica:
    """One life of this node's agent: its own chain, those of all others, and the protocol.

    `now` is seconds on a monotonic clock of the shell's. Every verb returns the effects to run, in
    order.
    """

    def __init__(
        self,
        *,
        node: str,
        incarnation: int,
        cluster: str,
        record: MemberRecord,
        timing: Timing,
        now: float,
    ) -> None:
        problems = timing.problems()
        if problems:
            raise ValueError("; ".join(problems))
        self.id = ReplicaId(node, incarnation)
        self.timing = timing
        self._clock = WitnessedClock(now)
        self._members = Membership(self.id, cluster, record.endpoint, timing)
        self._members.real = now
        self._detector = Detector(self._members)
        self._greeter = Greeter(self._members)
        self._sync = Sync(self._members)
        self._sights = Sights(self._members)
        self._forgetting = Forgetting(self._members)
        exchange = Exchange(self._members)
        self._inbox = Inbox(
            members=self._members,
            detector=self._detector,
            greeter=self._greeter,
            sync=self._sync,
            exchange=exchange,
            sights=self._sights,
        )
        self._ended_until = 0.0
        self._pushed = 0
        self._beat = 0
        self._next_beat = self._clock.now
        self._departed = False
        self.own.put(member_entry(record), Cause("registered", b"", 0))

    @property
    def own(self) -> Chain:
        """Return this node's own chain."""
        return self._members.own

    @property
    def cluster(self) -> str:
        """Return the cluster's name."""
        return self._members.cluster

    @property
    def endpoint(self) -> str:
        """Return where peers reach us."""
        return self._members.endpoint

    @property
    def counters(self) -> Counter[str]:
        """Return what was refused or dropped, by reason."""
        return self._members.counters

    # ---- this node's entries

    def put(self, entry: Entry, cause: Cause, now: float) -> list[Effect]:
        """Register an entry, or update the one of its key; nothing happens if nothing differs."""
        self._witness(now)
        assert entry.shown, "the member record has verbs of its own"
        members = self._members
        before = members.own.get(entry.key)
        if before is not None and before == entry:
            return []
        members.own.put(entry, cause)
        return emit(members.presence.stepped(members.me, before, entry, cause))

    def withdraw(self, key: Key, cause: Cause, now: float) -> list[Effect]:
        """Remove the entry of that key, if there is one."""
        self._witness(now)
        before = self.own.withdraw(key, cause)
        if before is None:
            return []
        return emit(self._members.presence.stepped(self._members.me, before, None, cause))

    def update_record(self, record: MemberRecord, cause: Cause, now: float) -> list[Effect]:
        """Change what this node says of itself."""
        self._witness(now)
        if record != self.own.record:
            self.own.put(member_entry(record), cause)
        return []

    def settle(
        self, cause: Cause, now: float, ended: Mapping[Key, Cause] = MappingProxyType({})
    ) -> list[Effect]:
        """Say that all that outlived the former life is in the chain, and why others are not.

        Where `ended` names more than `ENDED_MAX` entries, the rest goes with an unknown cause.
        """
        record = self.own.record
        assert record is not None
        told = dict(islice(ended.items(), ENDED_MAX))
        self._ended_until = self._clock.now + self.timing.restart_grace + self.timing.down_after
        settled = replace(record, settled=True, ended=told)
        return self.update_record(settled, cause, now)

    @property
    def unpushed(self) -> bool:
        """Is there anything for `flush` to do?"""
        return self._pushed != self.own.clock

    def flush(self, now: float) -> list[Effect]:
        """Push all steps since the last flush to every peer; called at the end of a loop's turn."""
        self._witness(now)
        if not self.unpushed:
            return []
        targets = self._members.targets()
        deltas = self.own.deltas_after(self._pushed)
        self._pushed = self.own.clock
        return [Send(targets, DeltaMessage(batch)) for batch in deltas] if targets else []

    def depart(self, parting: Parting, cause: Cause, now: float) -> list[Effect]:
        """Say farewell to every peer: with LEAVE the chain is closed, and this replica is done."""
        effects = self.flush(now)
        targets = self._members.targets()
        self._departed = True
        if parting is Parting.RESTART:
            return [*effects, Send(targets, Farewell(parting))] if targets else effects
        self.own.withdraw(MEMBER_KEY, cause)
        closing = self.own.deltas_after(self._pushed)[-1][-1]
        self._pushed = self.own.clock
        effects += emit(self._members.presence.hide(self._members.me, cause))
        return [*effects, Send(targets, Farewell(parting, closing))] if targets else effects

    # ---- the mesh

    def seeds(self, endpoints: Iterable[str], now: float) -> list[Effect]:
        """Greet whoever is reached there and not known yet; the shell calls it again and again."""
        self._witness(now)
        return self._greeter.greet(endpoints, self._clock.now)

    def reached(self) -> dict[str, str]:
        """Return at which endpoints a node that is present is reached, ourselves included."""
        return dict.fromkeys(self._greeter.own, self.id.node) | self._members.reached()

    def join(self, endpoint: str, now: float) -> list[Effect]:
        """Greet one endpoint even if it is known; the outcome is `Greeted` or `Refused`."""
        self._witness(now)
        return self._greeter.invite(endpoint, self._clock.now)

    def receive(self, envelope: Envelope, now: float) -> list[Effect]:
        """Take in one message of a peer."""
        self._witness(now)
        if self._departed:
            return []
        effects = self._inbox.receive(envelope, self._clock.now)
        effects += self._forgetting.look(self._clock.now)
        return effects + self._sights.look()

    def forget(self, node: str, cause: Cause, now: float) -> list[Effect]:
        """Forget a known node that is not alive, here and wherever nobody hears it.

        It comes back by its own word, or with its next life.
        """
        self._witness(now)
        return self._forgetting.forget(node, cause, self._clock.now)

    def link_down(self, endpoint: str, now: float) -> list[Effect]:
        """Take in that the connection to this endpoint ended; the answer is a `Dial`."""
        self._witness(now)
        return self._detector.link_down(endpoint, self._clock.now)

    def dialled(self, endpoint: str, outcome: DialOutcome, now: float) -> list[Effect]:
        """Take in what a `Dial` showed."""
        self._witness(now)
        back, effects = self._detector.dialled(endpoint, outcome, self._clock.now)
        if back:
            effects += self._greeter.back(endpoint, self._clock.now)
        return effects

    # ---- time

    def tick(self, now: float) -> list[Effect]:
        """Do all that time asks for; the shell drained the heartbeats just before."""
        self._witness(now)
        if self._departed:
            return []
        at = self._clock.now
        effects = self._detector.tick(at)
        effects += self._forgetting.tick(at)
        effects += self._members.end_handovers(at)
        effects += self._greeter.tick(at)
        effects += self._sync.tick(at)
        effects += self._sights.tick(at)
        self._forget_ended(at)
        if at >= self._next_beat:
            effects.append(Broadcast(self._heartbeat_of_ours(at)))
        return effects

    def deadline(self) -> float:
        """Return in how many seconds `tick` wants to be called at the latest."""
        soonest = min(self._next_beat, self._sync.due(), self._clock.now + TICK)
        return max(0.0, soonest - self._clock.now)

    def _heartbeat_of_ours(self, now: float) -> Heartbeat:
        members, interval = self._members, self.timing.heartbeat_interval
        self._beat += 1
        jitter = mix(members.me.hash ^ self._beat) / 2**64  # nobody beats in step with anybody
        self._next_beat = now + interval * (0.9 + 0.1 * jitter)
        members.count_own()
        return Heartbeat(
            members.me.hash,
            self.id.incarnation,
            self._beat,
            self.own.clock,
            members.digests.set,
            members.digests.vector,
            self.own.hash,
        )

    def _witness(self, now: float) -> None:
        if now <= self._clock.real:  # as for all but the first of what came together
            return
        gap = self._clock.witness(now)
        self._members.real = self._clock.real
        if gap > self.timing.heartbeat_interval:
            self._detector.paused(self._clock.now)

    def _forget_ended(self, now: float) -> None:
        """Tell no more of what ended before this life: everybody has had the time to hear it."""
        record = self.own.record
        if record is not None and record.ended and now > self._ended_until:
            self.own.put(member_entry(replace(record, ended={})), UNKNOWN)

    # ---- who has seen what

    def ask_seen(
        self,
        goals: Mapping[ReplicaId, int],
        patience: float,
        now: float,
        nodes: Collection[str] | None = None,
    ) -> tuple[int, list[str], list[Effect]]:
        """Ask all present peers (or those of `nodes`) if they hold these replicas up to there.

        Returns the question's number, the nodes it goes to, and the effects. Each answer is a
        `SeenBy`: at once, when all is reached, or after `patience` seconds.
        """
        self._witness(now)
        return self._sights.ask(goals, patience, self._clock.now, nodes)

    def forget_seen(self, number: int) -> None:
        """Wait for no more answers to that question."""
        self._sights.forget(number)

    # ---- reading, which changes nothing

    def position(self, node: str) -> tuple[int, int] | None:
        """Return the incarnation and clock at which a node is shown; None if nothing is.

        During a handover the clock is 0: what is shown is no state of one chain.
        """
        held = self._members.presence.nodes.get(node)
        if held is None or held.hidden:
            return None
        clock = 0 if held.held is not None else held.chain.clock
        return held.chain.replica.incarnation, clock

    def moved(self) -> set[str]:
        """Return the peers whose position may be another than when this was last asked."""
        moved, self._members.moved = self._members.moved, set()
        return moved

    def steps_since(self, node: str, position: tuple[int, int]) -> list[Event] | None:
        """Return what changed of a node since this position, in order; None if it is not known."""
        held = self._members.presence.nodes.get(node)
        incarnation, clock = position
        if held is None or held.hidden or held.held is not None or not clock:
            return None
        known = incarnation == held.chain.replica.incarnation and clock <= held.chain.clock
        return steps_after(held, clock) if known else None

    def vector(self) -> dict[ReplicaId, int]:
        """Return the clocks of all that is shown, our own included."""
        return {
            node.chain.replica: node.chain.clock
            for node in self._members.presence.nodes.values()
            if not node.hidden
        }

    @property
    def ready(self) -> bool:
        """Is the first sync with one peer complete?"""
        return self._inbox.ready

    @property
    def settled(self) -> bool:
        """Is nobody here, ourselves included, of whose present life more may be on its way?"""
        return all(node.settled or node.hidden for node in self._members.presence.nodes.values())

    def lookup(
        self, kind: Kind, names: Collection[str] = (), node: str | None = None
    ) -> Iterator[Shown]:
        """Yield what is shown, sorted by name, id and node; no names: all of them."""
        for _, holder, entry in self.places(kind, names, node):
            yield Shown(holder, entry, self.overlay(holder))

    def places(
        self, kind: Kind, names: Collection[str] = (), node: str | None = None
    ) -> list[Place]:
        """Return (id, node, entry) of what `lookup` yields; the quicker way to long lists."""
        return self._members.presence.lookup(kind, names, node)

    def everything(self) -> list[tuple[str, Entry]]:
        """Return (node, entry) of all that is shown, of any kind, in no order."""
        return self._members.presence.everything()

    def names(self, kind: Kind) -> list[str]:
        """Return the names of that kind of which something is shown, sorted."""
        return self._members.presence.groups(kind)

    def find(
        self, kind: Kind, instance: str, name: str | None = None, node: str | None = None
    ) -> list[Shown]:
        """Return what is shown under that id, of one name or of any, on one node or on any."""
        names = [name] if name is not None else self.names(kind)
        return [
            Shown(holder, entry, self.overlay(holder))
            for each in names
            for holder, entry in self._members.presence.find((kind, each, instance), node)
        ]

    def members(self, now: float) -> list[MemberView]:
        """Return every known node, sorted, ourselves included."""
        self._witness(now)
        return views(self._members, self._clock.now)

    def why(self, node: str, now: float) -> Case | None:
        """Return what the state of another node is founded on; None if it was never known here."""
        self._witness(now)
        return case_of(self._members, self._detector.guard, node, self._clock.now)

    def isolation(self, now: float) -> Isolation | None:
        """Return how it is if most others are silent, so that we may be cut off ourselves."""
        self._witness(now)
        return self._detector.guard.isolation(self._clock.now)

    def overlay(self, node: str) -> NodeState | None:
        """Return suspect or restarting if the node is: what its entries are seen as."""
        peer = self._members.peers.get(node)
        return peer.state if peer is not None and peer.state in OVERLAYS else None

    def check(self) -> None:
        """Assert every invariant; for tests and the simulator, for it walks all there is."""
        self._members.check()
