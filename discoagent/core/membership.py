"""Who is known, where, and in which state. Node states change here alone."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from discoagent.core.chain import FORGOTTEN_GROUP, Chain
from discoagent.core.digest import Digests
from discoagent.core.effects import (
    Connect,
    Disconnect,
    Effect,
    Emit,
    Event,
    NodeState,
    StateChanged,
)
from discoagent.core.entry import UNKNOWN, Cause, CauseWord, Entry, Kind, MemberRecord, ReplicaId
from discoagent.core.evidence import Casebook, Change, Evidence, gather
from discoagent.core.limits import GRAVES_MAX, NODES_MAX
from discoagent.core.node import Node
from discoagent.core.peer import PRESENT, Grave, Peer
from discoagent.core.presence import Presence
from discoagent.core.ring import Segment
from discoagent.core.timing import Timing


class Membership:
    """This node, its peers, and what is shown of all of them."""

    def __init__(self, own: ReplicaId, cluster: str, endpoint: str, timing: Timing) -> None:
        self.id = own
        self.cluster = cluster
        self.endpoint = endpoint
        self.timing = timing
        self.presence = Presence()
        self.me: Node = self.presence.add(own)
        self.peers: dict[str, Peer] = {}
        self.lost: dict[str, Peer] = {}  # those that are down
        self.handovers: dict[str, None] = {}  # peers of whom something may be held
        self.by_hash: dict[int, str] = {self.me.hash: own.node}
        self.digests = Digests()
        self.verdicts: list[tuple[ReplicaId, Entry, Cause | None]] = []  # of others, not read yet
        self.graves: OrderedDict[str, Grave] = OrderedDict()
        self.counters: Counter[str] = Counter()
        self.cases = Casebook()
        self.silent = (0, 0)  # so many of so many, if that is most of them
        self.moved: set[str] = set()  # peers that may be shown at another clock than they were
        self.advanced: set[str] = set()  # peers whose clock or state may have changed, likewise
        self.real = 0.0  # the shell's clock; it dates what is told to others
        self._counted_at = -1  # the clock of our own that the digests hold
        self._targets: tuple[str, ...] | None = None
        self._places: dict[str, dict[str, Peer]] = {}  # by endpoint: a renamed host is several

    @property
    def own(self) -> Chain:
        """Return our own chain."""
        return self.me.chain

    def targets(self) -> tuple[str, ...]:
        """Return the endpoints of all peers that changes are pushed to."""
        if self._targets is None:
            self._targets = tuple(
                dict.fromkeys(
                    peer.endpoint for peer in self.peers.values() if peer.state in PRESENT
                )
            )
        return self._targets

    def peer_at(self, endpoint: str) -> Peer | None:
        """Return the peer that is reached there; one that was, if there is none by now."""
        there = self._places.get(endpoint)
        if there is None:
            return None
        present = (peer for peer in there.values() if peer.state in PRESENT)
        return next(present, next(iter(there.values())))

    def reached(self) -> dict[str, str]:
        """Return the endpoints of all who are present, with their nodes."""
        present = (peer for peer in self.peers.values() if peer.state in PRESENT)
        return {peer.endpoint: peer.replica.node for peer in present}

    def _let_go(self, endpoint: str) -> list[Effect]:
        """Close the links to an endpoint, unless another node is reached there (a renamed host)."""
        there = self.peer_at(endpoint)
        reached = there is not None and there.state in PRESENT
        return [] if reached else [Disconnect(endpoint)]

    def _settle_at(self, peer: Peer, endpoint: str) -> None:
        self._places.setdefault(endpoint, {})[peer.node.name] = peer
        self._targets = None

    def _move_out(self, peer: Peer) -> None:
        there = self._places[peer.endpoint]
        del there[peer.node.name]
        if not there:
            del self._places[peer.endpoint]
        self._targets = None

    def latest(self, node: str) -> int:
        """Return the highest incarnation of that name we ever heard of, buried ones too."""
        peer, grave = self.peers.get(node), self.graves.get(node)
        return max(
            peer.replica.incarnation if peer is not None else 0,
            grave.incarnation if grave is not None else 0,
        )

    # ---- learning

    def learn(
        self, replica: ReplicaId, endpoint: str, age: float, now: float, *, direct: bool
    ) -> tuple[Peer | None, list[Effect]]:
        """Take in that this life exists, as of `age` seconds ago; None if it is not believed.

        A newer life than the one we know begins the handover. An older one, and a forgotten one
        told of by others, is not believed.
        """
        peer = self.peers.get(replica.node)
        if peer is None:
            return self._meet(replica, endpoint, age, now, direct=direct)
        if replica.incarnation < peer.replica.incarnation:
            return None, []
        newer = replica.incarnation > peer.replica.incarnation
        if newer and self.borne(replica, endpoint, now):
            self.counters["namesake"] += 1
            return None, []
        effects = self.move(peer, endpoint) if direct or newer else []
        if newer:
            effects += self._succeed(peer, replica, now)
        if direct or newer:
            self._sign(peer, age, now, direct=direct)
        return peer, effects

    def _sign(self, peer: Peer, age: float, now: float, *, direct: bool) -> None:
        peer.seen = max(peer.seen, self.real - age)
        if direct:
            peer.spoke = max(peer.spoke, self.real - age)
            peer.heard = max(peer.heard, now - age)
        else:
            peer.told = max(peer.told, now - age)

    def borne(self, replica: ReplicaId, endpoint: str, now: float) -> bool:
        """Is the name borne by another that is heard and lives elsewhere?"""
        peer = self.peers.get(replica.node)
        if peer is None or peer.endpoint == endpoint or peer.state is not NodeState.ALIVE:
            return False
        return peer.replica != replica and now - peer.sign <= self.timing.suspect_after

    def _meet(
        self, replica: ReplicaId, endpoint: str, age: float, now: float, *, direct: bool
    ) -> tuple[Peer | None, list[Effect]]:
        grave = self.graves.get(replica.node)
        if grave is not None and grave.bans(replica, direct=direct):
            self.counters["grave"] += 1
            return None, []
        if len(self.peers) >= NODES_MAX:
            self.counters["too-many-nodes"] += 1
            return None, []
        node = self.presence.add(replica)
        if self.by_hash.setdefault(node.hash, node.name) != node.name:
            node.hidden = True
            self.presence.drop(node)
            self.counters["hash-collision"] += 1
            return None, []
        self.graves.pop(replica.node, None)
        peer = self.peers[node.name] = Peer(replica, endpoint, node, since=now)
        self._settle_at(peer, endpoint)
        if grave is not None and grave.incarnation == replica.incarnation:
            peer.floor = grave.clock  # a holder that lags may give us what we saw end
            peer.beat = grave.beat
            node.hidden = not peer.shows
        self._sign(peer, age, now, direct=direct)
        self.counted(peer)
        return peer, [Connect(endpoint), self._changed(peer, None, NodeState.ALIVE, now)]

    def move(self, peer: Peer, endpoint: str) -> list[Effect]:
        """Reach the peer at another endpoint than before."""
        if endpoint == peer.endpoint:
            return []
        self._move_out(peer)
        old, peer.endpoint = peer.endpoint, endpoint
        self._settle_at(peer, endpoint)
        return [*self._let_go(old), Connect(endpoint)]

    def _succeed(self, peer: Peer, replica: ReplicaId, now: float) -> list[Effect]:
        """Another life of that node began: hold what is shown, and start its chain."""
        self.hand_over(peer, replica, now)
        peer.begin(replica)
        effects: list[Effect] = []
        if peer.node.hidden:
            effects.append(Connect(peer.endpoint))
            effects += emit(self.presence.show(peer.node, self.cause(CauseWord.NODE_RETURNED)))
        effects += self.set_state(peer, NodeState.ALIVE, "a new life", now)
        self.counted(peer)
        return effects

    def hand_over(self, peer: Peer, replica: ReplicaId, now: float) -> None:
        """Hold what is shown of a peer, and begin that life's chain, or the same one's anew."""
        peer.node.begin(replica, now, self.timing.restart_grace)
        if peer.node.held is not None:
            self.handovers[replica.node] = None

    def end_handovers(self, now: float) -> list[Effect]:
        """Let go of what was held for as long as it may be; the next life has not said it."""
        effects: list[Effect] = []
        for name in list(self.handovers):
            peer = self.peers.get(name)
            if peer is None or peer.node.held is None:
                del self.handovers[name]
            elif now > peer.node.held_until:
                effects += emit(self.presence.end_held(peer.node, UNKNOWN))
                self.moved.add(name)
        return effects

    # ---- states

    def set_state(self, peer: Peer, state: NodeState, evidence: str, now: float) -> list[Effect]:
        """Change a peer's state; who is not present any more is no longer counted or pushed to."""
        peer.evidence = evidence
        if state is peer.state:
            return []
        before, peer.state, peer.since = peer.state, state, now
        if state is NodeState.DOWN:
            self.lost[peer.replica.node] = peer
        else:
            self.lost.pop(peer.replica.node, None)
        self._targets = None
        self.counted(peer)
        return [self._changed(peer, before, state, now)]

    def _changed(
        self, peer: Peer, before: NodeState | None, after: NodeState, now: float
    ) -> StateChanged:
        """Write down how a state changed, and on what evidence."""
        reason = peer.evidence
        self.cases.note(
            Change(self.real, peer.replica, before, after, reason, self.gathered(peer, now))
        )
        return StateChanged(peer.replica, before, after, reason)

    def gathered(self, peer: Peer, now: float) -> Evidence:
        """Return all that is known of a peer now."""
        return gather(peer, now=now, real=self.real, silent=self.silent)

    def hide(
        self, peer: Peer, state: NodeState, cause: Cause, evidence: str, now: float
    ) -> list[Effect]:
        """Take a node down, or let it have left: its entries are shown no more, its links go."""
        effects = emit(self.presence.hide(peer.node, cause))
        effects += self.set_state(peer, state, evidence, now)
        return effects + self._let_go(peer.endpoint)

    def show(self, peer: Peer, evidence: str, now: float) -> list[Effect]:
        """Bring a node back that was down: it was there all the time."""
        effects: list[Effect] = [Connect(peer.endpoint)]
        changed = self.set_state(peer, NodeState.ALIVE, evidence, now)
        return effects + self._unveil(peer) + changed

    def _unveil(self, peer: Peer) -> list[Effect]:
        """Show a hidden node if its time has come."""
        if not peer.node.hidden or not peer.shows:
            return []
        peer.floor = 0
        return emit(self.presence.show(peer.node, self.cause(CauseWord.NODE_RETURNED)))

    def forget(self, peer: Peer, evidence: str, cause: Cause, now: float) -> list[Effect]:
        """Drop a node; its grave keeps hearsay from raising it. `cause`: why what is shown goes."""
        chain = peer.node.chain
        effects = [] if peer.node.hidden else emit(self.presence.hide(peer.node, cause))
        peer.evidence = evidence
        effects.append(self._changed(peer, peer.state, NodeState.FORGOTTEN, now))
        closed = peer.state is NodeState.LEFT
        clock = max(chain.clock, peer.floor)
        grave = Grave(peer.endpoint, peer.replica.incarnation, clock, peer.beat, closed)
        self.graves[peer.replica.node] = grave
        while len(self.graves) > GRAVES_MAX:
            buried, _ = self.graves.popitem(last=False)
            if buried not in self.peers:
                self.cases.drop(buried)
        self.presence.drop(peer.node)
        self.moved.add(peer.replica.node)
        self.digests.drop(peer.replica.node)
        del self.by_hash[peer.node.hash]
        del self.peers[peer.replica.node]
        self.lost.pop(peer.replica.node, None)
        self._move_out(peer)
        return effects + self._let_go(peer.endpoint)

    def joined(self, peer: Peer, segments: list[Segment], now: float) -> list[Effect]:
        """Show what joins did to a peer's chain; a closed chain means that the node has left."""
        if not segments:
            return []
        effects = emit(self.presence.applied(peer.node, segments))
        if FORGOTTEN_GROUP in peer.node.chain.index:
            self.verdicts += _verdicts(peer.replica, segments)
        if peer.node.chain.closed:
            cause = _closing(segments) or self.cause(CauseWord.NODE_LEFT)
            effects += self.leave(peer, cause, now)
        effects += self._unveil(peer)
        self.counted(peer)
        return effects

    def leave(self, peer: Peer, cause: Cause, now: float) -> list[Effect]:
        """Take in that a node has left: this life of it never comes back."""
        if peer.state is NodeState.LEFT:
            return []
        return self.hide(peer, NodeState.LEFT, cause, "it said that it leaves", now)

    def moved_in(self, endpoint: str) -> None:
        """Take in that somebody else is reached where forgotten ones were, who is not of us."""
        for name, grave in self.graves.items():
            if grave.endpoint == endpoint:
                self.graves[name] = replace(grave, endpoint="")

    def forgotten(self, replica: ReplicaId) -> bool:
        """Is this a life that we have forgotten, and that its own word would bring back?"""
        grave = self.graves.get(replica.node)
        return grave is not None and not grave.bans(replica, direct=True)

    def counted(self, peer: Peer) -> None:
        """Keep the digests in step with this peer, and note that it moved."""
        self.moved.add(peer.node.name)
        self.advanced.add(peer.node.name)
        if peer.state in PRESENT:
            chain = peer.node.chain
            self.digests.count(
                peer.replica.node, peer.node.hash, peer.replica.incarnation, chain.clock
            )
        else:
            self.digests.drop(peer.replica.node)

    def count_own(self) -> None:
        """Keep the digests in step with ourselves; called before they are compared or told."""
        if self._counted_at != self.own.clock:
            self._counted_at = self.own.clock
            self.digests.count(self.id.node, self.me.hash, self.id.incarnation, self.own.clock)

    def cause(self, word: str) -> Cause:
        """Return a cause that nobody acted for; the shell dates it when it shows the event."""
        return Cause(word, b"", 0)

    def check(self) -> None:
        """Assert what must always hold."""
        self.presence.check()
        assert set(self.presence.nodes) == {self.id.node, *self.peers}
        for peer in self.peers.values():
            assert peer.replica == peer.node.chain.replica
            assert peer.node.hidden != peer.shows
            assert self._places[peer.endpoint][peer.node.name] is peer
            assert (self.lost.get(peer.node.name) is peer) == (peer.state is NodeState.DOWN)
            assert peer.node.held is None or peer.node.name in self.handovers
        assert sum(map(len, self._places.values())) == len(self.peers)
        assert self.lost.keys() <= self.peers.keys()


def emit(events: Iterable[Event]) -> list[Effect]:
    """Return the effects that tell watchers of events."""
    return [Emit(event) for event in events]


def _verdicts(
    by: ReplicaId, segments: list[Segment]
) -> Iterator[tuple[ReplicaId, Entry, Cause | None]]:
    """Yield the verdicts on others that joins brought."""
    for segment in segments:
        for entry, cause in segment.added.values():
            if entry.kind is Kind.FORGOTTEN:
                yield by, entry, cause


def _closing(segments: list[Segment]) -> Cause | None:
    """Return why the member record went, in the step that closed the chain."""
    for segment in reversed(segments):
        for entry, taken in segment.gone.values():
            if entry.kind is Kind.MEMBER:
                return taken.cause
    return None


def member_entry(record: MemberRecord) -> Entry:
    """Return the entry that holds a node's record."""
    return Entry(Kind.MEMBER, "", "", b"", record)
