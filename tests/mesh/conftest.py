"""Every test here opens sockets: none may be left."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    """Fail a test after which more descriptors are open than before."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before
