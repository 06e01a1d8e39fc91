"""What others tell of third parties, in answers to our questions.

Nobody vouches for another: the chain itself always comes unchanged from its owner, by whatever way.
"""

from discoagent.core.detector import Detector
from discoagent.core.effects import Effect, Namesake, NodeState, Outranked
from discoagent.core.entry import CauseWord
from discoagent.core.greeter import Greeter
from discoagent.core.membership import Membership
from discoagent.core.messages import Acquaintance, Standing
from discoagent.core.peer import Asked, Peer
from discoagent.core.sync import Sync
from discoagent.core.telling import name_in_use


class Hearsay:
    """Heeds acquaintances."""

    def __init__(
        self, members: Membership, detector: Detector, greeter: Greeter, sync: Sync
    ) -> None:
        self._members = members
        self._detector = detector
        self._greeter = greeter
        self._sync = sync

    def heed(
        self, told: Acquaintance, asked: Asked, teller: str, now: float
    ) -> tuple[Peer | None, list[Effect]]:
        """Take in one node that `teller` tells of; the peer is None if it is not believed.

        Ages are counted from when we asked, so that none is taken for younger than it is.
        """
        members = self._members
        if told.replica.node == members.id.node:
            return None, self._own_name(told)
        peer = members.peers.get(told.replica.node)
        if told.standing is Standing.LEFT:
            return None, self._left(told, peer, now)
        if peer is not None and peer.replica == told.replica:
            effects = self._detector.told(peer, told, asked, teller, now)
        else:
            peer, effects = self._stranger(told, asked, teller, now)
        if peer is not None:
            self._sync.behind(peer, told.clock, teller, now)
        return peer, effects

    def _left(self, told: Acquaintance, peer: Peer | None, now: float) -> list[Effect]:
        """Take in that a life we know has left; that is for good, so it never is out of date."""
        if peer is None or peer.replica != told.replica:
            return []
        cause = self._members.cause(CauseWord.NODE_LEFT)
        return self._members.leave(peer, cause, now)

    def _stranger(
        self, told: Acquaintance, asked: Asked, teller: str, now: float
    ) -> tuple[Peer | None, list[Effect]]:
        """Meet a life that we do not know, if the teller heard it lately, or thinks it restarts."""
        members = self._members
        restarting = told.standing is Standing.RESTARTING
        age = told.age_ms / 1000
        if age >= members.timing.down_after and not restarting:
            return None, []
        peer, effects = members.learn(
            told.replica, told.endpoint, now - asked.at + age, now, direct=False
        )
        if peer is None and members.forgotten(told.replica):
            return None, self._greeter.greet([told.endpoint], now)  # let it speak for itself
        if peer is None or peer.replica != told.replica:
            return None, effects
        peer.beat = max(peer.beat, told.beat)
        # However old the word, it gets the time to be heard here before it is taken down; what we
        # tell of it stays as old as it is.
        peer.told = max(peer.told, now - members.timing.suspect_after)
        peer.teller, peer.told_at = teller, asked.real - age
        if restarting:
            if told.refused_ms >= 0:
                peer.refused = peer.gone = asked.at - told.refused_ms / 1000
                peer.refuser = teller
            else:
                peer.farewell = True
            evidence = f"{teller} says that it restarts"
            effects += members.set_state(peer, NodeState.RESTARTING, evidence, now)
        return peer, effects + self._greeter.greet([peer.endpoint], now)

    def _own_name(self, told: Acquaintance) -> list[Effect]:
        """Meet a later life of our own name: our former self with a better clock, or a namesake."""
        members = self._members
        if told.replica.incarnation <= members.id.incarnation:
            return []
        age = told.age_ms / 1000
        if told.endpoint == members.endpoint or age > members.timing.suspect_after:
            return [Outranked(told.replica.incarnation)]
        return [Namesake(name_in_use(members.id.node, told.endpoint, age))]
