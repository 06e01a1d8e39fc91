"""Who has seen what: questions about clocks, answered when they are reached."""

import pytest

from discoagent.core import sights as sights_module
from discoagent.core.effects import Answer, NodeState, SeenBy, Send
from discoagent.core.entry import ReplicaId
from discoagent.core.membership import Membership
from discoagent.core.messages import Seen, SeenReply
from discoagent.core.sights import ANSWERS_TRAVEL, Goals, Sights
from tests.core.cluster import Cluster
from tests.core.vocabulary import A, B, C, entry, join, meet, register, snapshot


@pytest.fixture
def sights(members: Membership) -> Sights:
    """Return the sights of a, which has one entry and knows b with one."""
    register(members, entry())
    join(members, meet(members, B), snapshot(B, entry()))
    return Sights(members)


def answer(number: int, *behind: tuple[ReplicaId, int]) -> Answer:
    """Return what c is answered."""
    return Answer(C, SeenReply(number, behind))


class TestAsking:
    """All present peers, once each."""

    def test_all_who_are_present(self, members: Membership, sights: Sights) -> None:
        """Sorted; their answers come one by one, and each counts once."""
        meet(members, C)

        number, nodes, effects = sights.ask({B: 4, A: 3}, 1.5, 10.0)

        assert (number, nodes) == (1, ["b", "c"])
        assert effects == [Send(("b:1", "c:1"), Seen(1, ((A, 3), (B, 4)), 1500))]
        assert sights.answered(SeenReply(1, ()), C) == [SeenBy(1, "c", ())]
        assert sights.answered(SeenReply(1, ()), C) == []
        assert sights.answered(SeenReply(1, ((A, 2),)), B) == [SeenBy(1, "b", ((A, 2),))]
        assert sights.answered(SeenReply(1, ()), B) == []
        assert members.counters == {"seen-unasked": 2}

    def test_some_of_them(self, members: Membership, sights: Sights) -> None:
        """Those that are present."""
        meet(members, C)

        number, nodes, effects = sights.ask({A: 3}, 1.0, 10.0, ["c", "d"])

        assert nodes == ["c"]
        assert effects == [Send(("c:1",), Seen(number, ((A, 3),), 1000))]
        assert sights.answered(SeenReply(number, ()), B) == []

    def test_nobody_is_there(self, members: Membership, sights: Sights) -> None:
        """Nobody is asked."""
        members.hide(members.peers["b"], NodeState.DOWN, members.cause("node-down"), "", 10.0)

        assert sights.ask({A: 1}, 1.0, 10.0) == (1, [], [])

    def test_a_question_that_is_given_up(self, members: Membership, sights: Sights) -> None:
        """Its answers count no more."""
        number, _, _ = sights.ask({A: 1}, 1.0, 10.0)
        sights.forget(number)
        sights.forget(number)

        assert sights.answered(SeenReply(number, ()), B) == []
        assert members.counters == {"seen-unasked": 1}

    def test_a_question_has_its_time(self, members: Membership, sights: Sights) -> None:
        """Whoever does not answer is not waited for for ever."""
        number, _, _ = sights.ask({A: 1}, 1.0, 10.0)
        sights.tick(10.9 + ANSWERS_TRAVEL)
        assert sights.answered(SeenReply(number, ()), B) == [SeenBy(number, "b", ())]

        number, _, _ = sights.ask({A: 1}, 1.0, 10.0)
        sights.tick(11.0 + ANSWERS_TRAVEL)
        assert sights.answered(SeenReply(number, ()), B) == []


