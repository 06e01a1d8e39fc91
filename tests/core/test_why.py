"""What a state is founded on, as operators are told: who heard what, when, by which path."""

from collections.abc import Callable

import pytest

from discoagent.core import evidence as evidence_module
from discoagent.core.detector import Detector
from discoagent.core.effects import DialOutcome, NodeState
from discoagent.core.entry import ReplicaId
from discoagent.core.evidence import Case, Evidence, Witness
from discoagent.core.membership import Membership
from discoagent.core.messages import Acquaintance, Heartbeat, Standing
from discoagent.core.peer import Asked, Peer
from discoagent.core.prospects import case_of
from discoagent.core.timing import TICK
from tests.core.vocabulary import B, C, forget, meet

REFUSED, MUTE, SILENT = DialOutcome.REFUSED, DialOutcome.MUTE, DialOutcome.SILENT


def case(members: Membership, detector: Detector, now: float, node: str = "b") -> Case:
    """Return what is known of a node, b."""
    found = case_of(members, detector.guard, node, now)
    assert found is not None
    return found


def evidence(members: Membership, detector: Detector, now: float) -> Evidence:
    """Return the present evidence on b."""
    found = case(members, detector, now).evidence
    assert found is not None
    return found


def dial(detector: Detector, outcome: DialOutcome, at: float) -> None:
    """Let b be dialled, and the dial show this."""
    detector.link_down("b:1", at)
    detector.dialled("b:1", outcome, at)


class TestEvidence:
    """Each path by which something is known."""

    def test_its_own_word(self, members: Membership, detector: Detector, b: Peer) -> None:
        """A heartbeat, by the shell's clock: what we slept through counts here."""
        members.real = 512.0
        detector.beat(b, Heartbeat(0, 1, 7, 0, 0, 0, 0), 12.0)
        members.real = 515.5
        found = evidence(members, detector, 13.0)

        assert (found.silence, found.beat, found.spoke) == (1.0, 7, 3.5)
        assert (found.told, found.answered, found.dialled, found.refused) == (None,) * 4

    def test_what_another_heard(self, members: Membership, detector: Detector, b: Peer) -> None:
        """Its name, and when it heard it; counted from our question."""
        members.real = 514.0
        told = Acquaintance(B, "b:1", 2, Standing.ALIVE, 500, 9)
        detector.told(b, told, Asked(1, 12.0, 512.0, "c"), "c", 12.3)
        found = evidence(members, detector, 14.0)

        assert (found.teller, found.told, found.beat, found.silence) == ("c", 2.5, 9, 2.5)

    def test_what_witnesses_said(self, members: Membership, detector: Detector, b: Peer) -> None:
        """Those that were asked since the last sign of life, whatever they knew."""
        for teller, at, refused in (("c", 9.0, -1), ("d", 12.0, -1), ("e", 13.0, 500)):
            told = Acquaintance(B, "b:1", 2, Standing.SUSPECT, 3_000, 0, refused)
            detector.told(b, told, Asked(1, at, at, teller), teller, at + 0.1)

        assert evidence(members, detector, 14.0).witnesses == (
            Witness("d", 2.0, 0, 5.0, None),
            Witness("e", 1.0, 0, 4.0, 1.5),
        )

    def test_its_answer(self, members: Membership, detector: Detector, b: Peer) -> None:
        """To a question of ours, as of which it lived."""
        b.answered = 12.0

        assert evidence(members, detector, 13.0).answered == 1.0

    @pytest.mark.parametrize("outcome", [REFUSED, MUTE])
    def test_its_port(
        self, members: Membership, detector: Detector, b: Peer, outcome: DialOutcome
    ) -> None:
        """What dialling shows, and whether that is later than its last sign of life."""
        members.real = 511.0
        dial(detector, outcome, 11.0)
        members.real = 512.0
        found = evidence(members, detector, 12.0)
        assert (found.port, found.dialled, found.refused, found.refuser) == (outcome, 1, 1, "")

        detector.beat(b, Heartbeat(0, 1, 7, 0, 0, 0, 0), 12.5)
        assert evidence(members, detector, 13.0).refused is None

    def test_who_saw_it_refuse(self, members: Membership, detector: Detector, b: Peer) -> None:
        """Another that dialled it."""
        told = Acquaintance(B, "b:1", 2, Standing.RESTARTING, 3_000, 0, 500)
        detector.told(b, told, Asked(1, 12.0, 12.0, "c"), "c", 12.3)
        found = evidence(members, detector, 12.5)

        assert (found.refused, found.refuser) == (1.0, "c")

    def test_its_farewell(self, members: Membership, detector: Detector, b: Peer) -> None:
        """It said that it stops."""
        detector.farewell(b, 11.0)

        assert evidence(members, detector, 12.0).farewell

    def test_most_are_silent(self, members: Membership, detector: Detector, b: Peer) -> None:
        """So that we may be cut off."""
        for number in range(4):
            meet(members, ReplicaId(f"n{number}", 1))
        detector.tick(12.5)
        found = evidence(members, detector, 12.5)

        assert (found.silent, found.present) == (5, 5)

    def test_of_another_life(self, members: Membership, detector: Detector, b: Peer) -> None:
        """Nothing that was known of the former one is told of it."""
        dial(detector, REFUSED, 11.0)
        members.learn(ReplicaId("b", 2), "b:1", 0.0, 12.0, direct=True)
        found = evidence(members, detector, 12.0)

        assert (found.beat, found.port, found.refused, found.teller) == (0, None, None, "")


