"""Silence, evidence, verdicts: what is a sign of life, and what follows without one."""

from discoagent.core.detector import (
    TESTIMONIES_MAX,
    Detector,
    WitnessedClock,
)
from discoagent.core.effects import (
    Connect,
    Dial,
    DialOutcome,
    Disconnect,
    Effect,
    NodeState,
    Redial,
    Send,
    StateChanged,
)
from discoagent.core.entry import Cause, ReplicaId
from discoagent.core.membership import Membership
from discoagent.core.messages import Acquaintance, Heartbeat, Standing
from discoagent.core.peer import Asked, Peer
from discoagent.core.timing import TICK, Timing
from tests.core.vocabulary import B, added, entry, removed

E1 = entry("1")
OPEN, REFUSED, MUTE, SILENT = DialOutcome


def beat(number: int) -> Heartbeat:
    """Return a heartbeat, of which the detector reads the number alone."""
    return Heartbeat(0, 1, number, 0, 0, 0, 0)


def told(number: int, age: float, refused: float | None = None) -> Acquaintance:
    """Return what another knows of b: its last beat, heard so long ago, or that it refused."""
    refused_ms = -1 if refused is None else round(refused * 1000)
    return Acquaintance(B, "b:1", 2, Standing.ALIVE, round(age * 1000), number, refused_ms)


def asked(at: float) -> Asked:
    """Return a question that was put at that time."""
    return Asked(1, at, at, "c")


def changed(before: NodeState, after: NodeState, evidence: str, of: ReplicaId = B) -> StateChanged:
    """Return the effect that tells of a verdict."""
    return StateChanged(of, before, after, evidence)


def verdicts(effects: list[Effect]) -> list[Effect]:
    """Return the effects but questions and dials."""
    return [it for it in effects if not isinstance(it, Send | Dial | Redial)]


def refuses(detector: Detector, at: float, outcome: DialOutcome = REFUSED) -> list[Effect]:
    """Let b be dialled, and the dial show this."""
    assert detector.link_down("b:1", at) == [Dial("b:1")]
    back, effects = detector.dialled("b:1", outcome, at)
    assert not back
    return effects


def down(before: NodeState, evidence: str) -> list[Effect]:
    """Return the effects of b's end."""
    gone = removed("b", E1, Cause("node-down", b"", 0))
    return [gone, changed(before, NodeState.DOWN, evidence), Disconnect("b:1")]


class TestClock:
    """A clock that stands still while nobody looks."""

    def test_it_advances_by_two_ticks_at_most(self) -> None:
        """But says how long it really was."""
        clock = WitnessedClock(100.0)

        assert clock.witness(100.25) == 0.25
        assert clock.now == 100.25
        assert clock.witness(109.25) == 9.0
        assert clock.now == 100.25 + 2 * TICK
        assert clock.real == 109.25

    def test_it_never_goes_back(self) -> None:
        """Whatever the shell's clock does."""
        clock = WitnessedClock(100.0)

        assert clock.witness(99.0) == 0.0
        assert (clock.now, clock.real) == (100.0, 100.0)


