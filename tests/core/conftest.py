"""What the core's tests share, checked when a test is done with it: no test leaves nonsense."""

from collections.abc import Iterator

import pytest

from discoagent.core.membership import Membership
from discoagent.core.timing import Timing
from tests.core.cluster import Cluster
from tests.core.vocabulary import A


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
