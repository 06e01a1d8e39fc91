"""Commands about other nodes, over an agent that is played by a stub."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.cli.contract import faults
from tests.cli.ctl import Ask
from tests.client.stub import Reply, Stub


def forgets(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
    """Forget every node but b, which is alive."""
    if operation == "forget" and arguments["node"] != "b":
        return [(number, 0, {"node": arguments["node"], "state": "restarting"})]
    body = {"code": 4, "kind": "refused", "message": "node b is alive", "field": "node"}
    return [(number, 1, body)]


EVIDENCE = {
    "silence_ms": 4_100,
    "beat": 812,
    "spoke_ms": 6_300,
    "answered_ms": None,
    "told_ms": 5_900,
    "told_by": "h2",
    "port": "silent",
    "dialled_ms": 500,
    "refused_ms": None,
    "refused_by": None,
    "farewell": False,
    "witnesses": [
        {"node": "h2", "asked_ms": 400, "beat": 811, "heard_ms": 5_900, "refused_ms": None}
    ],
    "silent": 3,
    "present": 4,
}
NOTHING: dict[str, Any] = {
    **{key: None for key, value in EVIDENCE.items() if value is None or key.endswith("_ms")},
    "beat": 0,
    "told_by": None,
    "port": None,
    "witnesses": [],
    "silent": 0,
    "present": 0,
}
AT = "2026-01-01T00:00:00.000Z"


def knows(state: str, **more: Any) -> dict[str, Any]:
    """Return what an agent tells of h3."""
    change = {
        "at": AT,
        "incarnation": 7,
        "before": "suspect",
        "after": "down",
        "reason": "silent for 4.1 s",
        "evidence": EVIDENCE,
    }
    return {
        "node": "h3",
        "incarnation": 7,
        "state": state,
        "since": AT,
        "reason": "silent for 4.1 s",
        "evidence": EVIDENCE,
        "clears": "its next life",
        "due_ms": 90_000,
        "changes": [change],
        **more,
    }


def why(body: dict[str, Any], tmp_path: Path, ask: Ask) -> list[str]:
    """Return what is said of a node of which an agent knows this."""
    socket = str(tmp_path / "stub.sock")
    assert faults(body, "why") == []
    with Stub(socket, lambda _operation, number, _: [(number, 0, body)]):
        told = ask("why", "h3", "--socket", socket)
    assert told.code == 0
    return [text.strip() for text in told.out.splitlines()]


def test_why_is_a_story(tmp_path: Path, ask: Ask) -> None:
    """Who heard what, when and by which path, what would clear it, and how it came to it."""
    known = [
        "its last own word came here 6.3s {}, its latest heartbeat known is 812",
        "h2 heard it 5.9s {}",
        "only 4.1s of that count: this agent itself stood still",
        "h2, asked 400ms {}, had heard it 5.9s {}, its latest heartbeat known is 811",
        "its port was dialled 500ms {}: nothing came back",
        "3 of 4 nodes are silent: this agent may be cut off",
    ]
    assert why(knows("down"), tmp_path, ask) == [
        f"\N{BLACK CIRCLE} h3 is down since {AT}",
        "Because: silent for 4.1 s",
        *(f"Known: {each}".format("ago", "ago") for each in known),
        "Cleared by: its next life",
        "Else: forgotten in 1m 30s",
        "Incarnation: 7",
        f"{AT} suspect -> down: silent for 4.1 s",
        *(each.format("before", "before") for each in known),
    ]


def test_why_of_little(tmp_path: Path, ask: Ask) -> None:
    """What is not known is not said."""
    refused = {**NOTHING, "farewell": True, "refused_ms": 900, "refused_by": "h2", "port": "open"}
    refused |= {"dialled_ms": 100, "answered_ms": 2_000, "silence_ms": 2_000}
    body = knows("restarting", evidence=refused, due_ms=None, clears=None, changes=[], reason="")

    assert why(body, tmp_path, ask) == [
        f"\N{BLACK CIRCLE} h3 is restarting since {AT}",
        "Known: it never spoke to this agent itself",
        "Known: it answered a question of 2.0s ago",
        "Known: its port was dialled 100ms ago: it answers",
        "Known: h2 saw its port refuse 900ms ago",
        "Known: it said that it stops",
        "Incarnation: 7",
    ]


def test_why_of_the_forgotten(tmp_path: Path, ask: Ask) -> None:
    """Of now nothing is known; of then all."""
    told = why(knows("forgotten", evidence=None, due_ms=None), tmp_path, ask)

    assert told[:4] == [
        f"\N{BLACK CIRCLE} h3 is forgotten since {AT}",
        "Because: silent for 4.1 s",
        "Cleared by: its next life",
        "Incarnation: 7",
    ]


def test_forget(tmp_path: Path, ask: Ask) -> None:
    """0 with what it was; 4 when it is alive."""
    socket = str(tmp_path / "stub.sock")
    with Stub(socket, forgets):
        told = ask("forget", "c", "--socket", socket)
        assert (told.code, told.out) == (0, "c is forgotten; it was restarting\n")
        told = ask("forget", "c", "--socket", socket, "-o", "json")
        assert told.json == {"node": "c", "state": "restarting"}
        assert faults(told.json, "forgotten") == []
        told = ask("forget", "b", "--socket", socket)
        assert (told.code, told.out, told.err) == (4, "", "discoctl: node b is alive\n")
