"""First contact: whoever learns of a node says Hello to it, at once but paced.

Who is greeted counts the greeter among those it pushes to before it answers.
"""

from collections import OrderedDict
from collections.abc import Iterable

from discoagent.core.digest import name_hash
from discoagent.core.effects import (
    Answer,
    Connect,
    Disconnect,
    Effect,
    Greeted,
    Namesake,
    NodeState,
    Refused,
    Send,
)
from discoagent.core.entry import ReplicaId
from discoagent.core.limits import GREETINGS_IN_FLIGHT
from discoagent.core.membership import Membership
from discoagent.core.messages import (
    Hello,
    Refusal,
    RefusalKind,
    Welcome,
)
from discoagent.core.peer import NEVER, PRESENT, Asked, Peer
from discoagent.core.telling import acquaintances, later_life, name_in_use

WIRE = (1, 1)
GREETING_TIMEOUT = 2.0  # a Hello without an answer is said again
FORGOTTEN_INTERVAL = 5.0  # one of those that were forgotten last is greeted, in rotation
FORGOTTEN_GREETED = 32
NOTE_INTERVAL = 60.0
NOTES_MAX = 1_000


class Greeter:
    """Says and answers Hello."""

    def __init__(self, members: Membership) -> None:
        self._members = members
        self._queue: OrderedDict[str, None] = OrderedDict()
        self._said: dict[str, Asked] = {}  # Hellos that wait for their answer, by endpoint
        self._invited: set[str] = set()  # which of these an operator asked for
        self._number = 0
        self.own: set[str] = {members.endpoint}  # endpoints that turned out to be ours
        self._noted: dict[str, float] = {}
        self._next_forgotten = NEVER
        self._turn = 0
        self.welcomed = False  # has anybody told us of the cluster?

    # ---- saying

    def greet(self, endpoints: Iterable[str], now: float) -> list[Effect]:
        """Say Hello to whoever is reached there, unless that is under way, known, or ourselves."""
        for endpoint in endpoints:
            if endpoint in self.own or self.greets(endpoint) or endpoint in self._queue:
                continue
            peer = self._members.peer_at(endpoint)
            if peer is None or not (peer.welcomed and peer.state in PRESENT):
                self._queue[endpoint] = None
        return self._pump(now)

    def again(self, endpoint: str, now: float) -> list[Effect]:
        """Say Hello even to somebody who is known."""
        if endpoint in self.own:
            return []
        self._said.pop(endpoint, None)
        return self._say(endpoint, now)

    def invite(self, endpoint: str, now: float) -> list[Effect]:
        """Say Hello because an operator asks: to be refused for our name ends nobody then."""
        effects = self.again(endpoint, now)
        if effects:
            self._invited.add(endpoint)
        return effects

    def back(self, endpoint: str, now: float) -> list[Effect]:
        """Say Hello to somebody who seems to be back, unless one is on its way."""
        return [] if self.greets(endpoint) else self.again(endpoint, now)

    def tick(self, now: float) -> list[Effect]:
        """Say again what was not answered; until somebody welcomed us, to anybody there is."""
        effects: list[Effect] = []
        for endpoint, asked in list(self._said.items()):
            if now - asked.at >= GREETING_TIMEOUT:
                del self._said[endpoint]
                peer = self._members.peer_at(endpoint)
                if peer is None or peer.state not in PRESENT:
                    effects.append(Disconnect(endpoint))
        for peer in self._members.peers.values():
            if not peer.welcomed and peer.state in PRESENT:
                effects += self.greet([peer.endpoint], now)
        if not self.welcomed:  # whatever else is under way: a seed that is no more never answers
            here = [it.endpoint for it in self._members.peers.values() if it.state in PRESENT]
            if here and not any(map(self.greets, here)):
                effects += self.again(here[0], now)
        return effects + self._greet_forgotten(now) + self._pump(now)

    def _greet_forgotten(self, now: float) -> list[Effect]:
        """Greet one of the last that were forgotten: a split may outlast every memory but this."""
        if now < self._next_forgotten:
            return []
        self._next_forgotten = now + FORGOTTEN_INTERVAL
        last = list(self._members.graves.values())[-FORGOTTEN_GREETED:]
        endpoints = [grave.endpoint for grave in last if not grave.closed and grave.endpoint]
        self._turn += 1
        return self.greet([endpoints[self._turn % len(endpoints)]], now) if endpoints else []

    def _pump(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        while self._queue and len(self._said) < GREETINGS_IN_FLIGHT:
            effects += self._say(self._queue.popitem(last=False)[0], now)
        return effects

    def _say(self, endpoint: str, now: float) -> list[Effect]:
        self._number += 1
        members = self._members
        self._invited.discard(endpoint)
        self._said[endpoint] = Asked(self._number, now, members.real, endpoint)
        members.count_own()
        hello = Hello(
            self._number,
            members.cluster,
            members.endpoint,
            WIRE,
            (),
            members.own.clock,
            members.digests.set if self.welcomed else 0,
        )
        return [Connect(endpoint), Send((endpoint,), hello)]

    # ---- answering

    def hello(
        self, hello: Hello, sender: ReplicaId, now: float
    ) -> tuple[Peer | None, list[Effect]]:
        """Answer a Hello; the peer is None if it was refused, or was our own."""
        members = self._members
        if sender == members.id:
            return None, self._met_ourselves(hello.number)
        refusal = self._refusal(hello, sender, now)
        if refusal is not None:
            return None, [Answer(sender, refusal), *self._note(hello, sender, refusal, now)]
        if sender.incarnation < members.latest(sender.node):
            return None, [Answer(sender, self._welcome(hello, sender, now))]
        known = members.peers.get(sender.node)
        effects: list[Effect] = []
        if known is not None and known.replica == sender:
            effects += self._met(known, hello.endpoint, now)
            peer: Peer | None = known
        else:
            peer, effects = members.learn(sender, hello.endpoint, 0.0, now, direct=True)
        if peer is None:
            return None, effects
        peer.welcomed = True
        return peer, [*effects, Answer(sender, self._welcome(hello, sender, now))]

    def _met_ourselves(self, number: int) -> list[Effect]:
        """Our own Hello came: the endpoint that it was said to is another address of ours."""
        asked = self.answered(number)
        if asked is None:
            return []
        self.own.add(asked.whom)
        return [Disconnect(asked.whom)]

    def _note(self, hello: Hello, sender: ReplicaId, refusal: Refusal, now: float) -> list[Effect]:
        """Say once a minute that somebody is refused, however often it tries."""
        if now - self._noted.get(hello.endpoint, NEVER) < NOTE_INTERVAL:
            return []
        if len(self._noted) >= NOTES_MAX:
            self._noted.clear()
        self._noted[hello.endpoint] = now
        text = refusal.text
        return [Refused(refusal.kind, hello.endpoint, sender, hello.cluster, text, by_us=True)]

    def _met(self, peer: Peer, endpoint: str, now: float) -> list[Effect]:
        """A known life says Hello once more: that may be late, and so is no sign of life."""
        effects = self._members.move(peer, endpoint)
        if peer.state is NodeState.DOWN:
            effects += self.back(peer.endpoint, now)
        return effects

    def _welcome(self, hello: Hello, sender: ReplicaId, now: float) -> Welcome:
        members = self._members
        members.count_own()
        same = hello.set_digest == members.digests.set
        told = () if same else acquaintances(members, sender, now)
        told += later_life(members, sender, hello.endpoint)
        clock = members.own.clock
        return Welcome(hello.number, members.cluster, members.endpoint, WIRE, (), clock, told)

    def _refusal(self, hello: Hello, sender: ReplicaId, now: float) -> Refusal | None:
        members, number = self._members, hello.number
        if hello.cluster != members.cluster:
            return Refusal(
                number,
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
            return Refusal(number, RefusalKind.WIRE, members.cluster, text)
        taken = self._taken(hello, sender, now)
        return Refusal(number, RefusalKind.NAME, members.cluster, taken) if taken else None

    def _taken(self, hello: Hello, sender: ReplicaId, now: float) -> str | None:
        """Say who bears that name, or one that nobody could tell from it, and lives elsewhere."""
        members = self._members
        if sender.node == members.id.node:
            return name_in_use(sender.node, members.endpoint, 0.0)
        bearer = members.by_hash.get(name_hash(sender.node))
        if bearer is not None and bearer != sender.node:
            return f"node name {sender.node} cannot be told from {bearer} in heartbeats: rename it"
        if not members.borne(sender, hello.endpoint, now):
            return None
        peer = members.peers[sender.node]
        return name_in_use(sender.node, peer.endpoint, now - peer.sign)

    # ---- being answered

    def welcome(
        self, welcome: Welcome, sender: ReplicaId, asked: Asked, now: float
    ) -> tuple[Peer | None, list[Effect]]:
        """Take in who answered `asked`; the peer is None if it is not one of us."""
        members = self._members
        if welcome.cluster != members.cluster or sender.node == members.id.node:
            members.counters["welcome-unasked"] += 1
            return None, []
        peer, effects = members.learn(sender, welcome.endpoint, now - asked.at, now, direct=True)
        if asked.whom != welcome.endpoint:
            # A seed's other address: one link a peer suffices.
            effects.append(Disconnect(asked.whom))
        if peer is None:
            return None, effects
        if asked.at > peer.since:
            peer.farewell = False  # it answers a later question: it never went, whoever said so
        if peer.state is NodeState.DOWN:
            effects += members.show(peer, "it answered", now)
        peer.welcomed = True
        self.welcomed = True
        self._invited.discard(asked.whom)
        effects.append(Greeted(asked.whom, sender))
        return peer, effects + self._pump(now)

    def refusal(self, refusal: Refusal, sender: ReplicaId, now: float) -> list[Effect]:
        """Take in that a Hello of ours was refused: say so, and let go of who is not of us."""
        asked = self.answered(refusal.number)
        if asked is None:
            self._members.counters["refusal-unasked"] += 1
            return []
        endpoint = asked.whom
        invited = endpoint in self._invited
        self._invited.discard(endpoint)
        kind, text = refusal.kind, refusal.text
        effects: list[Effect] = [
            Refused(kind, endpoint, sender, refusal.cluster, text, by_us=False)
        ]
        if self._members.peer_at(endpoint) is None:
            self._members.moved_in(endpoint)
            effects.append(Disconnect(endpoint))
        else:
            self._said[endpoint] = asked._replace(number=0)  # the next one waits its time
        known = any(peer.state in PRESENT for peer in self._members.peers.values())
        if kind is RefusalKind.NAME and not known and not invited:
            effects.append(Namesake(text))
        return effects + self._pump(now)

    def greets(self, endpoint: str) -> bool:
        """Is a Hello to that endpoint under way?"""
        return endpoint in self._said

    def answered(self, number: int) -> Asked | None:
        """Return our Hello of that number, once; None if we said none."""
        for endpoint, asked in self._said.items():
            if asked.number == number:
                return self._said.pop(endpoint)
        return None
