"""Instances as users see them, and their packed form inside an entry. Pure.

The agent never unpacks what it only passes on: a row of the local API holds the packed bytes, and
the client library unpacks them into these types. Packed forms are msgpack arrays; fields are only
ever appended, and a reader takes the fields it knows.

    body    [address, port | nil, [tag...], {key: value}, state, lifetime, registered_ms,
             updated_ms, ref, [check...]]
    lifetime ["process", pid] | ["lease", ttl_ms] | ["static"]
    ref     [incarnation, clock] of the first registration; "NODE.INCARNATION.CLOCK" for users
    owner   8 bytes of identity, then [uid, pid | nil, start | nil, exe | nil, unit | nil]
    actor   [uid, pid | nil, exe | nil, unit | nil], or no bytes at all
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgpack

from discoagent.core.entry import OWNER_IDENTITY_BYTES

Json = dict[str, Any]
NO_META: Mapping[str, str] = MappingProxyType({})

USABLE_STATES = frozenset({"passing", "warning", "suspect", "restarting"})


def rfc3339(ms: int) -> str:
    """Wall-clock milliseconds since the epoch as RFC 3339 in UTC, with milliseconds."""
    stamp = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{ms % 1000:03d}Z"


@dataclass(frozen=True, slots=True)
class Lifetime:
    """What ends an instance: `process` (pid), `lease` (ttl in ms, renewed) or `static`: nothing."""

    kind: str
    pid: int | None = None
    ttl_ms: int | None = None

    def to_json(self) -> Json:
        """Return the JSON value of the contract."""
        match self.kind:
            case "process":
                return {"kind": "process", "pid": self.pid}
            case "lease":
                return {"kind": "lease", "ttl_ms": self.ttl_ms}
            case _:
                return {"kind": self.kind}

    def packed(self) -> list[Any]:
        """Return the value that goes into a body."""
        match self.kind:
            case "process":
                return ["process", self.pid]
            case "lease":
                return ["lease", self.ttl_ms]
            case _:
                return [self.kind]

    @classmethod
    def unpacked(cls, raw: Sequence[Any]) -> "Lifetime":
        """Read the value out of a body."""
        match list(raw):
            case ["process", pid, *_]:
                return cls("process", pid=pid)
            case ["lease", ttl_ms, *_]:
                return cls("lease", ttl_ms=ttl_ms)
            case [kind, *_]:
                return cls(str(kind))
            case _:
                return cls("static")


@dataclass(frozen=True, slots=True)
class Owner:
    """Who registered an instance, as the kernel told the agent: uid, pid, executable, unit."""

    uid: int
    pid: int | None = None
    exe: str | None = None
    unit: str | None = None

    def to_json(self) -> Json:
        """Return the JSON value of the contract."""
        return {"uid": self.uid, "pid": self.pid, "exe": self.exe, "unit": self.unit}


def pack_owner(owner: Owner, start: int | None, identity: tuple[Any, ...]) -> bytes:
    """Pack an owner.

    `start` is the process's start time in clock ticks, `identity` what makes it the same owner.
    """
    digest = hashlib.blake2b(repr(identity).encode(), digest_size=OWNER_IDENTITY_BYTES).digest()
    rest: bytes = msgpack.packb([owner.uid, owner.pid, start, owner.exe, owner.unit])
    return digest + rest


def unpack_owner(raw: bytes) -> Owner:
    """Read an owner out of an entry."""
    uid, pid, _start, exe, unit = msgpack.unpackb(raw[OWNER_IDENTITY_BYTES:])[:5]
    return Owner(uid, pid, exe, unit)


def pack_actor(owner: Owner) -> bytes:
    """Pack who made a change."""
    raw: bytes = msgpack.packb([owner.uid, owner.pid, owner.exe, owner.unit])
    return raw


def unpack_actor(raw: bytes) -> Owner | None:
    """Read who made a change; None where nobody did."""
    return Owner(*msgpack.unpackb(raw)[:4]) if raw else None


@dataclass(frozen=True, slots=True)
class Body:
    """All of an instance but its names and its owner."""

    address: str
    port: int | None
    tags: tuple[str, ...]
    meta: Mapping[str, str]
    state: str
    lifetime: Lifetime
    registered_ms: int
    updated_ms: int
    ref: tuple[int, int]
    checks: tuple[Json, ...] = ()

    def pack(self) -> bytes:
        """Return the bytes that an entry holds."""
        raw: bytes = msgpack.packb(
            [
                self.address,
                self.port,
                self.tags,
                dict(self.meta),
                self.state,
                self.lifetime.packed(),
                self.registered_ms,
                self.updated_ms,
                self.ref,
                self.checks,
            ]
        )
        return raw

    @classmethod
    def unpack(cls, raw: bytes) -> "Body":
        """Read an entry's bytes."""
        address, port, tags, meta, state, lifetime, registered, updated, ref, checks = (
            msgpack.unpackb(raw)[:10]
        )
        return cls(
            address,
            port,
            tuple(tags),
            meta,
            state,
            Lifetime.unpacked(lifetime),
            registered,
            updated,
            (ref[0], ref[1]),
            tuple(checks),
        )


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a service, as `discoctl list -o json` shows it."""

    service: str
    id: str
    node: str
    address: str
    port: int | None
    tags: tuple[str, ...]
    meta: Mapping[str, str]
    state: str
    lifetime: Lifetime
    owner: Owner
    checks: tuple[Json, ...]
    registered_at: str
    updated_at: str
    ref: str

    @property
    def name(self) -> str:
        """`SERVICE/INSTANCE@NODE`, which names it in the whole cluster."""
        return f"{self.service}/{self.id}@{self.node}"

    @property
    def usable(self) -> bool:
        """Would `list` without `--all` show it?"""
        return self.state in USABLE_STATES

    def to_json(self) -> Json:
        """Return the JSON value of the contract."""
        return {
            "service": self.service,
            "id": self.id,
            "node": self.node,
            "address": self.address,
            "port": self.port,
            "tags": list(self.tags),
            "meta": dict(self.meta),
            "state": self.state,
            "lifetime": self.lifetime.to_json(),
            "owner": self.owner.to_json(),
            "checks": list(self.checks),
            "registered_at": self.registered_at,
            "updated_at": self.updated_at,
            "ref": self.ref,
        }

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> "Instance":
        """Read a row of the local API: [service, id, node, overlay, owner, body].

        `overlay` is "" or a node's state.
        """
        service, instance, node, overlay, owner, body = row[:6]
        return cls.of(service, instance, node, overlay, owner, body)

    @classmethod
    def of(  # noqa: PLR0917 - the order of a row of the local API
        cls, service: str, instance: str, node: str, overlay: str, owner: bytes, body: bytes
    ) -> "Instance":
        """Put an instance together; `overlay` stands in place of `passing` and `warning`."""
        it = Body.unpack(body)
        state = overlay if overlay and it.state in ("passing", "warning") else it.state
        return cls(
            service,
            instance,
            node,
            it.address,
            it.port,
            it.tags,
            it.meta,
            state,
            it.lifetime,
            unpack_owner(owner),
            it.checks,
            rfc3339(it.registered_ms),
            rfc3339(it.updated_ms),
            f"{node}.{it.ref[0]}.{it.ref[1]}",
        )


@dataclass(frozen=True, slots=True)
class Event:
    """One change, as `discoctl watch -o json` shows it.

    `kind` is added, updated, removed, reset or synced. A removal carries the last whole instance in
    `before`.
    """

    kind: str
    at: str
    instance: Instance | None = None
    before: Instance | None = None
    cause: str | None = None
    actor: Owner | None = None
    token: str | None = None
    node: str | None = None

    def to_json(self) -> Json:
        """Return the JSON value of the contract."""
        return {
            "kind": self.kind,
            "at": self.at,
            "instance": self.instance.to_json() if self.instance else None,
            "before": self.before.to_json() if self.before else None,
            "cause": self.cause,
            "actor": self.actor.to_json() if self.actor else None,
            "token": self.token,
            "node": self.node,
        }

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> "Event":
        """Read an event of the local API.

        [kind, at_ms, row | nil, row | nil, cause | nil, actor, token, node]
        """
        kind, at, instance, before, cause, actor, token, node = row[:8]
        return cls(
            kind,
            rfc3339(at),
            Instance.from_row(instance) if instance else None,
            Instance.from_row(before) if before else None,
            cause,
            unpack_actor(actor or b""),
            token,
            node,
        )


@dataclass(frozen=True, slots=True)
class Member:
    """One node, as `discoctl members -o json` shows it."""

    node: str
    incarnation: int
    address: str
    state: str
    instances: int
    heard_ms: int
    rtt_ms: float | None
    version: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> Json:
        """Return the JSON value of the contract."""
        return {
            "node": self.node,
            "incarnation": self.incarnation,
            "address": self.address,
            "state": self.state,
            "instances": self.instances,
            "heard_ms": self.heard_ms,
            "rtt_ms": self.rtt_ms,
            "version": self.version,
            "labels": dict(self.labels),
        }
