"""Evidence that is looked for: whom a silent peer makes us dial, and whom we ask about it."""

import itertools

import pytest

from discoagent.core import detector as detector_module
from discoagent.core.detector import (
    DIAL_TIMEOUT,
    LOST_DIAL_INTERVAL,
    LOST_DIALS_PER_SECOND,
    MUTE_DIAL_INTERVAL,
    QUESTION_LIFE,
    Detector,
)
from discoagent.core.effects import (
    Dial,
    DialOutcome,
    Effect,
    NodeState,
    Redial,
    Send,
)
from discoagent.core.entry import ReplicaId
from discoagent.core.membership import Membership
from discoagent.core.messages import Heartbeat, Probe
from discoagent.core.peer import NEVER, Asked, Peer
from tests.core.vocabulary import B, C, D, entry, forget, meet

E1 = entry("1")
OPEN, REFUSED, MUTE, SILENT = DialOutcome


def refuses(detector: Detector, at: float, outcome: DialOutcome = REFUSED) -> list[Effect]:
    """Let b be dialled, and the dial show this."""
    assert detector.link_down("b:1", at) == [Dial("b:1")]
    back, effects = detector.dialled("b:1", outcome, at)
    assert not back
    return effects


class TestDials:
    """Plain connects beside the links."""

    def test_of_who_is_silent(self, detector: Detector, b: Peer) -> None:
        """Now and again, one at a time."""

        def dials(at: float) -> bool:
            return Dial("b:1") in detector.tick(at)

        assert [dials(at) for at in (11.0, 11.75, 12.0, 12.25)] == [False, True, False, False]

        detector.dialled("b:1", SILENT, 12.4)

        assert [dials(at) for at in (12.5, 12.75)] == [True, False]
        assert not dials(13.75)  # nothing came of the last one yet

    def test_a_dial_that_is_never_told_of_is_given_up(self, detector: Detector, b: Peer) -> None:
        """The next one goes."""
        assert detector.link_down("b:1", 11.0) == [Dial("b:1")]
        assert detector.link_down("b:1", 11.0 + DIAL_TIMEOUT - 0.1) == []
        assert detector.link_down("b:1", 11.0 + DIAL_TIMEOUT) == [Dial("b:1")]

    def test_a_mute_one_is_spared(self, detector: Detector, b: Peer) -> None:
        """Each dial takes a place in its accept queue."""
        refuses(detector, 11.6, MUTE)

        assert Dial("b:1") not in detector.tick(11.6 + MUTE_DIAL_INTERVAL - 0.1)
        assert Dial("b:1") in detector.tick(11.6 + MUTE_DIAL_INTERVAL)

    def test_who_is_heard_by_others_is_linked_anew(self, detector: Detector, b: Peer) -> None:
        """The old connections may be deaf; where that is of no use, less and less often."""

        def tick(at: float) -> bool:
            b.told = at
            return Redial("b:1") in detector.tick(at)

        assert [tick(at) for at in (12.5, 12.75, 13.0, 17.5, 17.75)] == [
            False,
            True,
            False,
            False,
            True,
        ]
        assert not any(tick(at) for at in (22.5, 25.0, 27.5))
        assert tick(27.75)

    def test_a_slow_link_is_not_deaf(self, detector: Detector, b: Peer) -> None:
        """Others are always quicker to tell of a beat: it is no sign, but the link works."""

        def tick(number: int, at: float) -> bool:
            b.beat, b.told = number, at
            assert detector.beat(b, Heartbeat(0, 1, number, 0, 0, 0, 0), at) is None
            return Redial("b:1") in detector.tick(at)

        assert not any(tick(number, 11.0 + number) for number in range(1, 20))
        assert b.heard == 10.0
        assert not any(tick(19, at) for at in (30.5, 32.0))
        assert tick(19, 32.75)

    def test_of_an_endpoint_of_nobody(self, members: Membership, detector: Detector) -> None:
        """Or of one that is down, whose link has no business to be there."""
        assert detector.link_down("x:1", 10.0) == []
        assert detector.dialled("x:1", REFUSED, 10.0) == (False, [])

        members.hide(meet(members, B), NodeState.DOWN, members.cause("node-down"), "", 10.0)

        assert detector.link_down("b:1", 10.0) == []

    @staticmethod
    def lost(members: Membership, count: int) -> list[str]:
        """Let so many be down; return their endpoints."""
        peers = [meet(members, ReplicaId(f"n{number:02}", 1)) for number in range(count)]
        for peer in peers:
            members.hide(peer, NodeState.DOWN, members.cause("node-down"), "", 10.0)
        return [peer.endpoint for peer in peers]

    def test_who_is_down_is_dialled_for_ever(self, members: Membership, detector: Detector) -> None:
        """One that answers is greeted, one that refuses is not."""
        endpoints = self.lost(members, 2)

        assert detector.tick(10.25) == [Dial(it) for it in endpoints]
        assert detector.dialled("n00:1", OPEN, 10.6) == (True, [])
        assert detector.dialled("n01:1", REFUSED, 10.6) == (False, [])
        assert members.peers["n01"].state is NodeState.DOWN

    @pytest.mark.parametrize("count", [1, 5, LOST_DIALS_PER_SECOND])
    def test_the_lost_are_dialled_every_second(
        self, members: Membership, detector: Detector, count: int
    ) -> None:
        """Whether or not their former dials have shown anything yet."""
        endpoints = self.lost(members, count)
        dials: dict[str, list[float]] = {it: [10.0] for it in endpoints}
        for number in range(1, 200):
            at = 10.0 + 0.26 * number
            for dial in detector.tick(at):
                assert isinstance(dial, Dial)
                dials[dial.endpoint].append(at)

        pauses = [b - a for it in dials.values() for a, b in itertools.pairwise(it[1:])]
        assert min(pauses) >= LOST_DIAL_INTERVAL
        assert max(pauses) <= 1.1

    def test_so_many_lost_are_dialled_in_turn(
        self, members: Membership, detector: Detector
    ) -> None:
        """However often there is a tick."""
        endpoints = self.lost(members, 5 * LOST_DIALS_PER_SECOND)
        detector.tick(10.0)
        dials = [dial for number in range(1, 600) for dial in detector.tick(10.0 + number / 100)]

        assert len(dials) == pytest.approx(6 * LOST_DIALS_PER_SECOND, abs=1)
        assert {dial.endpoint for dial in dials if isinstance(dial, Dial)} == set(endpoints)

    def test_a_mute_one_that_is_lost_is_spared(
        self, members: Membership, detector: Detector
    ) -> None:
        """As long as it is mute."""
        (endpoint,) = self.lost(members, 1)
        assert detector.tick(10.25) == [Dial(endpoint)]
        detector.dialled(endpoint, MUTE, 11.0)

        assert detector.tick(11.5) == []
        assert detector.tick(12.25) == [Dial(endpoint)]
        detector.dialled(endpoint, SILENT, 12.75)
        assert detector.tick(13.25) == [Dial(endpoint)]

    def test_an_answer_of_one_who_is_present_is_nothing_new(
        self, detector: Detector, b: Peer
    ) -> None:
        """Its heartbeats tell."""
        detector.link_down("b:1", 10.0)

        assert detector.dialled("b:1", OPEN, 10.1) == (False, [])
        assert b.dialling == -float("inf")

    def test_not_of_one_whose_place_is_taken(
        self, members: Membership, detector: Detector, b: Peer
    ) -> None:
        """A host that was renamed."""
        members.hide(b, NodeState.DOWN, members.cause("node-down"), "", 10.0)
        members.learn(C, "b:1", 0.0, 10.0, direct=True)

        assert detector.tick(10.25) == []


