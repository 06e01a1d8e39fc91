"""What we tell of others: to peers that ask, and to users."""

from discoagent.core.effects import NodeState, Outranked
from discoagent.core.entry import ReplicaId
from discoagent.core.membership import Membership
from discoagent.core.messages import Acquaintance, Standing, Welcome
from discoagent.core.telling import acquaintance, acquaintances, views
from discoagent.core.timing import Timing
from tests.core.cluster import Cluster
from tests.core.vocabulary import A, B, C, join, meet, snapshot


class TestClockSetBack:
    """An agent whose clock was set back is told of its former life, and takes a higher number."""

    def outranked(self, cluster: Cluster) -> list[int]:
        """Start b with a lower incarnation than it had; return what it is told."""
        cluster.start("b", "a", incarnation=3)
        return [it.incarnation for it in cluster.effects["b"] if isinstance(it, Outranked)]

    def test_while_its_former_life_is_present(self, cluster: Cluster) -> None:
        """The agent was restarted at once."""
        cluster.start("a")
        cluster.start("b", "a", incarnation=5)
        cluster.kill("b")

        assert self.outranked(cluster) == [5]

    def test_while_its_former_life_is_down(self, cluster: Cluster) -> None:
        """The host booted without a clock, and that took a while."""
        cluster.start("a")
        cluster.start("b", "a", incarnation=5)
        cluster.kill("b")
        cluster.wait(6)

        assert self.outranked(cluster) == [5]

    def test_whose_greeting_was_lost(self, cluster: Cluster) -> None:
        """It was greeted before it could greet: its next question is answered with it, too."""
        cluster.start("a")
        cluster.start("b", "a", incarnation=9)
        cluster.wait(1)
        cluster.kill("b")
        cluster.wait(6)
        cluster.lose = lambda by, _to, message: by == "a" and isinstance(message, Welcome)

        assert self.outranked(cluster) == []
        cluster.run("a", cluster.running["a"].join("b:1", cluster.now))
        cluster.wait(8)
        assert Outranked(9) in cluster.effects["b"]

    def test_after_its_former_life_was_forgotten(self, cluster: Cluster) -> None:
        """There is a grave that its lower number cannot open."""
        cluster.timing = Timing(forget_after=20)
        cluster.start("a")
        cluster.start("b", "a", incarnation=5)
        cluster.kill("b")
        cluster.wait(26)

        assert cluster.running["a"].members(cluster.now)[1:] == []
        assert self.outranked(cluster) == [5]


class TestAcquaintances:
    """What a peer is told that asks."""

    def test_ages_are_real_time(self, members: Membership) -> None:
        """The clock that stands still while we sleep is for our own verdicts alone."""
        members.real = 100.0
        peer = meet(members, B)
        join(members, peer, snapshot(B))
        peer.beat = 7
        members.real = 160.0

        assert acquaintance(members, "b", 10.5) == Acquaintance(
            B, "b:1", 1, Standing.ALIVE, 60_000, 7
        )

    def test_a_refusal_is_told_while_it_is_later_than_the_last_sign(
        self, members: Membership
    ) -> None:
        """What it has outlived is no news."""
        peer = meet(members, B)
        peer.refused = 10.5
        told = acquaintance(members, "b", 11.0)

        assert told is not None
        assert told.refused_ms == 500

        peer.heard = 10.75
        told = acquaintance(members, "b", 11.0)

        assert told is not None
        assert told.refused_ms == -1

    def test_restarting_without_a_refusal_is_a_farewell(self, members: Membership) -> None:
        """Who was heard since it refused is told as alive: else a stranger would wait it out."""
        peer = meet(members, B)
        members.set_state(peer, NodeState.RESTARTING, "its port refused", 10.0)
        told = acquaintance(members, "b", 11.0)
        assert told is not None
        assert told.standing is Standing.ALIVE

        peer.farewell = True
        told = acquaintance(members, "b", 11.0)
        assert told is not None
        assert (told.standing, told.refused_ms) == (Standing.RESTARTING, -1)

    def test_of_whom(self, members: Membership) -> None:
        """Those present, but for the asker, who knows itself best, unless it is outlived."""
        meet(members, ReplicaId("b", 2))
        lost = meet(members, C)
        members.hide(lost, NodeState.DOWN, members.cause("node-down"), "", 10.0)

        def told(by: ReplicaId) -> list[str]:
            return [it.replica.node for it in acquaintances(members, by, 10.0)]

        assert told(C) == ["b"]
        assert told(ReplicaId("b", 2)) == []
        assert told(B) == ["b"]
        assert acquaintance(members, "c", 10.0) is None
        assert acquaintance(members, "x", 10.0) is None


def test_users_see_everybody(members: Membership) -> None:
    """Those that are down, too, with the age of their last sign of life on our own clock."""
    lost = meet(members, B)
    members.hide(lost, NodeState.DOWN, members.cause("node-down"), "silent", 14.0)

    mine, other = views(members, 15.0)

    assert (mine.replica, mine.state) == (A, NodeState.ALIVE)
    assert (other.replica, other.state, other.heard, other.evidence) == (
        B,
        NodeState.DOWN,
        5.0,
        "silent",
    )
