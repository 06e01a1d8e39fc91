"""The index of what is shown, and the events that tell of its changes."""

from dataclasses import replace

import pytest

from discoagent.core.effects import Event, EventKind
from discoagent.core.entry import UNKNOWN, Cause, Entry, Kind, ReplicaId
from discoagent.core.membership import member_entry
from discoagent.core.messages import Delta, Removal
from discoagent.core.node import Node
from discoagent.core.presence import Presence
from tests.core.vocabulary import (
    DEREGISTERED,
    EXITED,
    LEFT,
    OTHER_OWNER,
    REGISTERED,
    UPDATED,
    A,
    B,
    entry,
    member,
    record,
    snapshot,
)

E1, E2 = entry("1"), entry("2")
E1B = entry("1", b"v2")
DB1 = entry("1", name="db")
TOPIC = Entry(Kind.PRESENCE, "room", "alice", b"", b"{}")


@pytest.fixture
def presence() -> Presence:
    """Return an empty index."""
    return Presence()


def node(presence: Presence, *entries: Entry, of: ReplicaId = A) -> Node:
    """Let a node be shown with these entries: dots from 2 on, for its record is first."""
    made = presence.add(of)
    join(presence, made, snapshot(of, *entries))
    return made


def join(presence: Presence, made: Node, *deltas: Delta) -> list[Event]:
    """Join deltas, as they would come in one message."""
    segments = [segment for delta in deltas for segment in made.chain.join(delta) or []]
    events = presence.applied(made, segments)
    presence.check()
    return events


def event(kind: str, it: Entry | None, before: Entry | None, why: Cause, clock: int = 0) -> Event:
    """Return an event of a's."""
    return Event(EventKind(kind), "a", it, before, why, clock)


class TestReading:
    """Lookup and find."""

    def test_in_order(self, presence: Presence) -> None:
        """By name, id and node, whatever order they came in."""
        node(presence, E2, E1, of=B)
        node(presence, TOPIC, E1, DB1, of=A)

        assert presence.groups(Kind.SERVICE) == ["db", "web"]
        assert presence.groups(Kind.PRESENCE) == ["room"]
        assert presence.lookup(Kind.SERVICE, (), None) == [
            (DB1.id, "a", DB1),
            (E1.id, "a", E1),
            (E1.id, "b", E1),
            (E2.id, "b", E2),
        ]
        assert presence.lookup(Kind.SERVICE, ["web", "web", "x"], "b") == [
            (E1.id, "b", E1),
            (E2.id, "b", E2),
        ]
        assert presence.lookup(Kind.PRESENCE, (), None) == [(TOPIC.id, "a", TOPIC)]

    def test_by_key(self, presence: Presence) -> None:
        """On one node, or on any."""
        node(presence, E1, of=B)
        node(presence, E1, E2, of=A)

        assert presence.find(E1.key, None) == [("a", E1), ("b", E1)]
        assert presence.find(E1.key, "b") == [("b", E1)]
        assert presence.find(E2.key, "b") == []
        assert presence.find(entry(name="x").key, None) == []


class TestOwnSteps:
    """What our own agent does."""

    def test_each_is_an_event(self, presence: Presence) -> None:
        """With the clock of its step; the record is none of it."""
        me = presence.add(A)

        def put(it: Entry, why: Cause) -> list[Event]:
            return presence.stepped(me, me.chain.put(it, why), it, why)

        def take(it: Entry, why: Cause) -> list[Event]:
            return presence.stepped(me, me.chain.withdraw(it.key, why), None, why)

        assert put(member(), REGISTERED) == []
        assert put(E1, REGISTERED) == [event("added", E1, None, REGISTERED, 2)]
        assert put(E1B, UPDATED) == [event("updated", E1B, E1, UPDATED, 3)]
        assert take(E1, DEREGISTERED) == [event("removed", None, E1B, DEREGISTERED, 4)]
        assert presence.groups(Kind.SERVICE) == []
        assert take(member(), LEFT) == []