class TestChanges:
    """Each with the evidence of its time."""

    def test_in_order(self, members: Membership, detector: Detector, b: Peer) -> None:
        """Also of one that was forgotten."""
        members.real = 12.5
        detector.tick(12.5)
        members.real = 14.5
        detector.tick(14.5)
        forget(members, b)
        found = case(members, detector, 21.0)

        assert (found.state, found.evidence, found.due) == (NodeState.FORGOTTEN, None, None)
        assert [(it.at, it.before, it.after) for it in found.changes] == [
            (0.0, None, NodeState.ALIVE),
            (12.5, NodeState.ALIVE, NodeState.SUSPECT),
            (14.5, NodeState.SUSPECT, NodeState.DOWN),
            (14.5, NodeState.DOWN, NodeState.FORGOTTEN),
        ]
        assert [it.evidence.silence for it in found.changes[1:3]] == [2.5, 4.5]

    def test_nobody_that_was_ever_known(self, members: Membership, detector: Detector) -> None:
        """Has none."""
        assert case_of(members, detector.guard, "x", 10.0) is None

    def test_the_last_ones(self, members: Membership, detector: Detector, b: Peer) -> None:
        """A few of each node; fewer in a large cluster."""
        for number in range(20):
            members.set_state(b, NodeState.SUSPECT, f"{number}", 11.0)
            members.set_state(b, NodeState.ALIVE, f"{number}", 11.0)

        changes = case(members, detector, 12.0).changes
        assert [it.reason for it in changes] == [f"{number // 2}" for number in range(8, 40)]

    def test_in_a_large_cluster(
        self, members: Membership, b: Peer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All together are bounded."""
        monkeypatch.setattr(evidence_module, "CHANGES_MAX", 12)
        meet(members, C)
        for _ in range(5):
            members.set_state(b, NodeState.SUSPECT, "", 11.0)
            members.set_state(b, NodeState.ALIVE, "", 11.0)

        assert len(members.cases.of("b")) == 6

    def test_as_long_as_the_grave(
        self, members: Membership, b: Peer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Then nothing is known any more, unless it is back."""
        monkeypatch.setattr("discoagent.core.membership.GRAVES_MAX", 1)
        forget(members, b)
        assert members.cases.of("b")
        forget(members, meet(members, C))

        assert members.cases.of("b") == ()


def suspect(members: Membership, detector: Detector) -> None:
    """Silence, and no more."""


def departing(members: Membership, detector: Detector) -> None:
    """It says that it restarts, and does not."""
    detector.farewell(members.peers["b"], 11.0)


def departed(members: Membership, detector: Detector) -> None:
    """It says so, refuses once, then its host is gone."""
    detector.farewell(members.peers["b"], 11.0)
    dial(detector, REFUSED, 11.5)


def gone(members: Membership, detector: Detector) -> None:
    """Its port refuses once, then its host is gone."""
    dial(detector, REFUSED, 11.5)


def hangs(members: Membership, detector: Detector) -> None:
    """It accepts and stays mute, and has done so for long."""
    for at in (12.0, 14.5, 17.0, 19.5, 22.0, 24.5):
        dial(detector, MUTE, at)


def cut_off(members: Membership, detector: Detector) -> None:
    """All are silent."""
    for number in range(4):
        meet(members, ReplicaId(f"n{number}", 1))


@pytest.mark.parametrize(
    ("trouble", "began"),
    [(suspect, 10), (departing, 11), (departed, 12), (gone, 12), (hangs, 23), (cut_off, 10)],
)
def test_when_the_next_verdict_falls(
    members: Membership,
    detector: Detector,
    b: Peer,
    trouble: Callable[[Membership, Detector], None],
    began: float,
) -> None:
    """It is told before, and falls then; and when a node that is down will be forgotten."""
    trouble(members, detector)
    now = began + 2.25
    detector.tick(now)
    due = case(members, detector, now).due
    assert due is not None
    assert due > 0
    end = now + due
    while b.state is not NodeState.DOWN:
        now += TICK
        detector.tick(now)

    assert end < now <= end + TICK
    assert case(members, detector, now).due == members.timing.forget_after


def test_nothing_is_due_of_one_that_is_alive(
    members: Membership, detector: Detector, b: Peer
) -> None:
    """Though it is silent by now."""
    assert case(members, detector, 11.0).due is None
