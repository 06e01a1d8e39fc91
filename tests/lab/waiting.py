"""Waiting for what has no event: look again and again, with one deadline."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
DEADLINE = 30.0  # seconds that anything may take before the test fails
LOOK_SECONDS = 0.02

_never = threading.Event()


def until(look: Callable[[], T], what: str, within: float = DEADLINE) -> T:
    """Return what `look` sees as soon as it is true; fails with `what` after `within` seconds."""
    end = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {within:g} s for {what}; now: {seen!r}")
        _never.wait(LOOK_SECONDS)
    return seen