class TestJoins:
    """What others do."""

    def test_steps_come_in_the_owner_s_order(self, presence: Presence) -> None:
        """Each with the clock up to which just the node's steps are shown."""
        made = node(presence, E1, DB1)
        steps = Delta(
            A,
            3,
            6,
            {4: (E2, REGISTERED), 6: (E1B, UPDATED)},
            {2: Removal(UPDATED, 6), 3: Removal(EXITED, 5)},
        )

        assert join(presence, made, steps) == [
            event("added", E2, None, REGISTERED, 4),
            event("removed", None, DB1, EXITED, 5),
            event("updated", E1B, E1, UPDATED, 6),
        ]

    def test_an_end_and_a_new_beginning_are_two(self, presence: Presence) -> None:
        """Where the delta says that it ended, and its key was registered anew."""
        made = node(presence, E1)
        steps = Delta(A, 2, 4, {4: (E1, REGISTERED)}, {2: Removal(EXITED, 3)})

        assert join(presence, made, steps) == [
            event("removed", None, E1, EXITED, 3),
            event("added", E1, None, REGISTERED, 4),
        ]

    @pytest.mark.parametrize("word", ["deregistered", "lease-expired", "exit", "exit:7"])
    def test_these_causes_are_ends(self, presence: Presence, word: str) -> None:
        """Even where their step is not known."""
        made = node(presence, E1)
        why = Cause(word, b"", 0)
        steps = Delta(A, 2, 4, {4: (E1B, None)}, {2: Removal(why, 0)})

        assert join(presence, made, steps) == [
            event("removed", None, E1, why),
            event("added", E1B, None, UNKNOWN),
        ]

    def test_what_changes_nothing_is_no_event(self, presence: Presence) -> None:
        """The same again under another dot."""
        made = node(presence, E1)

        assert join(presence, made, Delta(A, 2, 3, {3: (E1, None)}, {})) == []

    def test_what_went_unnamed(self, presence: Presence) -> None:
        """Nobody knows why, nor at which step: no clock is told."""
        made = node(presence, E1)

        assert join(presence, made, Delta(A, 1, 3, {3: (E2, REGISTERED)}, {})) == [
            event("added", E2, None, REGISTERED),
            event("removed", None, E1, UNKNOWN),
        ]

    def test_while_hidden(self, presence: Presence) -> None:
        """Nothing is shown, so nothing changes; later it is shown as it is then."""
        made = node(presence, E1)
        presence.hide(made, LEFT)

        assert join(presence, made, Delta(A, 2, 3, {3: (E2, REGISTERED)}, {})) == []
        assert presence.show(made, REGISTERED) == [
            event("added", E1, None, REGISTERED),
            event("added", E2, None, REGISTERED),
        ]


