"""Waiting for what has no event: look again and again, with one deadline."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
DEADLINE = 30.0  # seconds that anything may take before the test fails
LOOK_SECONDS = 0.02

_never = threading.Event()


def watched(look: Callable[[], T], seconds: float) -> T:
    """Return what `look` sees as soon as it is true; after `seconds`, whatever it sees."""
    end = time.monotonic() + seconds
    while not (seen := look()) and time.monotonic() < end:
        _never.wait(LOOK_SECONDS)
    return seen


def until(look: Callable[[], T], what: str, within: float = DEADLINE) -> T:
    """Return what `look` sees as soon as it is true; fails with `what` after `within` seconds."""
    seen = watched(look, within)
    assert seen, f"waited {within:g} s for {what}"
    return seen
