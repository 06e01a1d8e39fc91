"""Most others silent: the verdicts that wait, and until when."""

import pytest

from discoagent.core.detector import Detector
from discoagent.core.effects import Effect, NodeState, StateChanged
from discoagent.core.entry import ReplicaId
from discoagent.core.guard import Isolation
from discoagent.core.membership import Membership
from discoagent.core.messages import Heartbeat
from discoagent.core.peer import Peer
from discoagent.core.timing import Timing

ALIVE, SUSPECT, DOWN = NodeState.ALIVE, NodeState.SUSPECT, NodeState.DOWN
DOUBT = "; but so are most others: we may be cut off"


@pytest.fixture
def peers(members: Membership) -> list[Peer]:
    """Return five that were heard at 10."""
    for number in range(5):
        replica = ReplicaId(f"n{number}", 1)
        members.learn(replica, f"n{number}:1", 0.0, 10.0, direct=True)
    return list(members.peers.values())


def hear(peers: list[Peer], at: float) -> None:
    """Let these be heard."""
    for peer in peers:
        peer.heard = at


def changes(effects: list[Effect]) -> list[tuple[str, NodeState, str]]:
    """Return the verdicts of a tick."""
    return [
        (it.replica.node, it.after, it.evidence) for it in effects if isinstance(it, StateChanged)
    ]


def test_more_than_half(detector: Detector, peers: list[Peer]) -> None:
    """Three of five; two are not."""
    hear(peers[:3], 12.0)
    detector.tick(12.25)
    assert not detector.guard.isolated

    detector.tick(14.25)
    assert detector.guard.isolation(15.0) == Isolation(0.75, 5, 5, 5.0)


def test_a_verdict_waits(detector: Detector, peers: list[Peer]) -> None:
    """As long as the silence is no longer than both times together, and says so."""
    hear(peers[:1], 26.0)
    detector.tick(12.25)

    assert changes(detector.tick(14.25)) == []
    silent = "silent for 4.2 s, here and to all who were asked"
    assert [peer.evidence for peer in peers[1:]] == [silent + DOUBT] * 4
    assert changes(detector.tick(27.0)) == []
    assert [(node, state) for node, state, _ in changes(detector.tick(27.25))] == [
        (f"n{number}", DOWN) for number in (1, 2, 3, 4)
    ]
    detector.tick(27.5)
    assert not detector.guard.isolated


def test_nobody_is_too_young_to_wait(detector: Detector, peers: list[Peer]) -> None:
    """One whose end is due before it was even suspect is suspect now."""
    detector.tick(12.25)
    peers[0].state = ALIVE

    changed = changes(detector.tick(14.25))

    assert [(node, state) for node, state, _ in changed] == [("n0", SUSPECT)]


def test_the_rest_is_given_a_moment(detector: Detector, peers: list[Peer]) -> None:
    """Counted from when half were back."""
    detector.tick(12.25)
    hear(peers[:3], 20.0)

    assert [node for node, _, _ in changes(detector.tick(20.0))] == ["n0", "n1", "n2"]
    assert detector.guard.isolation(20.0) is None
    hear(peers[:3], 22.0)
    assert changes(detector.tick(21.75)) == []
    assert [node for node, _, _ in changes(detector.tick(22.0))] == ["n3", "n4"]


def test_no_moment_where_nobody_came_back(members: Membership, peers: list[Peer]) -> None:
    """Those that go down one by one leave the others fewer than half: that brings nobody back."""
    detector = Detector(members)
    hear(peers[3:], 10.5)
    detector.tick(12.75)

    assert [node for node, _, _ in changes(detector.tick(27.25))] == ["n0", "n1", "n2"]
    assert [node for node, _, _ in changes(detector.tick(27.5))] == ["n3", "n4"]


def test_too_few_are_left(members: Membership, detector: Detector, peers: list[Peer]) -> None:
    """Two of five leave: three are not four, and nobody waits."""
    detector.tick(12.25)
    for peer in peers[:2]:
        members.leave(peer, members.cause("node-left"), 13.0)

    assert [node for node, _, _ in changes(detector.tick(14.25))] == ["n2", "n3", "n4"]


def test_a_mute_port_is_dialled_less_often(detector: Detector, peers: list[Peer]) -> None:
    """It is given longer until its last answer counts for nothing."""
    for peer in peers[:3]:
        peer.mute, peer.refused = True, 11.0
    detector.tick(13.5)
    assert not detector.guard.isolated

    detector.tick(15.25)
    assert detector.guard.isolated


def test_off(members: Membership, peers: list[Peer]) -> None:
    """Without a grace there is no guard."""
    members.timing = Timing(isolation_grace=0.0)
    detector = Detector(members)
    detector.tick(12.25)

    assert not detector.guard.isolated
    assert len(changes(detector.tick(14.25))) == 5


def test_a_beat_counts_at_once(detector: Detector, peers: list[Peer]) -> None:
    """Though nobody has counted since."""
    detector.tick(12.25)
    detector.beat(peers[0], Heartbeat(0, 1, 1, 0, 0, 0, 0), 13.0)

    assert peers[0].state is ALIVE
