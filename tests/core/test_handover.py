"""Any sequence of steps, deliveries, restarts, silences: what is shown is what a plain model says.

The model knows dicts alone: what the present life has told so far, what is held of former lives,
and until when. After every rule it is compared with what `Presence` shows, and what `Presence`
shows with the events that it emitted.
"""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from discoagent.core.chain import Chain
from discoagent.core.effects import Event
from discoagent.core.entry import UNKNOWN, Entry, Key, Kind, ReplicaId
from discoagent.core.node import Node
from discoagent.core.presence import Presence
from tests.core.cluster import replayed
from tests.core.vocabulary import DEREGISTERED, LEFT, REGISTERED, entry, member

GRACE = 15.0
NODES = ("a", "b")
KEYS = [(name, instance) for name in ("db", "web") for instance in ("1", "2")]

BODIES = (b"1", b"2")

View = dict[Key, Entry]


@dataclass
class Model:
    """One node as it ought to be shown."""

    boot: str = "x"
    told: View = field(default_factory=dict)  # of the present life
    told_boot: str = ""
    former_boot: str = ""
    held: View = field(default_factory=dict)
    first_handover: float | None = None  # since a settled life
    hidden: bool = False

    @property
    def shown(self) -> View:
        """Return what users see."""
        return {} if self.hidden else self.held | self.told

    def begin(self, now: float) -> None:
        """Another life began: what is shown is held."""
        self.held = self.shown
        if self.held and self.first_handover is None:
            self.first_handover = now
        self.former_boot = self.told_boot or self.former_boot
        self.told, self.told_boot = {}, ""

    def tell(self, view: View, *, settled: bool, boot: str) -> None:
        """The present life told of itself up to some step."""
        self.told, self.told_boot = view, boot
        rebooted = bool(self.former_boot and boot and self.former_boot != boot)
        kept = {} if settled or rebooted else self.held
        self.held = {key: it for key, it in kept.items() if key not in view}
        if settled:
            self.first_handover = None

    def hide(self) -> None:
        """Nothing of it is shown, and nothing is held."""
        self.hidden, self.held, self.first_handover = True, {}, None

    def expire(self, now: float) -> None:
        """Hold nothing for longer than the grace after the first handover since a settled life."""
        if self.first_handover is not None and now > self.first_handover + GRACE:
            self.held = {}