class TestHandover:
    """From one life to the next."""

    def begun(self, presence: Presence, *entries: Entry) -> Node:
        """Return a node whose next life began, and said no more than that it is not settled."""
        made = node(presence, *entries)
        made.begin(ReplicaId("a", 2), 100.0, 15.0)
        join(presence, made, self.says(0, 1, {1: member(settled=False)}))
        return made

    def says(self, since: int, until: int, entries: dict[int, Entry]) -> Delta:
        """Return a delta of the second life."""
        named = {dot: (it, REGISTERED) for dot, it in entries.items()}
        return Delta(ReplicaId("a", 2), since, until, named, {})

    def test_the_same_again_is_no_event(self, presence: Presence) -> None:
        """And when it is settled there is nothing left to hold."""
        made = self.begun(presence, E1)

        assert join(presence, made, self.says(1, 2, {2: E1})) == []
        assert join(presence, made, self.says(2, 3, {3: member()})) == []
        assert (made.held, made.handed_over) == (None, None)

    @pytest.mark.parametrize(("owner", "word"), [(E1.owner, "updated"), (OTHER_OWNER, "replaced")])
    def test_something_else_is_an_update(self, presence: Presence, owner: bytes, word: str) -> None:
        """Replaced, if another process owns it by now; no clock, for it is no step alone."""
        made = self.begun(presence, E1)
        again = replace(E1B, owner=owner)

        assert join(presence, made, self.says(1, 2, {2: again})) == [
            event("updated", again, E1, REGISTERED._replace(word=word))
        ]

    @pytest.mark.parametrize("word", ["reload", "check", "maint", "drained", "updated"])
    def test_what_changed_it_meanwhile(self, presence: Presence, word: str) -> None:
        """Is told as it is; but another owner is another owner, whatever came after it."""
        why = REGISTERED._replace(word=word)

        for owner, told in [(E1.owner, word), (OTHER_OWNER, "replaced")]:
            made = self.begun(presence, E1)
            again = replace(E1B, owner=owner)
            delta = Delta(ReplicaId("a", 2), 1, 2, {2: (again, why)}, {})

            assert join(presence, made, delta) == [
                event("updated", again, E1, why._replace(word=told))
            ]
            presence.hide(made, UNKNOWN)
            presence.drop(made)

    def test_a_cause_that_is_not_known(self, presence: Presence) -> None:
        """Learned by a scan."""
        made = self.begun(presence, E1)
        delta = Delta(ReplicaId("a", 2), 1, 2, {2: (E1B, None)}, {})

        assert join(presence, made, delta) == [event("updated", E1B, E1, Cause("updated", b"", 0))]

    def test_what_is_not_said_again_ends_with_its_reason(self, presence: Presence) -> None:
        """Told by the record of the life that settled; what it does not tell of is unknown."""
        made = self.begun(presence, E1, E2, DB1)
        told = replace(record(), ended={E1.key: EXITED})
        settled = self.says(1, 3, {2: DB1, 3: member_entry(told)})

        assert join(presence, made, settled) == [
            event("removed", None, E1, EXITED),
            event("removed", None, E2, UNKNOWN),
        ]
        assert presence.groups(Kind.SERVICE) == ["db"]

    def test_another_boot_of_the_host_ends_it_at_once(self, presence: Presence) -> None:
        """What ran before cannot have outlived it; what is said again is no event all the same."""
        made = presence.add(A)
        former = {1: (member(boot="x"), REGISTERED), 2: (E1, REGISTERED), 3: (E2, REGISTERED)}
        join(presence, made, Delta(A, 0, 3, former, {}))
        made.begin(ReplicaId("a", 2), 100.0, 15.0)
        rebooted = self.says(0, 2, {1: member(settled=False, boot="y"), 2: E2})

        assert join(presence, made, rebooted) == [event("removed", None, E1, UNKNOWN)]
        assert made.held is None

    def test_the_grace_ends(self, presence: Presence) -> None:
        """Of a life of which nothing is known yet, too."""
        made = node(presence, E1)
        made.begin(ReplicaId("a", 2), 100.0, 15.0)

        assert presence.end_held(made, UNKNOWN) == [event("removed", None, E1, UNKNOWN)]
        assert presence.end_held(made, UNKNOWN) == []
        presence.check()


def test_down_and_back(presence: Presence) -> None:
    """All of it goes, in order, and comes back, in order."""
    made = node(presence, E2, E1, DB1)

    gone = presence.hide(made, LEFT)

    assert gone == [event("removed", None, it, LEFT) for it in (DB1, E1, E2)]
    assert presence.hide(made, LEFT) == []
    assert presence.show(made, REGISTERED) == [
        event("added", it, None, REGISTERED) for it in (DB1, E1, E2)
    ]


def test_two_nodes_of_one_service(presence: Presence) -> None:
    """The service is there as long as one of them shows it."""
    one, two = node(presence, E1, of=A), node(presence, E1, of=B)
    presence.hide(one, LEFT)

    assert presence.groups(Kind.SERVICE) == ["web"]

    presence.hide(two, LEFT)

    assert presence.groups(Kind.SERVICE) == []

    presence.drop(two)
    presence.check()


def test_who_is_shown_is_not_dropped(presence: Presence) -> None:
    """Its entries would stay for ever."""
    with pytest.raises(AssertionError):
        presence.drop(node(presence, E1))


def test_an_index_that_is_wrong_is_noticed(presence: Presence) -> None:
    """By the check that tests and the simulator call."""
    made = node(presence, E1)
    made.hidden = True

    with pytest.raises(AssertionError):
        presence.check()