class TestAnswering:
    """At once if there is nothing to wait for."""

    @pytest.mark.parametrize("goals", [((A, 1), (B, 2)), ((ReplicaId("b", 0), 99),), ()])
    def test_reached(self, sights: Sights, goals: Goals) -> None:
        """Our own clock, another's; and a life that is over is reached whole."""
        assert sights.asked(Seen(4, goals, 1000), C, 10.0) == [answer(4)]

    @pytest.mark.parametrize(
        ("goal", "held"), [((A, 2), 1), ((B, 3), 2), ((ReplicaId("b", 2), 1), 0), ((C, 1), 0)]
    )
    def test_not_reached(self, sights: Sights, goal: tuple[ReplicaId, int], held: int) -> None:
        """Where we stand; 0 of a life that we do not know."""
        assert sights.asked(Seen(4, (goal,), 0), C, 10.0) == [answer(4, (goal[0], held))]

    def test_of_one_that_is_down(self, members: Membership, sights: Sights) -> None:
        """We show nothing of it, so we have seen nothing."""
        members.hide(members.peers["b"], NodeState.DOWN, members.cause("node-down"), "", 10.0)

        assert sights.asked(Seen(4, ((B, 2),), 0), C, 10.0) == [answer(4, (B, 0))]

    def test_it_waits(self, members: Membership, sights: Sights) -> None:
        """Until it is reached; what was reached once is."""
        assert sights.look() == []
        assert sights.asked(Seen(4, ((A, 2), (B, 3)), 1000), C, 10.0) == []
        assert sights.look() == []

        register(members, entry("2"))

        assert sights.look() == []

        b = members.peers["b"]
        join(members, b, snapshot(B, entry(), entry("2")))

        assert sights.look() == [answer(4)]
        assert sights.tick(12.0) == []

    def test_until_the_asker_s_patience_is_over(self, sights: Sights) -> None:
        """Then it is told how far we are."""
        sights.asked(Seen(4, ((A, 1), (B, 3)), 1000), C, 10.0)

        assert sights.tick(10.9) == []
        assert sights.tick(11.0) == [answer(4, (B, 2))]

    def test_two_that_wait_for_the_same(self, members: Membership, sights: Sights) -> None:
        """Each is answered when all of its own is reached."""
        sights.asked(Seen(4, ((B, 3),), 1000), C, 10.0)
        sights.asked(Seen(5, ((B, 3), (A, 2)), 1000), C, 10.0)
        join(members, members.peers["b"], snapshot(B, entry(), entry("2")))

        assert sights.look() == [answer(4)]
        register(members, entry("2"))
        assert sights.look() == [answer(5)]
        assert sights.tick(12.0) == []

    def test_what_is_reached_already(self, members: Membership, sights: Sights) -> None:
        """Is not waited for, though nothing of it moves any more."""
        join(members, meet(members, C), snapshot(C))
        sights.look()
        sights.asked(Seen(4, ((B, 3), (C, 1)), 1000), C, 10.0)
        join(members, members.peers["b"], snapshot(B, entry(), entry("2")))

        assert sights.look() == [answer(4)]

    def test_a_later_life_ends_the_wait(self, members: Membership, sights: Sights) -> None:
        """More of that one will never come."""
        sights.asked(Seen(4, ((B, 3),), 1000), C, 10.0)
        members.learn(ReplicaId("b", 2), "b:1", 0.0, 10.5, direct=True)

        assert sights.look() == [answer(4)]

    def test_so_many_may_wait(self, sights: Sights, monkeypatch: pytest.MonkeyPatch) -> None:
        """One more is answered at once."""
        monkeypatch.setattr(sights_module, "SEEN_PENDING_MAX", 1)

        assert sights.asked(Seen(4, ((B, 3),), 1000), C, 10.0) == []
        assert sights.asked(Seen(5, ((B, 3),), 1000), C, 10.0) == [answer(5, (B, 2))]


def test_a_registration_is_seen_by_all(cluster: Cluster) -> None:
    """Asked before it has arrived, answered when it has; who cannot hear it says where it is."""
    a = cluster.start("a")
    cluster.start("b", "a")
    cluster.start("c", "a")
    cluster.said()
    cluster.lose = lambda _by, to, message: to == "c" and not isinstance(message, Seen)
    number, nodes, effects = a.ask_seen({a.id: a.own.clock + 1}, 1.0, cluster.now)
    cluster.run("a", effects)

    assert (nodes, cluster.said()) == (
        ["b", "c"],
        ["a -> b  Seen a.1 at 2", "a -> c  Seen a.1 at 2"],
    )

    cluster.put("a", entry())
    cluster.wait(1.25)

    assert [it for it in cluster.effects["a"] if isinstance(it, SeenBy)] == [
        SeenBy(number, "b", ()),
        SeenBy(number, "c", ((a.id, 1),)),
    ]
    a.forget_seen(number)
