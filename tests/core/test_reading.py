"""What a replica shows to readers, and up to where."""

from discoagent.core.effects import (
    DialOutcome,
    NodeState,
)
from discoagent.core.entry import Entry, Kind
from discoagent.core.replica import Replica
from tests.core.cluster import Cluster
from tests.core.vocabulary import (
    UPDATED,
    A,
    B,
    entry,
    record,
)

E1, E2 = entry("1"), entry("2")
E1B = entry("1", b"v2")


class TestReading:
    """What is shown, and up to where."""

    def test_overlays(self, cluster: Cluster, a: Replica) -> None:
        """Suspect and restarting, while they last; never an event."""
        cluster.put("b", E1)
        events = len(cluster.events["a"])
        cluster.kill("b")

        def overlay() -> NodeState | None:
            (shown,) = a.lookup(Kind.SERVICE)
            (found,) = a.find(Kind.SERVICE, "1")
            assert found == shown
            return shown.overlay

        assert overlay() is None

        cluster.wait(3)

        assert overlay() is NodeState.SUSPECT
        assert len(cluster.events["a"]) == events

    def test_positions(self, cluster: Cluster, a: Replica) -> None:
        """Where each node is shown; 0 in the midst of a handover, nothing of the hidden."""
        cluster.put("b", E1)

        assert (a.position("a"), a.position("b"), a.position("x")) == ((1, 1), (1, 2), None)
        assert a.vector() == {A: 1, B: 2}

        cluster.kill("b", DialOutcome.REFUSED)
        cluster.start("b", "a", incarnation=2, settled=False)

        assert a.position("b") == (2, 0)

        cluster.kill("b")
        cluster.wait(16)

        assert a.position("b") is None
        assert a.vector() == {A: 1}

    def test_presence_is_a_room_of_its_own(self, cluster: Cluster, alone: Replica) -> None:
        """A topic is never among the services."""
        alice = Entry(Kind.PRESENCE, "room", "alice", b"", b"{}")
        cluster.put("a", alice, E1)

        assert alone.names(Kind.SERVICE) == ["web"]
        assert alone.names(Kind.PRESENCE) == ["room"]
        assert [it.entry for it in alone.lookup(Kind.PRESENCE)] == [alice]

    def test_members(self, cluster: Cluster, a: Replica) -> None:
        """Sorted, ourselves included, with what they say and show of themselves."""
        cluster.put("b", E1, E2)
        mine, other = a.members(cluster.now)

        assert (mine.replica, mine.endpoint, mine.heard, mine.instances) == (A, "a:1", 0.0, 0)
        assert (other.replica, other.endpoint, other.instances) == (B, "b:1", 2)
        assert other.record == record("b:1")
        assert 0.0 <= other.heard <= 1.25

    def test_settled(self, cluster: Cluster, a: Replica) -> None:
        """While any present life, our own included, may have more to come, we are not."""
        assert a.settled

        cluster.kill("b", DialOutcome.REFUSED)
        b = cluster.start("b", "a", incarnation=2, settled=False)
        assert (a.settled, b.settled) == (False, False)

        cluster.run("b", cluster.running["b"].settle(UPDATED, cluster.now))
        assert a.settled
        assert b.settled

    def test_who_is_down_keeps_nobody_unsettled(self, cluster: Cluster, a: Replica) -> None:
        """Nothing of it is shown."""
        cluster.kill("b", DialOutcome.REFUSED)
        cluster.start("b", "a", incarnation=2, settled=False)
        cluster.kill("b")
        cluster.wait(5)

        assert a.settled

    def test_names(self, alone: Replica) -> None:
        """What it is called, where it lives."""
        assert (alone.id, alone.cluster, alone.endpoint) == (A, "home", "a:1")
        assert alone.counters == {}

    def test_steps_since(self, cluster: Cluster, a: Replica) -> None:
        """What changed of a node since a position of this life; else it is not known."""
        cluster.put("b", E1)
        cluster.put("b", E1B)
        cluster.put("b", E2)

        told = [a.steps_since("b", (1, clock)) or [] for clock in (2, 3, 4)]
        assert [[event.clock for event in each] for each in told] == [[3, 4], [4], []]
        assert a.steps_since("b", (1, 5)) is None
        assert a.steps_since("b", (2, 2)) is None
        assert a.steps_since("b", (1, 0)) is None
        assert a.steps_since("x", (1, 1)) is None

        cluster.kill("b", DialOutcome.REFUSED)
        cluster.start("b", "a", incarnation=2, settled=False)

        assert a.steps_since("b", (2, 1)) is None

    def test_moved(self, cluster: Cluster, a: Replica) -> None:
        """Each that came, changed, began anew or went, once."""
        a.moved()
        assert a.moved() == set()

        cluster.put("b", E1)
        assert a.moved() == {"b"}

        cluster.kill("b", DialOutcome.REFUSED)
        cluster.start("b", "a", incarnation=2, settled=False)
        assert a.moved() == {"b"}

        cluster.wait(16)
        assert a.position("b") == (2, 1)
        assert a.moved() == {"b"}