class TestSigns:
    """A beat that was not known before, and nothing else."""

    def test_a_new_beat(self, members: Membership, detector: Detector, b: Peer) -> None:
        """The time is the witnessed clock's; what is told of it is real time."""
        members.real = 500.0

        assert detector.beat(b, beat(7), 12.0) == []
        assert (b.beat, b.heard, b.seen) == (7, 12.0, 500.0)

    def test_a_known_one(self, detector: Detector, b: Peer) -> None:
        """Or an older one: late, and no sign."""
        detector.beat(b, beat(7), 12.0)

        assert detector.beat(b, beat(7), 13.0) is None
        assert detector.beat(b, beat(6), 13.0) is None
        assert b.heard == 12.0

    def test_after_a_farewell(self, detector: Detector, b: Peer) -> None:
        """What of that life still arrives is late."""
        detector.farewell(b, 11.0)

        assert detector.beat(b, beat(7), 11.1) is None
        assert b.state is NodeState.RESTARTING

    def test_of_one_who_left(self, members: Membership, detector: Detector, b: Peer) -> None:
        """Nothing revives it, neither heard nor told."""
        members.leave(b, members.cause("node-left"), 11.0)

        assert detector.beat(b, beat(7), 11.1) is None
        assert detector.told(b, told(8, 0.1), asked(11.0), "c", 11.1) == []
        assert b.state is NodeState.LEFT

    def test_it_ends_a_suspicion(self, detector: Detector, b: Peer) -> None:
        """At once, not at the next tick."""
        detector.tick(12.5)

        assert detector.beat(b, beat(1), 12.6) == [
            changed(NodeState.SUSPECT, NodeState.ALIVE, "heard again")
        ]

    def test_it_brings_back_who_was_down(self, detector: Detector, b: Peer) -> None:
        """Its entries come back, for they were there all the time."""
        detector.tick(14.5)

        assert detector.beat(b, beat(1), 15.0) == [
            Connect("b:1"),
            added("b", E1, Cause("node-returned", b"", 0)),
            changed(NodeState.DOWN, NodeState.ALIVE, "its heartbeat came"),
        ]

    def test_what_is_told_counts_from_the_question(
        self, members: Membership, detector: Detector, b: Peer
    ) -> None:
        """Not from the answer, or a dead host would live as long as it is talked about."""
        detector.tick(12.5)
        members.real = 13.5

        effects = detector.told(b, told(1, 1.0), asked(12.5), "c", 13.4)

        assert effects == [changed(NodeState.SUSPECT, NodeState.ALIVE, "heard again")]
        assert (b.told, b.seen, b.beat) == (11.5, 11.5, 1)

    def test_what_is_told_of_a_known_beat_is_no_sign(self, detector: Detector, b: Peer) -> None:
        """However young it is said to be: that is how nothing can loop."""
        detector.beat(b, beat(5), 10.0)
        detector.tick(12.5)

        assert detector.told(b, told(5, 0.1), asked(12.5), "c", 12.6) == []
        assert (b.state, b.sign) == (NodeState.SUSPECT, 10.0)

    def test_an_old_word_brings_nobody_back(self, detector: Detector, b: Peer) -> None:
        """A beat that was not known, but heard too long ago; a young one does."""
        detector.tick(14.5)

        assert detector.told(b, told(1, 3.0), asked(14.5), "c", 14.6) == []
        assert b.state is NodeState.DOWN
        assert detector.told(b, told(2, 1.0), asked(14.5), "c", 14.6)[-1] == changed(
            NodeState.DOWN, NodeState.ALIVE, "c heard it 1.0 s before"
        )

    def test_testimony_is_bounded(self, detector: Detector, b: Peer) -> None:
        """A few tellers are remembered, the latest."""
        for number in range(TESTIMONIES_MAX + 2):
            detector.told(b, told(0, 1.0), asked(10.0), f"t{number}", 10.1)

        assert len(b.testimony) == TESTIMONIES_MAX
        assert "t0" not in b.testimony


class TestSilence:
    """Alive -> suspect -> down, and no further."""

    def test_verdicts(self, detector: Detector, b: Peer) -> None:
        """By the time since the last sign of life, direct or told."""
        assert verdicts(detector.tick(12.0)) == []
        assert verdicts(detector.tick(12.25)) == [
            changed(NodeState.ALIVE, NodeState.SUSPECT, "silent for 2.2 s")
        ]
        assert verdicts(detector.tick(14.0)) == []
        assert verdicts(detector.tick(14.25)) == down(
            NodeState.SUSPECT, "silent for 4.2 s, here and to all who were asked"
        )
        assert b.node.hidden

    def test_forgotten_at_last(self, members: Membership, detector: Detector, b: Peer) -> None:
        """Long after."""
        detector.tick(14.25)
        later = 14.25 + members.timing.forget_after

        assert members.peers == {"b": b}
        detector.tick(later)
        assert members.peers == {"b": b}
        assert detector.tick(later + 1) == [
            changed(NodeState.DOWN, NodeState.FORGOTTEN, "it was down for forget_after"),
            Disconnect("b:1"),
        ]
        assert members.peers == {}

    def test_our_own_pause_is_nobody_s_silence(self, detector: Detector, b: Peer) -> None:
        """Everybody's begins anew; testimony and dials from before it are void."""
        detector.link_down("b:1", 13.9)
        detector.paused(14.0)

        assert b.heard == 14.0
        assert verdicts(detector.tick(14.25)) == []
        assert detector.told(b, told(9, 0.1), asked(13.9), "c", 14.1) == []
        assert b.beat == 0
        assert detector.dialled("b:1", REFUSED, 14.1) == (False, [])
        assert b.state is NodeState.ALIVE
        assert detector.link_down("b:1", 14.2) == [Dial("b:1")]
        detector.paused(14.3)
        assert detector.link_down("b:1", 14.4) == [Dial("b:1")]


