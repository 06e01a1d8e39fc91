"""A few replicas in one process, their messages delivered in order, all that they do written down.

No codec, no luck, no faults but those that a test asks for: the simulator is elsewhere. What is
here makes a unit test of the whole core, and its script reads as a transcript of the protocol.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from discoagent.core.effects import (
    Answer,
    Broadcast,
    Dial,
    DialOutcome,
    Effect,
    Emit,
    Event,
    Send,
)
from discoagent.core.entry import Entry, Kind, MemberRecord, ReplicaId
from discoagent.core.messages import (
    Envelope,
    Heartbeat,
    Message,
)
from discoagent.core.replica import Replica
from discoagent.core.timing import TICK, Timing
from tests.core.transcript import noted, told
from tests.core.vocabulary import REGISTERED

Lose = Callable[[str, str, Message], bool]


def nothing_is_lost(_by: str, _to: str, _message: Message) -> bool:
    """Lose nothing."""
    return False


@dataclass
class Cluster:
    """Replicas by node name, reached at "NODE:1", and the script of what happened."""

    timing: Timing = field(default_factory=Timing)
    now: float = 100.0
    running: dict[str, Replica] = field(default_factory=dict)
    script: list[str] = field(default_factory=list)
    events: dict[str, list[Event]] = field(default_factory=dict)
    effects: dict[str, list[Effect]] = field(default_factory=dict)
    lose: Lose = nothing_is_lost
    dials: dict[str, DialOutcome] = field(
        default_factory=dict
    )  # else open, or silent if it is dead
    _mail: deque[tuple[str, str, ReplicaId | None, Message]] = field(default_factory=deque)

    # ---- the world

    def start(
        self,
        node: str,
        *seeds: str,
        incarnation: int = 1,
        cluster: str = "home",
        settled: bool = True,
        boot: str = "",
        endpoint: str = "",
    ) -> Replica:
        """Start an agent's core; it greets its seeds (node names) at once."""
        replica = self.bare(
            node,
            incarnation=incarnation,
            cluster=cluster,
            record=MemberRecord(endpoint or f"{node}:1", "0", settled=settled, boot=boot),
        )
        self.run(node, replica.seeds([f"{seed}:1" for seed in seeds], self.now))
        return replica

    def bare(
        self, node: str, *, incarnation: int = 1, cluster: str = "home", record: MemberRecord
    ) -> Replica:
        """Start an agent's core that greets nobody."""
        replica = self.running[node] = Replica(
            node=node,
            incarnation=incarnation,
            cluster=cluster,
            record=record,
            timing=self.timing,
            now=self.now,
        )
        self.events[node] = []
        self.effects[node] = []
        self.dials[node] = DialOutcome.OPEN
        return replica

    def kill(self, node: str, dials: DialOutcome = DialOutcome.SILENT) -> None:
        """End an agent without a word; unless dialling shows otherwise, its host dies too."""
        del self.running[node]
        self.dials[node] = dials

    def run(self, node: str, effects: list[Effect]) -> None:
        """Carry out effects, end the turn of the loop, and deliver all that follows from it."""
        self._carry_out(node, effects)
        self._carry_out(node, self.running[node].flush(self.now))
        self.deliver()

    def deliver(self) -> None:
        """Deliver mail until there is none."""
        while self._mail:
            by, to, sender, message = self._mail.popleft()
            lost = to not in self.running or self.lose(by, to, message)
            if not isinstance(message, Heartbeat):
                mark = "-x" if lost else "->"
                self.script.append(f"{by} {mark} {to}  {told(message)}")
            if not lost:
                replica = self.running[to]
                self._carry_out(to, replica.receive(Envelope(message, sender), self.now))
                self._carry_out(to, replica.flush(self.now))

    def tick(self) -> None:
        """Let one tick of time pass for all."""
        self.now += TICK
        for node, replica in list(self.running.items()):
            self.run(node, replica.tick(self.now))

    def wait(self, seconds: float) -> None:
        """Let that much time pass for all."""
        for _ in range(round(seconds / TICK)):
            self.tick()

    def put(self, node: str, *entries: Entry, word: str = "registered") -> None:
        """Register or update entries in one turn of the loop."""
        replica = self.running[node]
        why = REGISTERED._replace(word=word)
        effects: list[Effect] = []
        for each in entries:
            effects += replica.put(each, why, self.now)
        self.run(node, effects)

    # ---- what is seen

    def said(self) -> list[str]:
        """Return the script since it was last read."""
        script, self.script = self.script, []
        return script

    def shown(self, node: str) -> list[tuple[str, Entry]]:
        """Return (node, entry) of the services that a node shows."""
        return [(it.node, it.entry) for it in self.running[node].lookup(Kind.SERVICE)]

    def check(self) -> None:
        """Let every replica assert its invariants, and compare its events with what it shows."""
        for node, replica in self.running.items():
            replica.check()
            assert replayed(self.events[node]) == {
                (it.node, it.entry.key): it.entry
                for kind in (Kind.SERVICE, Kind.PRESENCE)
                for it in replica.lookup(kind)
            }

    def _carry_out(  # noqa: C901 - one flat case an effect
        self, node: str, effects: list[Effect]
    ) -> None:
        self.effects[node] += effects
        sender = self.running[node].id
        for effect in effects:
            match effect:
                case Broadcast():
                    for other in list(self.running):
                        if other != node:
                            self._mail.append((node, other, None, effect.message))
                case Send():
                    for endpoint in effect.endpoints:
                        to = endpoint.partition(":")[0]
                        self._mail.append((node, to, sender, effect.message))
                case Answer():
                    self._mail.append((node, effect.to.node, sender, effect.message))
                case Dial():
                    self._dial(node, effect.endpoint)
                case Emit():
                    self.events[node].append(effect.event)
                case _:
                    pass
            self.script += noted(node, effect)

    def _dial(self, node: str, endpoint: str) -> None:
        outcome = self.dials[endpoint.partition(":")[0]]
        self._carry_out(node, self.running[node].dialled(endpoint, outcome, self.now))


def replayed(events: list[Event]) -> dict[tuple[str, tuple[Kind, str, str]], Entry]:
    """Return what a watcher shows that saw all these events; each has to follow the one before."""
    view: dict[tuple[str, tuple[Kind, str, str]], Entry] = {}
    for event in events:
        of = event.entry or event.before
        assert of is not None
        key = event.node, of.key
        assert view.pop(key, None) == event.before, f"{event} does not follow"
        if event.entry is not None:
            view[key] = event.entry
    return view