class TestProbes:
    """Questions to those that are heard, about those that are not."""

    def silent(self, members: Membership, *heard: ReplicaId) -> None:
        """Let b be silent, and these be heard."""
        members.learn(B, "b:1", 0.0, 10.0, direct=True)
        for replica in heard:
            members.learn(replica, f"{replica.node}:1", 0.0, 12.0, direct=True)

    def probes(self, detector: Detector, at: float) -> list[Send]:
        """Return what is asked at a tick."""
        return [it for it in detector.tick(at) if isinstance(it, Send)]

    def test_nobody_is_silent(self, members: Membership, detector: Detector) -> None:
        """Nobody is asked."""
        self.silent(members)

        assert self.probes(detector, 11.5) == []

    def test_each_half_a_second(self, members: Membership, detector: Detector) -> None:
        """As long as it is silent; it is asked as well: its heartbeats alone may be lost."""
        self.silent(members, C)

        assert self.probes(detector, 12.0) == [
            Send(("c:1",), Probe(1, ("b",))),
            Send(("b:1",), Probe(2, ())),
        ]
        assert self.probes(detector, 12.25) == []
        assert self.probes(detector, 12.5) == [
            Send(("c:1",), Probe(3, ("b",))),
            Send(("b:1",), Probe(4, ())),
        ]

    def test_three_in_rotation(self, members: Membership, detector: Detector) -> None:
        """Everybody's turn comes."""
        others = [ReplicaId(f"n{number}", 1) for number in range(5)]
        self.silent(members, *others)

        turns = [[it.endpoints[0] for it in self.probes(detector, at)] for at in (12.0, 12.5, 13.0)]

        assert turns == [
            ["n3:1", "n4:1", "n0:1", "b:1"],
            ["n1:1", "n2:1", "n3:1", "b:1"],
            ["n4:1", "n0:1", "n1:1", "b:1"],
        ]

    def test_not_of_those_that_are_silent_themselves(
        self, members: Membership, detector: Detector
    ) -> None:
        """Nor about more than a message holds."""
        self.silent(members)
        members.learn(D, "d:1", 0.0, 10.0, direct=True)

        assert [it.message for it in self.probes(detector, 12.0)] == [Probe(1, ()), Probe(2, ())]

    def test_so_many_names_at_most(
        self, members: Membership, detector: Detector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When half of a large cluster vanishes."""
        monkeypatch.setattr(detector_module, "PROBED_MAX", 1)
        self.silent(members, C)
        members.learn(D, "d:1", 0.0, 10.0, direct=True)

        assert self.probes(detector, 12.0)[0] == Send(("c:1",), Probe(1, ("b",)))

    def test_who_has_gone_is_not_asked(self, members: Membership, detector: Detector) -> None:
        """It said that it stops, or its port refused since it was heard."""
        self.silent(members, C)
        b = members.peers["b"]
        refuses(detector, 11.5, REFUSED)
        assert [it.endpoints for it in self.probes(detector, 12.0)] == [("c:1",)]
        members.peers["c"].heard, b.refused = 12.0, NEVER
        assert [it.endpoints for it in self.probes(detector, 12.5)] == [("c:1",), ("b:1",)]
        detector.farewell(b, 12.6)
        assert [it.endpoints for it in self.probes(detector, 13.0)] == [("c:1",)]

    def test_an_answer_is_a_sign_of_the_answerer(
        self, members: Membership, detector: Detector
    ) -> None:
        """As of the question; once."""
        self.silent(members, C)
        self.probes(detector, 13.0)
        c = members.peers["c"]

        assert detector.answered(1, C, 13.4) == Asked(1, 13.0, 0.0, "c")
        assert (c.answered, c.sign) == (13.0, 13.0)
        assert detector.answered(1, C, 13.4) is None
        assert members.counters == {"probe-unasked": 1}

    def test_of_one_that_is_alive_and_still_known(
        self, members: Membership, detector: Detector
    ) -> None:
        """No answer to a question of before our pause; nor of one that is suspect, or forgotten."""
        self.silent(members, C)
        c = members.peers["c"]
        self.probes(detector, 13.0)
        detector.paused(13.1)
        answered = c.answered

        assert detector.answered(1, C, 13.4) is not None
        assert c.answered == answered

        self.silent(members)
        members.peers["b"].heard = 10.0
        probe = self.probes(detector, 13.5)[0]
        members.hide(c, NodeState.DOWN, members.cause("node-down"), "", 13.6)
        forget(members, c)

        assert isinstance(probe.message, Probe)
        assert detector.answered(probe.message.number, C, 13.7) is not None

    def test_by_another_than_was_asked(self, members: Membership, detector: Detector) -> None:
        """Is counted."""
        self.silent(members, C)
        self.probes(detector, 12.0)

        assert detector.answered(1, B, 12.1) is None
        assert members.counters == {"probe-unasked": 1}

    def test_a_question_has_its_time(self, members: Membership, detector: Detector) -> None:
        """A later answer is nobody's: questions do not pile up."""
        self.silent(members, C)
        self.probes(detector, 12.0)
        members.learn(C, "c:1", 0.0, 17.5, direct=True)
        members.learn(D, "d:1", 0.0, 15.9, direct=True)

        assert self.probes(detector, 12.0 + QUESTION_LIFE + 0.5) != []
        assert detector.answered(1, C, 17.6) is None

    def test_what_is_answered(self, members: Membership, detector: Detector) -> None:
        """Of those whom we hold present."""
        self.silent(members, C)
        members.hide(members.peers["c"], NodeState.DOWN, members.cause("node-down"), "", 13.0)

        assert [it.replica for it in detector.asked(("b", "c", "x"), 13.0)] == [B]