class TestGone:
    """An agent that is gone while its host lives: restarting, until it is too long."""

    def test_a_farewell(self, detector: Detector, b: Peer) -> None:
        """Its entries stay for the grace, whatever else is seen or not."""
        assert detector.farewell(b, 11.0) == [
            changed(NodeState.ALIVE, NodeState.RESTARTING, "it said that it restarts")
        ]
        assert verdicts(detector.tick(26.0)) == []
        assert verdicts(detector.tick(26.25)) == down(
            NodeState.RESTARTING, "it said that it restarts, and did not"
        )
        assert detector.farewell(b, 27.0) == []

    def test_without_grace(self, members: Membership, detector: Detector, b: Peer) -> None:
        """A farewell is an end then, and a refusal no more than silence, unless it is one."""
        members.timing = Timing(restart_grace=0)

        assert detector.farewell(b, 11.0) == down(
            NodeState.ALIVE, "it said that it stops, and restart_grace is 0"
        )

    def test_its_port_refuses(self, detector: Detector, b: Peer) -> None:
        """Each refusal holds until the next; the grace counts from the first one."""
        assert refuses(detector, 10.5) == [
            changed(NodeState.ALIVE, NodeState.RESTARTING, "its port refuses")
        ]
        for at in range(11, 25):
            assert refuses(detector, float(at)) == []
        assert verdicts(detector.tick(25.5)) == []
        assert verdicts(detector.tick(25.75)) == down(
            NodeState.RESTARTING, "its port refuses, silent for 15.8 s"
        )

    def test_then_nothing_answers(self, detector: Detector, b: Peer) -> None:
        """The host died after its agent: that long after the last refusal."""
        refuses(detector, 10.5)
        refuses(detector, 12.0)

        assert b.state is NodeState.RESTARTING
        assert refuses(detector, 15.0, SILENT) == []
        assert verdicts(detector.tick(16.0)) == []
        assert verdicts(detector.tick(16.25)) == down(
            NodeState.RESTARTING, "its port refused, then nothing answered: its host is gone"
        )

    def test_a_farewell_then_refusals_then_nothing(self, detector: Detector, b: Peer) -> None:
        """A host that is switched off: sooner than the whole grace."""
        detector.farewell(b, 11.0)
        refuses(detector, 11.5)

        assert b.state is NodeState.RESTARTING
        assert verdicts(detector.tick(15.5)) == []
        assert verdicts(detector.tick(15.75)) == down(
            NodeState.RESTARTING, "its port refused, then nothing answered: its host is gone"
        )

    def test_it_accepts_and_stays_mute(self, detector: Detector, b: Peer) -> None:
        """A stopped process: its kernel answers for it. Its grace counts from its silence."""
        assert refuses(detector, 11.0, MUTE) == [
            changed(NodeState.ALIVE, NodeState.RESTARTING, "its port accepts and stays mute")
        ]
        for at in (14.0, 17.0, 20.0, 23.0, 26.0):
            assert refuses(detector, at, MUTE) == []
        assert b.mute
        assert refuses(detector, 29.0, MUTE) == down(
            NodeState.RESTARTING, "its port accepts and stays mute, silent for 19.0 s"
        )

    def test_mute_without_grace_is_silence(
        self, members: Membership, detector: Detector, b: Peer
    ) -> None:
        """A process that is stopped for a moment is not gone."""
        members.timing = Timing(restart_grace=0)

        assert refuses(detector, 11.0, MUTE) == []
        assert b.state is NodeState.ALIVE

    def test_a_sign_of_life_is_later(self, detector: Detector, b: Peer) -> None:
        """Refusals of before it no longer count, and a later series begins anew."""
        refuses(detector, 10.5)

        assert detector.beat(b, beat(1), 11.0) == [
            changed(NodeState.RESTARTING, NodeState.ALIVE, "heard again")
        ]
        refuses(detector, 11.5)

        assert (b.gone, b.refused) == (11.5, 11.5)

    def test_others_tell_that_it_refused(self, detector: Detector, b: Peer) -> None:
        """Dated from our question; one of before its last sign of life is nothing."""
        assert detector.told(b, told(0, 2.0, refused=0.5), asked(12.0), "c", 12.2) == [
            changed(NodeState.ALIVE, NodeState.RESTARTING, "its port refuses")
        ]
        assert b.refused == 11.5
        assert detector.told(b, told(0, 2.0, refused=9.0), asked(12.0), "d", 12.2) == []
        assert b.refused == 11.5
