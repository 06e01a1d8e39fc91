"""First contact: who is greeted, how often, what is answered, and what is refused."""

import pytest

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
    StateChanged,
)
from discoagent.core.entry import ReplicaId
from discoagent.core.greeter import (
    GREETING_TIMEOUT,
    NOTE_INTERVAL,
    NOTES_MAX,
    Greeter,
)
from discoagent.core.limits import GREETINGS_IN_FLIGHT
from discoagent.core.membership import Membership
from discoagent.core.messages import Hello, Refusal, RefusalKind, Welcome
from discoagent.core.timing import TICK
from tests.core.cluster import Cluster
from tests.core.vocabulary import A, B, C, forget, meet, record

WIRE = (1, 1)


@pytest.fixture
def greeter(members: Membership) -> Greeter:
    """Return the greeter of a."""
    return Greeter(members)


def hello(number: int = 1, endpoint: str = "a:1", clock: int = 0, cluster: str = "home") -> Hello:
    """Return a Hello."""
    return Hello(number, cluster, endpoint, WIRE, (), clock)


def welcome(number: int = 1, endpoint: str = "b:1", cluster: str = "home") -> Welcome:
    """Return a Welcome of somebody who knows nobody else."""
    return Welcome(number, cluster, endpoint, WIRE, (), 0)


def greeted_at(effects: list[Effect]) -> list[str]:
    """Return where a Hello goes."""
    return [
        effect.endpoints[0]
        for effect in effects
        if isinstance(effect, Send) and isinstance(effect.message, Hello)
    ]


def answers(greeter: Greeter, answer: Welcome, by: ReplicaId, now: float) -> list[Effect]:
    """Let somebody answer a Hello."""
    asked = greeter.answered(answer.number)
    assert asked is not None
    return greeter.welcome(answer, by, asked, now)[1]


class TestSaying:
    """To whom a Hello is said, and how often."""

    def test_once_until_it_is_answered_or_its_time_is_over(self, greeter: Greeter) -> None:
        """A second wish for the same greeting is no second greeting."""
        first = greeter.greet(["b:1", "b:1"], 1.0)

        assert first == [Connect("b:1"), Send(("b:1",), hello())]
        assert greeter.greet(["b:1"], 1.5) == []
        assert greeter.greets("b:1")
        assert greeter.tick(1.0 + GREETING_TIMEOUT) == [Disconnect("b:1")]
        assert greeted_at(greeter.greet(["b:1"], 4.0)) == ["b:1"]

    def test_never_to_ourselves(self, greeter: Greeter) -> None:
        """Our own endpoint in a list of seeds is passed by, even if an operator insists."""
        assert greeter.greet(["a:1"], 1.0) == []
        assert greeter.again("a:1", 1.0) == []

    def test_never_again_by_another_address_of_ours(self, greeter: Greeter) -> None:
        """A Hello that comes back to its sender shows that the address dialled is our own."""
        greeter.greet(["localhost:1"], 1.0)

        answered = greeter.hello(hello(), A, 1.0)

        assert answered == (None, [Disconnect("localhost:1")])
        assert greeter.tick(1.0 + GREETING_TIMEOUT) == []
        assert greeter.greet(["localhost:1"], 9.0) == []

    def test_never_again_by_a_late_hello_of_our_own(self, greeter: Greeter) -> None:
        """One that nobody waits for any more teaches nothing."""
        assert greeter.hello(hello(7), A, 1.0) == (None, [])

    def test_not_to_those_who_are_known_and_welcomed(self, greeter: Greeter) -> None:
        """Seeds are offered again and again by the shell; friends need no second Hello."""
        greeter.greet(["b:1"], 1.0)
        answers(greeter, welcome(), B, 1.1)

        assert greeter.greet(["b:1"], 2.0) == []
        assert greeted_at(greeter.again("b:1", 2.0)) == ["b:1"]

    def test_paced(self, greeter: Greeter) -> None:
        """No more than so many wait for their answers; each answer lets the next one go."""
        endpoints = [f"n{number}:1" for number in range(GREETINGS_IN_FLIGHT + 2)]

        assert greeted_at(greeter.greet(endpoints, 1.0)) == endpoints[:GREETINGS_IN_FLIGHT]
        assert greeted_at(answers(greeter, welcome(1, "n0:1"), ReplicaId("n0", 1), 1.1)) == [
            endpoints[GREETINGS_IN_FLIGHT]
        ]
        refused = Refusal(2, RefusalKind.CLUSTER, "other", "no")
        assert greeted_at(greeter.refusal(refused, ReplicaId("n1", 1), 1.2)) == endpoints[-1:]

    def test_again_to_a_present_peer_that_never_answered(
        self, members: Membership, greeter: Greeter
    ) -> None:
        """Whom we know by hearsay is greeted until it answers; its link is kept meanwhile."""
        members.learn(B, "b:1", 0.0, 1.0, direct=False)

        assert greeted_at(greeter.tick(1.0)) == ["b:1"]
        assert greeter.tick(2.0) == []
        assert greeted_at(greeter.tick(3.0)) == ["b:1"]
        assert not any(isinstance(it, Disconnect) for it in greeter.tick(5.0))

    def test_not_at_every_tick_to_one_that_refuses(
        self, members: Membership, greeter: Greeter
    ) -> None:
        """A refusal is an answer: the next Hello waits as if none had come."""
        members.learn(B, "b:1", 0.0, 1.0, direct=False)
        greeter.tick(1.0)
        no = Refusal(1, RefusalKind.NAME, "home", "no")

        assert greeter.refusal(no, B, 1.1) == [
            Refused(RefusalKind.NAME, "b:1", B, "home", "no", by_us=False)
        ]
        assert greeter.tick(1.0 + TICK) == []
        assert greeted_at(greeter.tick(1.0 + GREETING_TIMEOUT)) == ["b:1"]