class Handover(RuleBasedStateMachine):
    """Two nodes whose agents register, crash, come back, settle, and are lost sight of."""

    @initialize()
    def start(self) -> None:
        """Meet both nodes, in their first lives, of which nothing is told yet."""
        self.now = 0.0
        self.presence = Presence()
        self.nodes: dict[str, Node] = {}
        self.owners: dict[str, Chain] = {}
        self.models: dict[str, Model] = {}
        self.events: list[Event] = []
        for name in NODES:
            replica = ReplicaId(name, 1)
            self.nodes[name] = self.presence.add(replica)
            self.owners[name] = Chain(replica)
            self.owners[name].put(member(settled=True, boot="x"), REGISTERED)
            self.models[name] = Model()

    # ---- what the owner does; nobody sees it yet, unless it is told at once

    @rule(
        name=st.sampled_from(NODES),
        key=st.sampled_from(KEYS),
        body=st.sampled_from(BODIES),
        told=st.booleans(),
    )
    def register(self, name: str, key: tuple[str, str], body: bytes, *, told: bool) -> None:
        """Register an entry, or another version of it."""
        self.owners[name].put(entry(key[1], body, name=key[0]), REGISTERED)
        if told:
            self.deliver(name)

    @rule(name=st.sampled_from(NODES), key=st.sampled_from(KEYS))
    def deregister(self, name: str, key: tuple[str, str]) -> None:
        """Withdraw an entry."""
        self.owners[name].withdraw((Kind.SERVICE, *key), DEREGISTERED)

    @rule(name=st.sampled_from(NODES))
    def settle(self, name: str) -> None:
        """Say that all that outlived the former life is in the chain."""
        boot = self.models[name].boot
        self.owners[name].put(member(settled=True, boot=boot), REGISTERED)

    # ---- what is seen of it

    @rule(name=st.sampled_from(NODES))
    def deliver(self, name: str) -> None:
        """All that the owner did arrives in one delta."""
        node, owner = self.nodes[name], self.owners[name]
        delta = owner.delta_since(node.chain.clock)
        if delta is None:
            return
        segments = node.chain.join(delta)
        assert segments is not None
        self.tell(self.presence.applied(node, segments))
        record = owner.record
        assert record is not None
        view = {it.key: it for it in owner if it.shown}
        self.models[name].tell(view, settled=record.settled, boot=record.boot)

    @rule(
        name=st.sampled_from(NODES),
        kept=st.sets(st.sampled_from(KEYS)),
        reboot=st.booleans(),
        all_kept=st.booleans(),
        told=st.booleans(),
    )
    def restart(
        self, name: str, kept: set[tuple[str, str]], *, reboot: bool, all_kept: bool, told: bool
    ) -> None:
        """A word of another life arrives; that life has restored some of its entries so far."""
        model, node = self.models[name], self.nodes[name]
        former = self.owners[name]
        owner = Chain(ReplicaId(name, former.replica.incarnation + 1))
        model.boot = ("y" if model.boot == "x" else "x") if reboot else model.boot
        owner.put(member(settled=False, boot=model.boot), REGISTERED)
        for it in former:
            if it.shown and (all_kept or (it.name, it.id) in kept):
                owner.put(it, REGISTERED)
        self.owners[name] = owner
        node.begin(owner.replica, self.now, GRACE)
        model.begin(self.now)
        if told:
            self.deliver(name)

    # ---- what time and silence do

    @rule(seconds=st.sampled_from([1.0, 6.0, 16.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, and with it the grace of a handover."""
        self.now += seconds
        for name, node in self.nodes.items():
            if node.held is not None and self.now > node.held_until:
                self.tell(self.presence.end_held(node, UNKNOWN))
            self.models[name].expire(self.now)

    @rule(name=st.sampled_from(NODES))
    def lose(self, name: str) -> None:
        """The node is down."""
        self.tell(self.presence.hide(self.nodes[name], LEFT))
        self.models[name].hide()

    @rule(name=st.sampled_from(NODES))
    def find(self, name: str) -> None:
        """The node is back, if it was down."""
        if self.models[name].hidden:
            self.tell(self.presence.show(self.nodes[name], REGISTERED))
            self.models[name].hidden = False

    def tell(self, events: list[Event]) -> None:
        """Take down what watchers are told."""
        assert all(event.entry != event.before for event in events)
        self.events += events

    # ---- what has to hold

    @invariant()
    def shown_is_the_model(self) -> None:
        """Every way of reading shows what the model shows, in order."""
        expected = {
            (name, key): it
            for name, model in self.models.items()
            for key, it in model.shown.items()
        }
        rows = sorted((it.name, it.id, name) for (name, _), it in expected.items())
        found = self.presence.lookup(Kind.SERVICE, (), None)

        assert [(it.name, id_, node) for id_, node, it in found] == rows
        assert {(node, it.key): it for _, node, it in found} == expected
        assert self.presence.groups(Kind.SERVICE) == sorted({row[0] for row in rows})
        for name, node in self.nodes.items():
            assert node.count(Kind.SERVICE) == len(self.models[name].shown)
            assert all(node.get(key) == it for key, it in self.models[name].shown.items())
            assert (node.held or {}) == {} or self.models[name].held

    @invariant()
    def events_replayed_are_what_is_shown(self) -> None:
        """A watcher that saw every event shows what a reader is shown."""
        found = self.presence.lookup(Kind.SERVICE, (), None)

        assert replayed(self.events) == {(node, it.key): it for _, node, it in found}

    @invariant()
    def the_index_is_right(self) -> None:
        """The index holds what the nodes show, and nothing is held beside a settled life."""
        self.presence.check()


TestHandover = Handover.TestCase
TestHandover.settings = settings(max_examples=150, stateful_step_count=40)
