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
