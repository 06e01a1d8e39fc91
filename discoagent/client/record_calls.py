"""What a client may ask about the past: the calls of `remembering.py`. Pure."""

from typing import Any

from discoagent.client.session import Call
from discoagent.instance import Event, Instance


def at(ms: int, asked: Call[list[Instance]]) -> Call[list[Instance]]:
    """Ask for what `asked`, a call of `list_instances`, would have listed at that moment."""
    return Call("at", {"ms": ms, **asked.arguments}, asked.read)


def history(
    name: str | None, *, since_ms: int | None, last: bool, wait_ms: int
) -> Call[list[Event]]:
    """Ask for the events of one instance or of all; `last`: from its latest registration on."""
    arguments: dict[str, Any] = {"id": name, "since_ms": since_ms, "last": last, "wait_ms": wait_ms}
    return Call(
        "history", arguments, lambda pages, _: [Event.from_row(row) for p in pages for row in p]
    )
