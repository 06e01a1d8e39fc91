"""Durations and the relations that must hold between them."""

from dataclasses import replace

import pytest

from discoagent.core.timing import Timing


def test_the_defaults_are_usable() -> None:
    """Nothing is to be said against them."""
    assert Timing().problems() == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"heartbeat_interval": 0.01}, "timing.heartbeat_interval must be at least 50ms"),
        ({"suspect_after": 1.9}, "timing.suspect_after must be at least 2 x"),
        ({"down_after": 3.9}, "timing.down_after must be at least timing.suspect_after +"),
        ({"restart_grace": 4.0}, "timing.restart_grace must be 0 or more than"),
        ({"isolation_grace": -1.0}, "timing.isolation_grace must not be negative"),
        ({"forget_after": 19.0}, "timing.forget_after must be more than"),
    ],
    ids=lambda it: next(iter(it)) if isinstance(it, dict) else "",
)
def test_a_relation_that_does_not_hold_is_named(changes: dict[str, float], problem: str) -> None:
    """By a sentence, and by no other one."""
    (found,) = replace(Timing(), **changes).problems()

    assert found.startswith(problem)


def test_all_problems_are_named_at_once() -> None:
    """Whoever wrote the configuration learns of all of them."""
    assert len(Timing(0.0, -1.0, -1.0, -1.0, -1.0, -9.0, 3.0).problems()) == 6


def test_no_grace_is_a_choice() -> None:
    """0 holds nothing over a restart, and is no problem."""
    assert replace(Timing(), restart_grace=0.0, isolation_grace=0.0).problems() == []
