"""What the core's tests share, checked when a test is done with it: no test leaves nonsense."""

from collections.abc import Iterator

import pytest

from discoagent.core.detector import Detector
from discoagent.core.membership import Membership
from discoagent.core.peer import Peer
from discoagent.core.replica import Replica
from discoagent.core.timing import Timing
from tests.core.cluster import Cluster
from tests.core.vocabulary import A, B, entry, join, meet, record, snapshot


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Return an empty cluster; its invariants hold after every test."""
    made = Cluster()
    yield made
    made.check()


@pytest.fixture
def members() -> Iterator[Membership]:
    """Return the view of a, which knows nobody."""
    made = Membership(A, "home", "a:1", Timing())
    yield made
    made.check()


@pytest.fixture
def alone(cluster: Cluster) -> Replica:
    """Return a, which greets nobody."""
    return cluster.bare("a", record=record("a:1"))


@pytest.fixture
def a(cluster: Cluster) -> Replica:
    """Return a, which b knows and is known by."""
    a = cluster.start("a")
    cluster.start("b", "a")
    cluster.wait(1)
    cluster.said()
    return a


@pytest.fixture
def detector(members: Membership) -> Detector:
    """Return the detector of a."""
    return Detector(members)


@pytest.fixture
def b(members: Membership) -> Peer:
    """Return b, heard at 10, with an entry."""
    peer = meet(members, B)
    join(members, peer, snapshot(B, entry("1")))
    return peer
