"""First contact: whoever learns of a node says Hello to it, at once but paced; who is greeted pushes before it answers."""

from collections import deque
from collections.abc import Iterable

from discoagent.core.digest import name_hash
from discoagent.core.effects import (
    Answer,
    Connect,
    Disconnect,
    Effect,
    Greeted,
    NodeState,
    Outranked,
    Redial,
    Refused,
    Send,
)
from discoagent.core.entry import ReplicaId
from discoagent.core.limits import GREETINGS_IN_FLIGHT
from discoagent.core.membership import PRESENT, Membership, Peer
from discoagent.core.messages import (
    Acquaintance,
    Hello,
    Refusal,
    RefusalKind,
    Standing,
    Welcome,
)

WIRE = (1, 1)
GREETING_TIMEOUT = 2.0  # a Hello without an answer is said again
REDIAL_INTERVAL = 5.0  # a peer that is down is greeted over new connections


class Greeter:
    """Says and answers Hello."""

    def __init__(self, members: Membership) -> None:
        self._members = members
        self._queue: deque[str] = deque()
        self._said: dict[str, float] = {}  # endpoint -> when; answers only to these are believed
        self._redialled: dict[str, float] = {}
        self._own: set[str] = {members.endpoint}  # endpoints that turned out to be ours
        self._refused: dict[str, float] = {}

    # ---- saying

    def greet(self, endpoints: Iterable[str], now: float) -> list[Effect]:
        """Say Hello to whoever is reached there, unless that is under way, known, or ourselves."""
        for endpoint in endpoints:
            if endpoint in self._own or endpoint in self._said or endpoint in self._queue:
                continue
            peer = self._members.peer_at(endpoint)
            if peer is None or not (peer.welcomed and peer.state in PRESENT):
                self._queue.append(endpoint)
        return self._pump(now)

    def again(self, endpoint: str, now: float) -> list[Effect]:
        """Say Hello even to somebody who is known, because an operator asks."""
        if endpoint in self._own:
            return []
        self._said.pop(endpoint, None)
        return self._say(endpoint, now)

    def tick(self, now: float) -> list[Effect]:
        """Say again what was not answered, and dial those that are down."""
        effects: list[Effect] = []
        for endpoint, when in list(self._said.items()):
            if now - when >= GREETING_TIMEOUT:
                del self._said[endpoint]
                if self._members.peer_at(endpoint) is None:
                    effects.append(Disconnect(endpoint))
        for peer in self._members.peers.values():
            if peer.state in PRESENT and not peer.welcomed:
                effects += self.greet([peer.endpoint], now)
            elif peer.state is NodeState.DOWN and self._redial_due(peer, now):
                effects.append(Redial(peer.endpoint))
                effects += self.again(peer.endpoint, now)
        return effects + self._pump(now)

    def _redial_due(self, peer: Peer, now: float) -> bool:
        last = self._redialled.get(peer.endpoint, peer.since)
        if now - last < REDIAL_INTERVAL:
            return False
        self._redialled[peer.endpoint] = now
        return True

    def _pump(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        while self._queue and len(self._said) < GREETINGS_IN_FLIGHT:
            effects += self._say(self._queue.popleft(), now)
        return effects

    def _say(self, endpoint: str, now: float) -> list[Effect]:
        self._said[endpoint] = now
        members = self._members
        hello = Hello(members.cluster, members.endpoint, WIRE, (), members.own.clock)
        return [Connect(endpoint), Send((endpoint,), hello)]

    # ---- answering

    def hello(
        self, hello: Hello, sender: ReplicaId, now: float
    ) -> tuple[Peer | None, list[Effect]]:
        """Answer a Hello; the peer is None if it was refused, or was our own."""
        members = self._members
        if sender == members.id:
            self._own.add(hello.endpoint)
            return None, []
        refusal = self._refusal(hello, sender, now)
        if refusal is not None:
            effects: list[Effect] = [Answer(sender, refusal)]
            if now - self._refused.get(hello.endpoint, -60.0) >= 60.0:
                if len(self._refused) > 1_000:
                    self._refused.clear()
                self._refused[hello.endpoint] = now
                effects.append(
                    Refused(
                        refusal.kind,
                        hello.endpoint,
                        sender,
                        hello.cluster,
                        refusal.text,
                        by_us=True,
                    )
                )
            return None, effects
        known = members.peers.get(sender.node)
        if known is not None and sender.incarnation < known.replica.incarnation:
            return None, [Answer(sender, self._welcome(sender, now))]
        peer, effects = members.learn(sender, hello.endpoint, now, now, direct=True)
        if peer is None:
            return None, effects
        if peer.state is NodeState.DOWN:
            effects += members.show(peer, "it said hello", now)
        peer.welcomed = True
        return peer, [*effects, Answer(sender, self._welcome(sender, now))]

    def _welcome(self, sender: ReplicaId, now: float) -> Welcome:
        members = self._members
        told = members.acquaintances(now, but=sender.node)
        former = members.acquaintance(sender.node, now)
        if former is not None and former.replica.incarnation > sender.incarnation:
            told = (*told, former)  # its clock was set back: it has to take a higher incarnation
        return Welcome(members.cluster, members.endpoint, WIRE, (), members.own.clock, told)

    def _refusal(self, hello: Hello, sender: ReplicaId, now: float) -> Refusal | None:
        members = self._members
        if hello.cluster != members.cluster:
            return Refusal(
                RefusalKind.CLUSTER,
                members.cluster,
                f"{members.id.node} at {members.endpoint} belongs to cluster {members.cluster!r}, "
                f"{sender.node} at {hello.endpoint} to cluster {hello.cluster!r}",
            )
        if hello.wire[0] > WIRE[1] or hello.wire[1] < WIRE[0]:
            text = (
                f"{members.id.node} speaks wire versions {WIRE[0]} to {WIRE[1]}, "
                f"{sender.node} {hello.wire[0]} to {hello.wire[1]}"
            )
            return Refusal(RefusalKind.WIRE, members.cluster, text)
        taken = self._taken(hello, sender, now)
        return Refusal(RefusalKind.NAME, members.cluster, taken) if taken else None

    def _taken(self, hello: Hello, sender: ReplicaId, now: float) -> str | None:
        """Say who bears that name, or one that nobody could tell from it, and lives elsewhere."""
        members = self._members
        if sender.node == members.id.node:
            return f"node name {sender.node} is in use at {members.endpoint}, which is this agent"
        bearer = members.by_hash.get(name_hash(sender.node))
        if bearer is not None and bearer != sender.node:
            return f"node name {sender.node} cannot be told from {bearer} in heartbeats: rename it"
        peer = members.peers.get(sender.node)
        if peer is None or peer.endpoint == hello.endpoint or peer.state is not NodeState.ALIVE:
            return None
        silence = now - peer.sign
        if silence > members.timing.suspect_after:
            return None
        return f"node name {sender.node} is in use at {peer.endpoint}, heard {silence:.1f} s ago"

    # ---- being answered

    def welcome(
        self, welcome: Welcome, sender: ReplicaId, now: float
    ) -> tuple[Peer | None, list[Effect]]:
        """Take in who answered; the peer is None where nobody was asked."""
        members = self._members
        said = self._said.pop(welcome.endpoint, None)
        if said is None:  # a seed is dialled by an address that it does not advertise
            said = self._said.pop(self._dialled_for(welcome), None)
        if said is None or welcome.cluster != members.cluster or sender.node == members.id.node:
            members.counters["welcome-unasked"] += 1
            return None, []
        peer, effects = members.learn(sender, welcome.endpoint, said, now, direct=True)
        if peer is None:
            return None, effects
        if peer.state is NodeState.DOWN:
            effects += members.show(peer, "it answered", now)
        peer.welcomed = True
        effects.append(Greeted(welcome.endpoint, sender))
        return peer, effects + self._pump(now)

    def acquainted(
        self, told: Acquaintance, asked: float, now: float
    ) -> tuple[Peer | None, list[Effect]]:
        """Take in one node that another tells of; `asked` is when the question was put, which dates the age."""
        members = self._members
        if told.replica.node == members.id.node:
            return None, self._former_self(told)
        age = told.age_ms / 1000
        fresh = age < members.timing.down_after or told.standing is Standing.RESTARTING
        peer = members.peers.get(told.replica.node)
        if peer is not None and peer.replica == told.replica:
            if peer.heard == float("-inf"):
                peer.told = max(peer.told, asked - age)
            return peer, []
        if not fresh:
            return None, []
        sign = asked - min(age, members.timing.down_after)
        peer, effects = members.learn(told.replica, told.endpoint, sign, now, direct=False)
        if peer is not None and told.standing is Standing.RESTARTING:
            evidence = "others say that it restarts"
            effects += members.set_state(peer, NodeState.RESTARTING, evidence, now)
        if peer is not None:
            effects += self.greet([peer.endpoint], now)
        return peer, effects

    def _former_self(self, told: Acquaintance) -> list[Effect]:
        members = self._members
        if told.replica.incarnation <= members.id.incarnation:
            return []
        unheard = told.age_ms / 1000 > members.timing.suspect_after
        if told.endpoint == members.endpoint or unheard:
            return [Outranked(told.replica.incarnation)]
        return []

    def refusal(self, refusal: Refusal, sender: ReplicaId) -> list[Effect]:
        """Take in that a Hello of ours was refused."""
        endpoint = next(iter(self._said), "")
        return [
            Refused(
                refusal.kind, endpoint, sender, refusal.cluster, refusal.text, by_us=False
            )
        ]
