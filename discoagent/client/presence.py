"""What a client may ask of its agent about presence: one function an operation. Pure.

As in `calls.py`; but a meta is checked here by the agent's own rules, for it may be anything, and
not all that Python has can be sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from discoagent.client.calls import read_row
from discoagent.client.lasting import Lasting, Row
from discoagent.client.session import Call
from discoagent.instance import Json
from discoagent.presence import MetaBody, Tracked, full_ref
from discoagent.presence_rules import meta as checked_meta


@dataclass(frozen=True, slots=True)
class MetaSpec(Lasting):
    """One meta to track."""

    topic: str
    key: str
    meta: Mapping[str, Any] = field(default_factory=dict)

    def making(self) -> Call[Row]:
        """Return `track`."""
        arguments: dict[str, Any] = {
            "topic": self.topic,
            "key": self.key,
            "meta": checked_meta(self.meta, "meta"),
            "lifetime": self.lifetime(),
        }
        if self.wrapper is not None:
            arguments["wrapper"] = self.wrapper
        return Call("track", arguments, read_row)

    def again(self, row: Row, *, lapsed: bool) -> Call[Row]:
        """Return `track` under the same id, with what marks the meta if it did not lapse."""
        body = MetaBody.unpack(row[5])
        call = replace(self, meta=body.meta).making()
        again: dict[str, Any] = {"id": row[1]}
        if not lapsed:
            again["ref"] = list(body.ref)
            again["registered_ms"] = body.tracked_ms
            again["updated_ms"] = body.updated_ms
        return Call(call.operation, {**call.arguments, **again}, read_row)

    def renewal(self, row: Row) -> Call[Row]:
        """Return `retrack`."""
        return retrack(row[0], row[1])

    def ending(self, row: Row) -> Call[Row]:
        """Return `untrack`."""
        return untrack(row[0], row[1])

    def key_of(self, row: Row) -> tuple[str, ...]:
        """Return topic and id, apart from all services and instances."""
        return key_of(row)

    def name_of(self, row: Row) -> str:
        """Return topic, key and ref."""
        return f"{row[0]} {self.key} {full_ref(row[2], MetaBody.unpack(row[5]).ref)}"


def key_of(row: Row) -> tuple[str, ...]:
    """Return what names a meta among all that its node holds."""
    return ("presence", row[0], row[1])


def retrack(topic: str, name: str, meta: Mapping[str, Any] | None = None) -> Call[Row]:
    """Change a meta as a whole, if one is given, and renew its lease; the result is its row."""
    arguments: dict[str, Any] = {"topic": topic, "id": name}
    if meta is not None:
        arguments["meta"] = checked_meta(meta, "meta")
    return Call("retrack", arguments, read_row)


def untrack(topic: str, name: str, *, cause: str | None = None) -> Call[Row]:
    """End a meta; the result is its row before."""
    arguments = {"topic": topic, "id": name}
    return Call("untrack", {**arguments, "cause": cause} if cause else arguments, read_row)


def presence(topic: str, *, wait_ms: int) -> Call[list[Tracked]]:
    """Ask for the metas of a topic."""
    return Call(
        "presence",
        {"topic": topic, "wait_ms": wait_ms},
        lambda pages, _: [Tracked.from_row(row) for page in pages for row in page],
    )


def topics(*, wait_ms: int) -> Call[list[Json]]:
    """Ask for the topics with counts of their keys and metas."""
    return Call(
        "topics",
        {"wait_ms": wait_ms},
        lambda _, body: [
            {"topic": topic, "keys": keys, "metas": metas}
            for topic, keys, metas, *_ in body["topics"]
        ],
    )
