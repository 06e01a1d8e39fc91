"""What the core's tests share: a cluster in one process, checked when a test is done with it."""

from collections.abc import Iterator

import pytest

from tests.core.cluster import Cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Return an empty cluster; its invariants hold after every test."""
    made = Cluster()
    yield made
    made.check()
