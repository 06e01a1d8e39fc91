"""Presence as users see it, and its packed form inside an entry. Pure.

A key of a topic is there as long as it has a *meta*: what one process said of it. A key may have
many metas, from any process of any node; each has a lifetime and an owner, as an instance has.

    body    [key, meta, lifetime, tracked_ms, updated_ms, ref]; the key comes first, so that it is
            read quickly
    ref     [incarnation, clock] of the step that made this version of the meta

Users see a ref as "NODE.INCARNATION.CLOCK". Its clock has leading zeros, so that refs sort as text,
those of one life of a node in the order in which they were given.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import msgpack

from discoagent.errors import DiscoError
from discoagent.instance import (
    Event,
    Json,
    Lifetime,
    Owner,
    rfc3339,
    unpack_actor,
    unpack_owner,
)

PRESENCE = "presence"  # the seventh field of a meta's row
_CLOCK_DIGITS = 12


def meta_id(ref: tuple[int, int]) -> str:
    """Return what names a meta on its node, over all its versions: its first ref."""
    return f"{ref[0]}.{ref[1]:0{_CLOCK_DIGITS}d}"


def full_ref(node: str, ref: tuple[int, int]) -> str:
    """Return a ref as users see it."""
    return f"{node}.{meta_id(ref)}"


def is_meta(row: Sequence[Any]) -> bool:
    """Is this the row of a meta, and not that of an instance?"""
    return len(row) > 6 and row[6] == PRESENCE


class MetaBody(NamedTuple):
    """All of a meta but its topic, its id and its owner."""

    key: str
    meta: Mapping[str, Any]
    lifetime: Lifetime
    tracked_ms: int
    updated_ms: int
    ref: tuple[int, int]

    def pack(self) -> bytes:
        """Return the bytes that an entry holds."""
        raw: bytes = msgpack.packb(
            [
                self.key,
                dict(self.meta),
                self.lifetime.packed(),
                self.tracked_ms,
                self.updated_ms,
                self.ref,
            ]
        )
        return raw

    @classmethod
    def unpack(cls, raw: bytes) -> "MetaBody":
        """Read an entry's bytes."""
        key, meta, lifetime, tracked, updated, ref = msgpack.unpackb(raw)[:6]
        return cls(key, meta, Lifetime.unpacked(lifetime), tracked, updated, (ref[0], ref[1]))


def packed_key(body: bytes) -> bytes:
    """Return the key of a packed body, in UTF-8, without unpacking the body.

    It is a string of at most 128 bytes behind the one byte that begins the array.
    """
    head = body[1]
    return body[3 : 3 + body[2]] if head == 0xD9 else body[2 : 2 + (head & 0x1F)]


class Tracked(NamedTuple):
    """One meta of a key, as the agent has it: without its ref, and `id` over all its versions."""

    topic: str
    key: str
    id: str
    node: str
    meta: Mapping[str, Any]
    ref: str
    lifetime: Lifetime
    owner: Owner
    tracked_at: str
    updated_at: str

    @property
    def shown(self) -> Json:
        """The meta as users see it: with its ref."""
        return {"ref": self.ref, **self.meta}

    def to_json(self) -> Json:
        """Return what names it, and the meta with its ref."""
        return {"topic": self.topic, "key": self.key, "meta": self.shown}

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> "Tracked":
        """Read a row of the local API: [topic, id, node, overlay, owner, body, "presence"].

        Raises DiscoError (kind `protocol`) for what no agent packs.
        """
        try:
            topic, name, node, _, owner, body = row[:6]
            it = MetaBody.unpack(body)
            return cls(
                topic,
                it.key,
                name,
                node,
                it.meta,
                full_ref(node, it.ref),
                it.lifetime,
                unpack_owner(owner),
                rfc3339(it.tracked_ms),
                rfc3339(it.updated_ms),
            )
        except Exception as error:  # msgpack raises many kinds, and so do shapes
            raise DiscoError(
                "the agent told of a meta of another shape", kind="protocol"
            ) from error


def in_order(metas: Iterable[Tracked]) -> list[Tracked]:
    """Return metas as lists show them: by key, then by ref."""
    return sorted(metas, key=attrgetter("key", "ref"))


def by_key(metas: Iterable[Tracked]) -> dict[str, list[Json]]:
    """Return `{KEY: [meta with "ref"...]}`, keys and refs in order."""
    groups = groupby(in_order(metas), key=attrgetter("key"))
    return {key: [each.shown for each in group] for key, group in groups}


class PresenceEvent(NamedTuple):
    """One change of a topic, as `discoctl watch --topic` shows it.

    `kind` is added, updated, removed, reset or synced. `meta` and `before` have their refs; a
    removal carries the last meta in `before`.
    """

    kind: str
    at: str
    topic: str | None = None
    key: str | None = None
    meta: Json | None = None
    before: Json | None = None
    cause: str | None = None
    actor: Owner | None = None
    token: str | None = None
    node: str | None = None

    def to_json(self) -> Json:
        """Return the JSON value of the contract."""
        return {**self._asdict(), "actor": self.actor.to_json() if self.actor else None}

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> "PresenceEvent":
        """Read an event of the local API whose rows, if it has any, are those of metas."""
        kind, at, meta, before, cause, actor, token, node = row[:8]
        now = Tracked.from_row(meta) if meta else None
        was = Tracked.from_row(before) if before else None
        about = now or was
        return cls(
            kind,
            rfc3339(at),
            about.topic if about else None,
            about.key if about else None,
            now.shown if now else None,
            was.shown if was else None,
            cause,
            unpack_actor(actor or b""),
            token if isinstance(token, str) else None,
            node,
        )


AnyEvent = Event | PresenceEvent


def event_of(row: Sequence[Any]) -> AnyEvent:
    """Read an event of the local API, of an instance or of a meta."""
    about = row[2] or row[3]
    return PresenceEvent.from_row(row) if about and is_meta(about) else Event.from_row(row)
