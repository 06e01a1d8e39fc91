"""What must hold after every step, one function each. A check that fails raises `CheckFailed` with
its name.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from discoagent.core import limits
from discoagent.core.effects import Effect, Emit
from discoagent.core.entry import Entry, Key, Kind
from discoagent.core.messages import Heartbeat
from discoagent.core.node import Node
from discoagent.core.peer import Peer
from discoagent.core.replica import Replica
from discoagent.sim.model import Life, serial_of
from discoagent.sim.reasons import handovers_are_dated, removals_have_reasons, verdicts_have_reasons
from discoagent.sim.step import Step, Token, members_of

if TYPE_CHECKING:
    from discoagent.sim.host import Host
    from discoagent.sim.world import World

WHOLE_EVERY = 40  # steps between two looks at every node; in large worlds more
TOKEN_LIFE = 20  # events after which a watcher stands where it is by then
SMALL = 8  # nodes up to which lookups, readings and tokens are tried wherever something moved


class Checks:
    """Runs the checks on one host, on what moved; those that walk everything now and then."""

    def __init__(self, world: "World", host: "Host") -> None:
        self._world = world
        self._host = host
        self._since_whole = 0  # steps
        self._own_clock = 0

    def hears(self, heartbeat: Heartbeat) -> None:
        """Note a sign of life that is about to be handed to the replica."""
        observer, replica = self._host.observer, self._host.replica
        assert replica is not None
        peer = members_of(replica).peers.get(self._world.model.names[heartbeat.node_hash])
        if peer is None or peer.replica.incarnation != heartbeat.incarnation:
            return
        if heartbeat.beat > peer.beat:  # else others told of it before it came
            observer.heard[peer.replica] = self._world.now

    def sender(self, heartbeat: Heartbeat) -> str:
        """Return whose heartbeat it is."""
        return self._world.model.names[heartbeat.node_hash]

    def after(self, replica: Replica, effects: list[Effect]) -> None:
        """Check one step: what moved in it, and now and then all there is."""
        moved = replica.moved()
        if replica.own.clock != self._own_clock:
            self._own_clock = replica.own.clock
            moved.add(replica.id.node)
        held = members_of(replica).presence.nodes
        self._since_whole += 1
        everywhere = self._since_whole > WHOLE_EVERY + len(held) ** 2 // 10
        if everywhere:
            self._since_whole = 0
        whole = everywhere or (bool(moved) and len(held) <= SMALL)
        step = Step(self._world, self._host, replica, effects, held if everywhere else moved)
        self._run(step, whole=whole)

    def all_there_is(self, replica: Replica) -> None:
        """Check what there is, whatever moved."""
        held = members_of(replica).presence.nodes
        self._run(Step(self._world, self._host, replica, [], held), whole=True)

    def _run(self, step: Step, *, whole: bool) -> None:
        for check in EACH_STEP:
            check(step)
        if step.names:
            for check in WHERE_MOVED:
                check(step)
        if whole:
            for check in AS_A_WHOLE:
                check(step)


# ---- the state


def chains_are_their_owners_history(step: Step) -> None:
    """The chain held at clock c equals its owner's state at c."""
    for node in step.nodes():
        name, chain = node.name, node.chain
        life = step.world.model.lives.get(chain.replica)
        check = chains_are_their_owners_history
        if life is None:
            raise step.fail(check, f"{chain.replica} never lived")
        if chain.clock > life.clock or (chain is step.replica.own and chain.clock != life.clock):
            raise step.fail(check, f"{chain.replica} at {chain.clock}, its owner at {life.clock}")
        held, true = dict(chain.live()), life.state_at(chain.clock)
        if held != true:
            extra = {dot: held[dot] for dot in held if true.get(dot) != held[dot]}
            lacking = {dot: true[dot] for dot in true if held.get(dot) != true[dot]}
            detail = f"{name} at clock {chain.clock} has {extra}, lacks {lacking}"
            raise step.fail(check, detail)


def events_replay_to_what_is_shown(step: Step) -> None:
    """All events since the life began, replayed, are what is shown now."""
    for name in step.names:
        node = step.members.presence.nodes.get(name)
        shown = {} if node is None else _shown(node)
        told = step.observer.shown.get(name, {})
        if shown != told:
            more = {key: shown[key] for key in shown if told.get(key) != shown[key]}
            less = {key: entry for key, entry in told.items() if key not in shown}
            detail = f"of {name}: shown without an event {more}, not shown {less}"
            raise step.fail(events_replay_to_what_is_shown, detail)


def _shown(node: Node) -> dict[Key, Entry]:
    """Return what is shown of a node."""
    return {entry.key: entry for group in node.groups() for _, entry in node.group(group)}


def lookups_answer_what_is_shown(step: Step) -> None:
    """What users get is what is shown of all nodes, and nothing else."""
    found = [
        (row.node, row.entry)
        for kind in (Kind.SERVICE, Kind.PRESENCE)
        for row in step.replica.lookup(kind)
    ]
    shown = step.observer.shown
    wrong = [(node, entry) for node, entry in found if shown.get(node, {}).get(entry.key) != entry]
    if wrong or len(found) != sum(map(len, shown.values())):
        detail = f"{wrong} too much or wrong, {len(found)} in all"
        raise step.fail(lookups_answer_what_is_shown, detail)


