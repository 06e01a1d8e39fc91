"""Fuzzed requests on the local socket, most of them valid but for one field: it serves on.

The short form runs always, a hundred thousand requests with `-m soak`.
"""

import random
from collections import Counter
from typing import Any

import msgpack
import pytest

from tests.agent.harness import AgentProcess, Raw

FRAMES = 10_000
FRAMES_OF_A_SOAK = 100_000
GROWTH_KB_MAX = 8 * 1024
FRAMES_A_CONNECTION = 2_000
BURST = 200
WORDS: list[Any] = [
    None, True, False, 0, 1, -1, 80, 65_536, 2**31, 2**53 + 1, 2**64 - 1, -(2**63), 0.5,
    float("nan"), "", "web", "web-1", "web/web-1@a", "a b", "é", "x" * 200, "\0", b"", b"web",
    b"\xff" * 40, [], ["web"], [None], ["process", None], ["lease", 5_000], ["lease", -1],
    ["static"], [[[[]]]], {}, {"k": "v"}, {"k": None}, {b"k": 1}, ["v"] * 70, "exit:3",
    msgpack.Timestamp(1, 2), msgpack.ExtType(5, b"x"),
]  # fmt: skip
VALID: list[tuple[str, dict[str, Any]]] = [
    ("hello", {}),
    ("ping", {}),
    ("list", {"services": ["web"], "tags": ["t"], "node": "a", "usable": True, "wait_ms": 0}),
    ("get", {"id": "web/web-1@a", "wait_ms": 0}),
    ("services", {"wait_ms": 0}),
    ("members", {"wait_ms": 0}),
    ("status", {"ready_ms": 0}),
    (
        "register",
        {
            "service": "web", "port": 80, "address": "10.0.0.1", "id": "web-1", "tags": ["t"],
            "meta": {"k": "v"}, "lifetime": ["static"], "replace": True, "wrapper": None,
            "ref": None, "registered_ms": None, "updated_ms": None,
        },
    ),
    (
        "update",
        {
            "id": "web-1", "port": 1, "address": "::1", "tags": ["a"], "tag": ["b"],
            "untag": ["c"], "meta": {"k": "v"}, "set": {"a": "b"}, "unset": ["q"],
        },
    ),
    ("renew", {"id": "web-1"}),
    ("deregister", {"id": "web-1", "cause": None}),
    ("watch", {"services": ["web"], "wait_ms": 0}),
    ("cancel", {"watch": 1}),
    ("more", {"watch": 1, "batches": 1}),
    ("join", {"addresses": ["127.0.0.1:1"], "wait_ms": 1}),
]  # fmt: skip


def mutated(luck: random.Random, number: int) -> bytes:
    """Return a request that is valid but for one thing, or not even that."""
    operation, arguments = luck.choice(VALID)
    arguments = dict(arguments)
    request: list[Any] = [1, number, operation, arguments]
    kind = luck.random()
    if kind < 0.55 and arguments:
        arguments[luck.choice(list(arguments))] = luck.choice(WORDS)
    elif kind < 0.65:
        request[luck.randrange(4)] = luck.choice(WORDS)
    elif kind < 0.7:
        arguments[luck.choice(["x", "id", "service", "é"])] = luck.choice(WORDS)
    frame: bytes = msgpack.packb(request)
    if kind >= 0.75:
        torn = bytearray(frame)
        for _ in range(luck.randrange(1, 4)):
            torn[luck.randrange(len(torn))] = luck.randrange(256)
        frame = bytes(torn[: luck.randrange(len(torn) + 1)] if kind >= 0.95 else torn)
    if kind >= 0.99:
        frame = luck.randbytes(luck.randrange(300))
    return frame


def drain(raw: Raw, answers: Counter[str], marker: int) -> None:
    """Read all answers up to that of the marker."""
    while True:
        number, status, body = raw.receive()
        if number == marker:
            return
        answers[f"{status}:{body.get('field')}" if status == 1 else str(status)] += 1


@pytest.mark.parametrize(
    "frames",
    [
        FRAMES,
        pytest.param(FRAMES_OF_A_SOAK, marks=[pytest.mark.soak, pytest.mark.timeout(300)]),
    ],
)
def test_fuzzed_requests(agent: AgentProcess, frames: int) -> None:
    """Every refusal is reached, nothing is broken, memory does not grow."""
    luck = random.Random(7)
    answers: Counter[str] = Counter()
    sizes = []
    for first in range(0, frames, FRAMES_A_CONNECTION):
        with agent.raw() as raw:
            for burst in range(first, first + FRAMES_A_CONNECTION, BURST):
                for place in range(BURST):
                    raw.socket.send(mutated(luck, 10 + burst + place))
                marker = 2**50 + burst
                raw.socket.send(msgpack.packb([1, marker, "ping", {}]))
                drain(raw, answers, marker)
                sizes.append(agent.resident_kb)

    refused = {answer.partition(":")[2] for answer in answers if answer.startswith("1:")}
    with agent.raw() as asker:
        assert asker.ask("ping") == {"node": "a"}
        status = asker.ask("status")
    arguments = {name for _, arguments in VALID for name in arguments}
    assert refused >= arguments | {"request", "number", "version", "operation", "arguments"}
    assert answers["0"] > frames // 20
    assert status["counters"]["local.requests"] > frames
    assert not [line for line in agent.lines if "internal error" in line]
    assert sizes[-1] - sizes[len(sizes) // 4] < GROWTH_KB_MAX