class TestAnswering:
    """What a Hello leads to."""

    def test_the_greeter_is_a_peer_before_it_is_answered(
        self, members: Membership, greeter: Greeter
    ) -> None:
        """So nothing that we change falls between its sync and our first delta to it."""
        peer, effects = greeter.hello(hello(4, "b:1"), B, 1.0)

        assert peer is members.peers["b"]
        assert effects == [
            Connect("b:1"),
            StateChanged(B, None, NodeState.ALIVE, ""),
            Answer(B, Welcome(4, "home", "a:1", WIRE, (), 0)),
        ]
        assert members.targets() == ("b:1",)

    def test_a_known_life_moves(self, members: Membership, greeter: Greeter) -> None:
        """The same life at another endpoint is reached there from now on."""
        greeter.hello(hello(1, "b:1"), B, 1.0)

        _, effects = greeter.hello(hello(2, "b:2"), B, 2.0)

        assert effects[:2] == [Disconnect("b:1"), Connect("b:2")]
        assert members.peers["b"].endpoint == "b:2"

    def test_a_late_hello_is_no_sign_of_life(self, members: Membership, greeter: Greeter) -> None:
        """One from a node that is down may be old: it is greeted, and shown if it answers."""
        peer, _ = greeter.hello(hello(1, "b:1"), B, 1.0)
        assert peer is not None
        members.hide(peer, NodeState.DOWN, members.cause("node-down"), "silent", 6.0)

        _, effects = greeter.hello(hello(2, "b:1"), B, 7.0)

        assert peer.state is NodeState.DOWN
        assert greeted_at(effects) == ["b:1"]

        effects = answers(greeter, welcome(1), B, 7.1)

        assert StateChanged(B, NodeState.DOWN, NodeState.ALIVE, "it answered") in effects

    def test_a_forgotten_life_that_left_is_not_answered(
        self, members: Membership, greeter: Greeter
    ) -> None:
        """What has left does not come back; a newer life is welcome."""
        peer, _ = greeter.hello(hello(1, "b:1"), B, 1.0)
        assert peer is not None
        peer.node.chain.clock = 2  # its record came and went
        members.hide(peer, NodeState.LEFT, members.cause("node-left"), "it left", 2.0)
        forget(members, peer)

        assert greeter.hello(hello(2, "b:1"), B, 3.0) == (None, [])
        assert greeter.hello(hello(3, "b:1"), ReplicaId("b", 2), 3.0)[0] is not None