def readings_tell_what_is_known(step: Step) -> None:
    """What is told of a node, and of one entry, is what is known and shown of them."""
    now, replica, check = step.host.clock(), step.replica, readings_tell_what_is_known
    views = {view.replica.node: view for view in replica.members(now)}
    for peer in step.peers():
        name, state = peer.replica.node, peer.state
        shown = step.observer.shown.get(name, {})
        services = sum(kind is Kind.SERVICE for kind, _, _ in shown)
        view, case = views[name], replica.why(name, now)
        if case is None or case.state is not state or view.state is not state:
            raise step.fail(check, f"{name} is {state}, told: {view}, {case}")
        if view.instances != services:
            raise step.fail(check, f"{view}, but {services} are shown")
        for (kind, service, instance), entry in shown.items():
            found = [row.entry for row in replica.find(kind, instance, service, name)]
            if found != [entry]:
                raise step.fail(check, f"{service}/{instance}@{name} is {entry}, found {found}")


def tokens_resume_exactly(step: Step) -> None:
    """Where the core knows what a watcher missed of a node, it missed that and nothing else."""
    for node in step.nodes():
        token, shown = step.observer.tokens.get(node.name), _shown(node)
        missed = None if token is None else step.replica.steps_since(node.name, token.position)
        if token is not None and missed is not None:
            seen = dict(token.shown)
            for event in missed:
                entry = event.entry or event.before
                assert entry is not None
                seen.pop(entry.key, None)
                if event.entry is not None:
                    seen[entry.key] = entry
            if seen != shown:
                detail = f"{node.name} from {token.position}: {missed} gives {seen}, not {shown}"
                raise step.fail(tokens_resume_exactly, detail)
        if missed is None or len(missed) > TOKEN_LIFE:
            position = step.replica.position(node.name)
            step.observer.tokens.pop(node.name, None)
            if position is not None:
                step.observer.tokens[node.name] = Token(position, shown)


def clocks_never_fall(step: Step) -> None:
    """Of what is shown of a node, (incarnation, clock) only grows, over being down and forgotten
    too.
    """
    peaks = step.observer.peaks
    for node in step.nodes():
        name, chain = node.name, node.chain
        at = (chain.replica.incarnation, chain.clock)
        if at >= peaks.get(name, (0, 0)):
            peaks[name] = at
        elif not node.hidden and any(entry.shown for entry in chain):
            raise step.fail(clocks_never_fall, f"{name} fell from {peaks[name]} to {at}")


def held_only_while_unsettled(step: Step) -> None:
    """Nothing of a former life is shown beside a settled one, nor under a key the present one has.

    (A key that came and went within one net delta is held until the life is settled.)
    """
    for peer in step.peers():
        held = peer.node.held
        if not held:
            continue
        chain = peer.node.chain
        life = step.world.model.lives[chain.replica]
        if life.settled(chain.clock):
            raise step.fail(held_only_while_unsettled, f"{chain.replica} is settled, held: {held}")


def invariants_hold(step: Step) -> None:
    """The replica's own check finds nothing."""
    step.replica.check()


def sizes_are_bounded(step: Step) -> None:
    """Tails, graves and greetings keep to their limits."""
    for chain in (node.chain for node in step.nodes()):
        if len(chain._tail) > limits.TAIL_MAX:  # noqa: SLF001
            raise step.fail(sizes_are_bounded, f"{chain.replica}: a tail of {len(chain._tail)}")  # noqa: SLF001
    if len(step.members.graves) > limits.GRAVES_MAX:
        raise step.fail(sizes_are_bounded, f"{len(step.members.graves)} graves")


def chains_need_no_second_try(step: Step) -> None:
    """No owner's heartbeat ever found our chain to differ at its clock."""
    if step.replica.counters["chain-hash"]:
        raise step.fail(chains_need_no_second_try, "a chain was fetched anew for its hash")


# ---- what is told


def events_change_something(step: Step) -> None:
    """Each event follows from what was shown before it; and whatever has ended never comes back."""
    observer, check = step.observer, events_change_something
    for effect in step.effects:
        if not isinstance(effect, Emit):
            continue
        event = effect.event
        entry = event.entry or event.before
        assert entry is not None
        shown = observer.shown.setdefault(event.node, {})
        if shown.get(entry.key) != event.before:
            raise step.fail(check, f"{event}, but before it was {shown.get(entry.key)}")
        if event.entry == event.before:
            raise step.fail(check, f"nothing changed: {event}")
        observer.events.append(event)
        if event.entry is None:
            del shown[entry.key]
            if not shown:
                del observer.shown[event.node]
            continue
        shown[entry.key] = event.entry
        if serial_of(event.entry) in observer.buried:
            raise step.fail(check, f"it had ended, and comes back: {event}")


def lives_are_real(step: Step) -> None:
    """Every life that is told of was lived, and no peer's life is younger than its node's present
    one.
    """
    for peer in step.peers():
        _real(step, peer)


def _real(step: Step, peer: Peer) -> Life:
    life = step.world.model.lives.get(peer.replica)
    if life is None:
        raise step.fail(lives_are_real, f"{peer.replica} never lived")
    return life


EACH_STEP: tuple[Callable[[Step], None], ...] = (
    events_change_something,
    removals_have_reasons,
    verdicts_have_reasons,
    lives_are_real,
    chains_need_no_second_try,
)
WHERE_MOVED: tuple[Callable[[Step], None], ...] = (
    handovers_are_dated,
    chains_are_their_owners_history,
    events_replay_to_what_is_shown,
    clocks_never_fall,
    held_only_while_unsettled,
    sizes_are_bounded,
)
AS_A_WHOLE: tuple[Callable[[Step], None], ...] = (
    lookups_answer_what_is_shown,
    readings_tell_what_is_known,
    tokens_resume_exactly,
    invariants_hold,
)
