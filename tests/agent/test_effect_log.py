"""What is said of peers: each event by one line, and no more of them than anybody can read."""

import logging

import pytest

from discoagent.core.effects import NodeState, Refused, StateChanged
from discoagent.core.entry import ReplicaId
from discoagent.core.messages import RefusalKind
from discoagent.local.peers.effect_log import LINES_AT_ONCE, SECONDS_A_LINE, EffectLog
from discoagent.wire import WireError


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The log's clock."""
    return Clock()


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> EffectLog:
    """A log that is read at the level of warnings."""
    caplog.set_level(logging.WARNING, "discoagent")
    return EffectLog(clock)


def refusal(node: str, age: float) -> Refused:
    """Return a refusal whose text is another each time."""
    text = f"node name {node} is in use, heard {age:.1f} s ago"
    return Refused(RefusalKind.NAME, "b:1", ReplicaId(node, 1), "test", text, by_us=True)


def test_what_a_peer_repeats_is_said_ever_more_rarely(
    log: EffectLog, caplog: pytest.LogCaptureFixture
) -> None:
    """The first, the tenth, the hundredth and the thousandth time, each with how often it was."""
    error = WireError("range", "clock is -1")
    for number in range(1, 1_100):
        log.nonsense("router", "10.0.0.9", error)
        log.log(refusal("b", number / 10))

    assert [line.split(" (")[1:] for line in caplog.messages[::2]] == [
        [],
        ["10 times so far)"],
        ["100 times so far)"],
        ["1000 times so far)"],
    ]
    assert (
        caplog.messages[0]
        == "dropped a message on the router socket from 10.0.0.9: range: clock is -1"
    )
    assert caplog.messages[1] == "refused b: node name b is in use, heard 0.1 s ago"
    assert len(caplog.messages) == 8


def test_under_however_many_names(
    log: EffectLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A burst, then a line now and then that says how many were left out."""
    for number in range(5_000):
        log.log(refusal(f"b{number}", 1))
    assert len(caplog.messages) == LINES_AT_ONCE

    clock.now += SECONDS_A_LINE
    log.log(refusal("c", 1))
    log.log(refusal("d", 1))
    (line,) = caplog.messages[LINES_AT_ONCE:]
    assert line.startswith("refused c: ")
    assert line.endswith(f" ({5_000 - LINES_AT_ONCE} such lines were left out)")


def test_a_line_says_of_whom_it_is(log: EffectLog, caplog: pytest.LogCaptureFixture) -> None:
    """In fields for programs, besides its words."""
    node = ReplicaId("b", 1)
    log.log(StateChanged(node, NodeState.ALIVE, NodeState.DOWN, "silent for 4 s"))
    log.nonsense("sub", "10.0.0.9", WireError("size", "too long"))

    assert caplog.messages[0] == "node b: alive -> down (silent for 4 s)"
    assert [vars(record)["fields"] for record in caplog.records] == [
        {"peer": "b", "state": "down"},
        {"peer": "10.0.0.9"},
    ]