class TestRefusing:
    """Who is refused, and how loudly."""

    def refusal(self, greeter: Greeter, said: Hello, by: ReplicaId, now: float = 1.0) -> Refusal:
        """Return the refusal that a Hello meets."""
        peer, effects = greeter.hello(said, by, now)
        assert peer is None
        (answer,) = [effect for effect in effects if isinstance(effect, Answer)]
        assert isinstance(answer.message, Refusal)
        return answer.message

    def test_another_cluster(self, greeter: Greeter) -> None:
        """The sentence names both clusters, for both logs."""
        no = self.refusal(greeter, hello(3, "b:1", cluster="other"), B)

        assert no == Refusal(
            3,
            RefusalKind.CLUSTER,
            "home",
            "a at a:1 belongs to cluster 'home', b at b:1 to cluster 'other'",
        )

    @pytest.mark.parametrize("wire", [(2, 3), (0, 0)])
    def test_wire_versions_without_a_common_one(
        self, greeter: Greeter, wire: tuple[int, int]
    ) -> None:
        """Both ranges are named."""
        no = self.refusal(greeter, Hello(1, "home", "b:1", wire), B)

        assert no.kind is RefusalKind.WIRE
        assert no.text == f"a speaks wire versions 1 to 1, b {wire[0]} to {wire[1]}"

    def test_our_own_name(self, greeter: Greeter) -> None:
        """A namesake of ours is refused by ourselves."""
        no = self.refusal(greeter, hello(1, "b:1"), ReplicaId("a", 2))

        assert no.kind is RefusalKind.NAME
        assert no.text == "node name a is in use at a:1, heard 0.0 s ago"

    def test_a_name_that_is_borne_by_one_who_is_heard(self, greeter: Greeter) -> None:
        """Elsewhere: refused. Once the other is silent, or from the same endpoint: welcome."""
        greeter.hello(hello(1, "b:1"), B, 1.0)
        newer = ReplicaId("b", 2)

        no = self.refusal(greeter, hello(1, "x:1"), newer, 1.5)

        assert no.text == "node name b is in use at b:1, heard 0.5 s ago"
        assert greeter.hello(hello(2, "x:1"), newer, 4.0)[0] is not None

    def test_a_name_whose_hash_is_another_s(
        self, members: Membership, greeter: Greeter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Heartbeats could not tell the two apart."""
        greeter.hello(hello(1, "b:1"), B, 1.0)
        of_b = members.peers["b"].node.hash
        monkeypatch.setattr("discoagent.core.greeter.name_hash", lambda _name: of_b)

        no = self.refusal(greeter, hello(1, "c:1"), C)

        assert no.text == "node name c cannot be told from b in heartbeats: rename it"

    def test_it_is_said_once_a_minute(self, greeter: Greeter) -> None:
        """However often somebody tries, the log stays readable; it is answered each time."""
        said = hello(1, "b:1", cluster="other")

        def noted(now: float, endpoint: str = "b:1") -> bool:
            _, effects = greeter.hello(hello(1, endpoint, cluster="other"), B, now)
            assert isinstance(effects[0], Answer)
            return len(effects) == 2

        assert said.cluster == "other"
        assert noted(1.0)
        assert not noted(30.0)
        assert noted(1.0 + NOTE_INTERVAL)
        for number in range(NOTES_MAX):
            assert noted(70.0, f"n{number}:1")
        assert noted(70.5, "b:1")  # so many others came between that it was forgotten


class TestBeingAnswered:
    """What an answer leads to."""

    def test_a_welcome_is_a_sign_of_life_as_of_the_question(
        self, members: Membership, greeter: Greeter
    ) -> None:
        """When it was answered nobody knows: only that it was after we asked."""
        greeter.greet(["b:1"], 1.0)

        effects = answers(greeter, welcome(), B, 2.5)

        assert effects == [
            Connect("b:1"),
            StateChanged(B, None, NodeState.ALIVE, ""),
            Greeted("b:1", B),
        ]
        assert members.peers["b"].heard == 1.0

    def test_an_answer_to_a_later_question_takes_a_farewell_back(
        self, members: Membership, greeter: Greeter
    ) -> None:
        """Others may have told of it by mistake; an earlier question may overtake it."""
        peer = meet(members, B)
        greeter.again("b:1", 11.0)
        peer.farewell, peer.since = True, 12.0
        answers(greeter, welcome(1), B, 12.5)
        assert peer.farewell

        greeter.again("b:1", 13.0)
        answers(greeter, welcome(2), B, 13.5)
        assert not peer.farewell

    def test_one_link_a_peer(self, greeter: Greeter) -> None:
        """A seed's other address is let go of once we know the right one."""
        greeter.greet(["localhost:2"], 1.0)

        effects = answers(greeter, welcome(1, "b:1"), B, 1.1)

        assert Disconnect("localhost:2") in effects
        assert Greeted("localhost:2", B) in effects

    @pytest.mark.parametrize(
        ("by", "cluster"), [(B, "other"), (ReplicaId("a", 9), "home")], ids=["cluster", "own name"]
    )
    def test_nonsense_is_counted(
        self, members: Membership, greeter: Greeter, by: ReplicaId, cluster: str
    ) -> None:
        """A Welcome of another cluster, or of our own name, is nobody's."""
        greeter.greet(["b:1"], 1.0)

        assert answers(greeter, welcome(1, cluster=cluster), by, 1.1) == []
        assert members.counters == {"welcome-unasked": 1}

    def test_an_answer_that_nobody_asked_for(self, members: Membership, greeter: Greeter) -> None:
        """Neither a Welcome nor a Refusal counts twice."""
        greeter.greet(["b:1"], 1.0)
        no = Refusal(1, RefusalKind.CLUSTER, "other", "no")
        greeter.refusal(no, B, 1.1)

        assert greeter.refusal(no, B, 1.2) == []
        assert members.counters == {"refusal-unasked": 1}

    def test_an_older_life_that_answers_is_not_met(
        self, members: Membership, greeter: Greeter
    ) -> None:
        """What a former life said before it ended is late."""
        greeter.hello(hello(1, "b:1"), ReplicaId("b", 2), 1.0)
        greeter.again("b:1", 1.0)

        assert answers(greeter, welcome(), B, 1.1) == []
        assert members.peers["b"].replica.incarnation == 2

    def test_a_refusal_lets_go_of_a_stranger(self, greeter: Greeter) -> None:
        """Another cluster's agent at a seed's address is not dialled on."""
        greeter.greet(["x:1"], 1.0)

        assert greeter.refusal(Refusal(1, RefusalKind.CLUSTER, "other", "no"), B, 1.1) == [
            Refused(RefusalKind.CLUSTER, "x:1", B, "other", "no", by_us=False),
            Disconnect("x:1"),
        ]

    def test_a_name_that_is_taken_ends_an_agent_that_knows_nobody(
        self, members: Membership, greeter: Greeter
    ) -> None:
        """Among peers it may be a relic, and resolves; alone it is the first thing to know."""
        no = Refusal(1, RefusalKind.NAME, "home", "taken")
        greeter.greet(["x:1"], 1.0)

        assert Namesake("taken") in greeter.refusal(no, B, 1.1)

        members.learn(C, "c:1", 0.0, 1.2, direct=True)
        greeter.greet(["x:1"], 1.3)

        assert Namesake("taken") not in greeter.refusal(
            Refusal(2, RefusalKind.NAME, "home", "taken"), B, 1.4
        )

    def test_an_operator_s_try_ends_nobody(self, greeter: Greeter) -> None:
        """Whoever serves alone is told that its name is taken there, and serves on."""
        for number in (1, 2):
            greeter.invite("x:1", 1.0)
            refused = greeter.refusal(Refusal(number, RefusalKind.NAME, "home", "no"), B, 1.1)

            assert [type(effect) for effect in refused] == [Refused, Disconnect]


def test_two_that_greet_each_other_at_once(cluster: Cluster) -> None:
    """Both say Hello, both answer, and each knows the other once."""
    a = cluster.bare("a", record=record("a:1"))
    b = cluster.bare("b", record=record("b:1"))
    to_b, to_a = a.seeds(["b:1"], cluster.now), b.seeds(["a:1"], cluster.now)
    cluster.run("a", to_b)
    cluster.run("b", to_a)

    assert [view.replica for view in a.members(cluster.now)] == [A, B]
    assert [view.replica for view in b.members(cluster.now)] == [A, B]
