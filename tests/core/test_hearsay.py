"""What others tell of third parties: whom it makes us meet, and what it says of ourselves."""

from dataclasses import dataclass

import pytest

from discoagent.core.detector import Detector
from discoagent.core.effects import (
    Connect,
    Effect,
    Namesake,
    NodeState,
    Outranked,
    Send,
    StateChanged,
)
from discoagent.core.entry import ReplicaId
from discoagent.core.greeter import Greeter
from discoagent.core.hearsay import Hearsay
from discoagent.core.membership import Membership
from discoagent.core.messages import Acquaintance, Hello, Standing
from discoagent.core.peer import Asked, Peer
from discoagent.core.sync import Sync
from discoagent.core.timing import TICK
from tests.core.vocabulary import LEFT, B, forget, meet

B2 = ReplicaId("b", 2)


@dataclass
class Listener:
    """a, which asked c at 9 and is answered at 10."""

    members: Membership
    detector: Detector
    sync: Sync
    hearsay: Hearsay

    def hears(
        self,
        of: ReplicaId,
        age: float,
        *,
        standing: Standing = Standing.ALIVE,
        endpoint: str = "b:1",
        refused: float = -0.001,
        clock: int = 5,
    ) -> tuple[Peer | None, list[Effect]]:
        """Let a hear of a node whose last beat, the third, the teller heard so long before."""
        refused_ms = round(refused * 1000)
        told = Acquaintance(of, endpoint, clock, standing, round(age * 1000), 3, refused_ms)
        return self.hearsay.heed(told, Asked(1, 9.0, 9.0, "c"), "c", 10.0)


@pytest.fixture
def listener(members: Membership) -> Listener:
    """Return a."""
    members.real = 10.0
    detector, greeter, sync = Detector(members), Greeter(members), Sync(members)
    return Listener(members, detector, sync, Hearsay(members, detector, greeter, sync))


class TestStrangers:
    """Lives that we did not know of."""

    def test_one_that_was_heard_lately(self, listener: Listener) -> None:
        """Is met, greeted, and its chain asked for; its age counts from our question."""
        peer, effects = listener.hears(B, 0.5)

        assert peer is not None
        assert effects == [
            Connect("b:1"),
            StateChanged(B, None, NodeState.ALIVE, ""),
            Connect("b:1"),
            Send(("b:1",), Hello(1, "home", "a:1", (1, 1), (), 0)),
        ]
        assert (peer.seen, peer.told, peer.beat) == (8.5, 8.5, 3)
        assert listener.sync.lacking

    def test_one_whose_word_is_old_gets_the_time_to_be_heard(self, listener: Listener) -> None:
        """It is not taken down before it could answer; what we tell of it stays as old as it is."""
        peer, _ = listener.hears(B, 3.5)

        assert peer is not None
        assert (peer.seen, peer.told) == (5.5, 8.0)

    def test_one_that_was_not(self, listener: Listener) -> None:
        """Is not met: the dead are not passed on."""
        assert listener.hears(B, 4.0) == (None, [])
        assert listener.members.peers == {}

    def test_one_that_restarts(self, listener: Listener) -> None:
        """However long ago it was heard: it said so, and its entries are held everywhere."""
        peer, effects = listener.hears(B, 9.0, standing=Standing.RESTARTING)

        assert peer is not None
        assert peer.farewell
        assert effects[2] == StateChanged(
            B, NodeState.ALIVE, NodeState.RESTARTING, "c says that it restarts"
        )
        listener.detector.tick(10.0 + TICK)
        assert peer.state is NodeState.RESTARTING

    def test_one_whose_port_refuses(self, listener: Listener) -> None:
        """Its grace counts from the refusal that the teller knows."""
        peer, _ = listener.hears(B, 9.0, standing=Standing.RESTARTING, refused=0.5)

        assert peer is not None
        assert not peer.farewell
        assert (peer.refused, peer.gone) == (8.5, 8.5)
        assert peer.state is NodeState.RESTARTING

    def test_a_newer_life(self, listener: Listener) -> None:
        """Takes the place of the former one, where it lived or once that is silent."""
        peer = meet(listener.members, B)

        found, _ = listener.hears(B2, 0.5)

        assert found is peer
        assert peer.replica == B2

    def test_a_namesake(self, listener: Listener) -> None:
        """Elsewhere, while the one we know is heard: is not believed."""
        peer = meet(listener.members, B)

        assert listener.hears(B2, 0.5, endpoint="x:1") == (None, [])
        assert peer.replica == B

    def test_one_that_was_forgotten(self, listener: Listener) -> None:
        """Is greeted: only its own word brings it back."""
        members = listener.members
        members.hide(meet(members, B), NodeState.DOWN, LEFT, "it was silent", 9.0)
        forget(members, members.peers["b"])

        peer, effects = listener.hears(B, 0.5)

        assert peer is None
        assert effects == [Connect("b:1"), Send(("b:1",), Hello(1, "home", "a:1", (1, 1), (), 0))]

    def test_a_life_that_is_over(self, listener: Listener) -> None:
        """Whoever tells of it is behind."""
        meet(listener.members, B2)

        assert listener.hears(B, 0.5) == (None, [])
        assert not listener.sync.lacking


class TestKnown:
    """A life that we know."""

    def test_it_is_evidence(self, listener: Listener) -> None:
        """And tells how far its chain is by now."""
        peer = meet(listener.members, B)

        assert listener.hears(B, 0.5) == (peer, [])
        assert peer.beat == 3
        assert listener.sync.lacking

    def test_that_it_has_left(self, listener: Listener) -> None:
        """Its farewell did not reach us; that life is over for good, however old the word is."""
        peer = meet(listener.members, B)

        _, effects = listener.hears(B, 60.0, standing=Standing.LEFT)

        assert peer.state is NodeState.LEFT
        assert StateChanged(B, NodeState.ALIVE, NodeState.LEFT, "it said that it leaves") in effects

    def test_that_another_life_has_left(self, listener: Listener) -> None:
        """A word of an earlier life, or of a stranger, is of no use."""
        peer = meet(listener.members, B2)
        c = ReplicaId("stranger", 1)

        assert listener.hears(B, 0.5, standing=Standing.LEFT) == (None, [])
        assert listener.hears(c, 0.5, standing=Standing.LEFT) == (None, [])
        assert peer.state is NodeState.ALIVE


class TestOurselves:
    """Lives of our own name."""

    def test_ours(self, listener: Listener) -> None:
        """Nothing that we do not know better."""
        assert listener.hears(ReplicaId("a", 1), 0.5, endpoint="x:1") == (None, [])

    @pytest.mark.parametrize(
        ("age", "endpoint"), [(0.5, "a:1"), (9.0, "x:1")], ids=["at our endpoint", "unheard"]
    )
    def test_our_former_self(self, listener: Listener, age: float, endpoint: str) -> None:
        """It had a better clock: we take a number above its."""
        _, effects = listener.hears(ReplicaId("a", 7), age, endpoint=endpoint)

        assert effects == [Outranked(7)]

    def test_a_namesake_that_lives(self, listener: Listener) -> None:
        """The higher number has the better right: we end, and say why."""
        _, effects = listener.hears(ReplicaId("a", 7), 0.5, endpoint="x:1")

        assert effects == [Namesake("node name a is in use at x:1, heard 0.5 s ago")]
