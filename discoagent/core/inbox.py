"""What becomes of each kind of message that a peer sends."""

from typing import assert_never

from discoagent.core.detector import Detector
from discoagent.core.effects import Answer, Effect
from discoagent.core.entry import CauseWord, ReplicaId
from discoagent.core.exchange import Exchange
from discoagent.core.greeter import Greeter
from discoagent.core.hearsay import Hearsay
from discoagent.core.membership import Membership
from discoagent.core.messages import (
    Acquaintance,
    Delta,
    DeltaMessage,
    Digest,
    DigestReply,
    Envelope,
    Farewell,
    Heartbeat,
    Hello,
    Message,
    Parting,
    Probe,
    ProbeReply,
    Refusal,
    Seen,
    SeenReply,
    SyncChunk,
    SyncRequest,
    Welcome,
)
from discoagent.core.peer import Asked, Peer
from discoagent.core.sights import Sights
from discoagent.core.sync import HEARTBEAT_PATIENCE, Sync
from discoagent.core.telling import later_life

PLACE_UNKNOWN = "unknown"  # it does not matter where a life was that nobody hears
HASH_DIFFERS_MAX = 2  # heartbeats at our clock with another hash, before the chain is fetched anew


class Inbox:
    """Hands each message to the part that it concerns, and what it tells of to the sync.

    Times are of the witnessed clock.
    """

    def __init__(
        self,
        *,
        members: Membership,
        detector: Detector,
        greeter: Greeter,
        sync: Sync,
        exchange: Exchange,
        sights: Sights,
    ) -> None:
        self._members = members
        self._detector = detector
        self._greeter = greeter
        self._sync = sync
        self._exchange = exchange
        self._sights = sights
        self._hearsay = Hearsay(members, detector, greeter, sync)
        self._goals: dict[str, tuple[ReplicaId, int]] | None = None

    @property
    def ready(self) -> bool:
        """Is all here that the first one to welcome us told of?"""
        if self._goals is None:
            return False
        for node, (replica, clock) in list(self._goals.items()):
            peer = self._members.peers.get(node)
            gone = peer is None or peer.replica != replica or peer.node.hidden
            if gone or (peer is not None and peer.node.chain.clock >= clock):
                del self._goals[node]
        return not self._goals

    def receive(self, envelope: Envelope, now: float) -> list[Effect]:
        """Take in one message of a peer."""
        message, sender = envelope.message, envelope.sender
        if isinstance(message, Heartbeat):
            return self._heartbeat(message, now)
        if sender is None:
            self._members.counters["no-sender"] += 1
            return []
        return self._dispatch(message, sender, now)

    def _dispatch(  # noqa: C901, PLR0911, PLR0912 - one flat case a message kind, told complete by mypy
        self, message: Message, sender: ReplicaId, now: float
    ) -> list[Effect]:
        match message:
            case DeltaMessage():
                return self._deltas(message.deltas, sender, now)
            case Hello():
                return self._hello(message, sender, now)
            case Welcome():
                return self._welcome(message, sender, now)
            case Refusal():
                return self._greeter.refusal(message, sender, now)
            case Farewell():
                return self._farewell(message, sender, now)
            case Digest():
                return self._digest(message, sender, now)
            case DigestReply():
                return self._digest_reply(message, sender, now)
            case SyncRequest():
                return self._sync.serve(message, sender)
            case SyncChunk():
                return self._sync.chunk(message, sender, now)
            case Probe():
                return self._probe(message, sender, now)
            case Seen():
                return self._sights.asked(message, sender, now)
            case SeenReply():
                return self._sights.answered(message, sender)
            case ProbeReply():
                return self._probe_reply(message, sender, now)
            case Heartbeat():
                return []
            case _:
                assert_never(message)

    def _heartbeat(self, heartbeat: Heartbeat, now: float) -> list[Effect]:
        name = self._members.by_hash.get(heartbeat.node_hash)
        peer = self._members.peers.get(name) if name else None
        if peer is None or heartbeat.incarnation < peer.replica.incarnation:
            self._members.counters["heartbeat-unknown"] += 1
            return []
        if heartbeat.incarnation > peer.replica.incarnation:  # its Hello will say where it lives
            return self._greeter.back(peer.endpoint, now)
        effects = self._detector.beat(peer, heartbeat, now)
        if effects is None:
            return []
        chain = peer.node.chain
        if heartbeat.clock > chain.clock:
            self._sync.behind(peer, heartbeat.clock, peer.replica.node, now, HEARTBEAT_PATIENCE)
        elif heartbeat.clock == chain.clock:
            effects += self._compare(peer, heartbeat, now)
        self._members.count_own()
        return effects + self._exchange.heard(peer, heartbeat, now)

    def _compare(self, peer: Peer, heartbeat: Heartbeat, now: float) -> list[Effect]:
        """Fetch a chain anew whose dots are not its owner's at the same clock: ours is wrong."""
        if heartbeat.chain_hash == peer.node.chain.hash:
            peer.hash_differs = 0
            return []
        peer.hash_differs += 1
        if peer.hash_differs < HASH_DIFFERS_MAX:
            return []
        peer.hash_differs = 0
        self._members.counters["chain-hash"] += 1
        self._members.hand_over(peer, peer.replica, now)
        self._members.counted(peer)
        self._sync.behind(peer, heartbeat.clock, peer.replica.node, now)
        return self._sync.pump(now)

    def _deltas(self, deltas: tuple[Delta, ...], sender: ReplicaId, now: float) -> list[Effect]:
        peer = self._members.peers.get(sender.node)
        if peer is None or any(delta.replica != peer.replica for delta in deltas):
            return self._unknown("delta", sender, now)
        chain = peer.node.chain
        segments = [segment for delta in deltas for segment in chain.join(delta) or ()]
        effects = self._members.joined(peer, segments, now)
        if chain.gap > chain.clock:
            self._sync.behind(peer, chain.gap, sender.node, now)
            effects += self._sync.pump(now)
        return effects

    def _unknown(self, what: str, sender: ReplicaId, now: float) -> list[Effect]:
        """Count a message of somebody unknown; greet whom we only forgot: it seems to live."""
        self._members.counters[f"{what}-unknown"] += 1
        grave = self._members.graves.get(sender.node)
        if grave is None or grave.bans(sender, direct=True) or not grave.endpoint:
            return []
        return self._greeter.greet([grave.endpoint], now)

    def _hello(self, hello: Hello, sender: ReplicaId, now: float) -> list[Effect]:
        peer, effects = self._greeter.hello(hello, sender, now)
        if peer is not None:
            self._sync.behind(peer, hello.clock, sender.node, now)
            if not self._greeter.welcomed:  # nobody has told us of the cluster yet: it may
                effects += self._greeter.back(peer.endpoint, now)
        return effects + self._sync.pump(now)

    def _welcome(self, welcome: Welcome, sender: ReplicaId, now: float) -> list[Effect]:
        asked = self._greeter.answered(welcome.number)
        if asked is None:
            self._members.counters["welcome-unasked"] += 1
            return []
        peer, effects = self._greeter.welcome(welcome, sender, asked, now)
        if peer is None:
            return effects
        self._sync.behind(peer, welcome.clock, sender.node, now)
        goals = {sender.node: (sender, welcome.clock)}
        for told in welcome.members:
            other, more = self._hearsay.heed(told, asked, sender.node, now)
            effects += more
            if other is not None and other.replica == told.replica:
                goals[told.replica.node] = (told.replica, told.clock)
        if self._goals is None:
            self._goals = goals
        return effects + self._sync.pump(now)

    def _farewell(self, farewell: Farewell, sender: ReplicaId, now: float) -> list[Effect]:
        peer = self._members.peers.get(sender.node)
        if peer is None or peer.replica != sender:
            self._members.counters["farewell-unknown"] += 1
            return []
        deltas = () if farewell.delta is None else (farewell.delta,)
        effects = self._deltas(deltas, sender, now)
        if farewell.parting is Parting.RESTART:
            return effects + self._detector.farewell(peer, now)
        # Its closing step may lie beyond a gap that nobody fills any more: its word is enough.
        ends = [removal for delta in deltas for removal in delta.removed.values()]
        last = max(ends, key=lambda removal: removal.clock, default=None)
        cause = last.cause if last is not None else self._members.cause(CauseWord.NODE_LEFT)
        return effects + self._members.leave(peer, cause, now)

    def _digest(self, digest: Digest, sender: ReplicaId, now: float) -> list[Effect]:
        later = later_life(self._members, sender, PLACE_UNKNOWN)
        if later:  # its clock was set back, and it has not heard so from our Welcome
            return [Answer(sender, DigestReply(digest.number, later))]
        if sender.node not in self._members.peers:
            return self._unknown("digest", sender, now)
        for replica, clock in digest.known:
            peer = self._members.peers.get(replica.node)
            if peer is not None and peer.replica == replica:
                self._sync.behind(peer, clock, sender.node, now)
        return self._exchange.asked(digest, sender, now) + self._sync.pump(now)

    def _digest_reply(self, reply: DigestReply, sender: ReplicaId, now: float) -> list[Effect]:
        asked = self._exchange.answered(reply, sender)
        if asked is None:
            return []
        effects = self._heed(reply.members, asked, sender, now)
        teller = self._members.peers.get(sender.node)
        if teller is not None and (effects or self._sync.lacking):
            self._exchange.changed(teller)
        return effects

    def _probe(self, probe: Probe, sender: ReplicaId, now: float) -> list[Effect]:
        if sender.node not in self._members.peers:
            return self._unknown("probe", sender, now)
        return [Answer(sender, ProbeReply(probe.number, self._detector.asked(probe.nodes, now)))]

    def _probe_reply(self, reply: ProbeReply, sender: ReplicaId, now: float) -> list[Effect]:
        asked = self._detector.answered(reply.number, sender, now)
        return [] if asked is None else self._heed(reply.members, asked, sender, now)

    def _heed(
        self, members: tuple[Acquaintance, ...], asked: Asked, sender: ReplicaId, now: float
    ) -> list[Effect]:
        effects: list[Effect] = []
        for told in members:
            effects += self._hearsay.heed(told, asked, sender.node, now)[1]
        return effects + self._sync.pump(now)
