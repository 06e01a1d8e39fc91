"""Instances as users see them, and their packed form inside an entry. Pure.

The agent never unpacks what it only passes on: a row of the local API holds the packed bytes, and
the client library unpacks them into these types. Packed forms are msgpack arrays; fields are only
ever appended, and a reader takes the fields it knows.

    body    [state, address, port | nil, [tag...], {key: value}, lifetime, registered_ms,
             updated_ms, ref, [check...]]; the state comes first, so that it is read quickly.
             Appended where an operator set it: ["maint", reason | nil, until_ms | nil] or
             ["draining"]
    lifetime ["process", pid] | ["lease", ttl_ms] | ["static"]
    ref     [incarnation, clock] of the first registration; "NODE.INCARNATION.CLOCK" for users
    owner   8 bytes of identity, then [uid, pid | nil, start | nil, exe | nil, unit | nil]
    actor   [uid, pid | nil, exe | nil, unit | nil], or no bytes at all
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack

from discoagent.core.digest import hashed
from discoagent.core.limits import OWNER_IDENTITY_BYTES
from discoagent.errors import DiscoError
from discoagent.modes import Mode

Json = dict[str, Any]
NO_META: Mapping[str, str] = MappingProxyType({})

USABLE_STATES = frozenset({"passing", "warning", "suspect", "restarting"})
OVERLAID_STATES = frozenset({"passing", "warning"})  # what `suspect` and `restarting` are seen for


def rfc3339(ms: int) -> str:
    """Wall-clock milliseconds since the epoch as RFC 3339 in UTC, with milliseconds."""
    return f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class Lifetime(NamedTuple):
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


class Owner(NamedTuple):
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
    digest = hashed(repr(identity).encode(), OWNER_IDENTITY_BYTES)
    rest: bytes = msgpack.packb([owner.uid, owner.pid, start, owner.exe, owner.unit])
    return digest + rest


@lru_cache(maxsize=1024)
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


class Body(NamedTuple):
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
    mode: Mode | None = None

    def pack(self) -> bytes:
        """Return the bytes that an entry holds."""
        fields = [
            self.state,
            self.address,
            self.port,
            self.tags,
            dict(self.meta),
            self.lifetime.packed(),
            self.registered_ms,
            self.updated_ms,
            self.ref,
            self.checks,
        ]
        raw: bytes = msgpack.packb(fields if self.mode is None else [*fields, self.mode])
        return raw

    @classmethod
    def unpack(cls, raw: bytes) -> "Body":
        """Read an entry's bytes."""
        fields = msgpack.unpackb(raw)
        state, address, port, tags, meta, lifetime, registered, updated, ref, checks = fields[:10]
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
            Mode.unpacked(fields[10]) if len(fields) > 10 and fields[10] else None,
        )


_PASSING = b"\x9a\xa7passing"  # how a body of ten fields in that state begins


def packed_state(body: bytes) -> str:
    """Return the state of a packed body; of nearly all there are, without unpacking it."""
    return "passing" if body.startswith(_PASSING) else str(msgpack.unpackb(body)[0])


def is_plain(body: bytes) -> bool:
    """Is this the packed body of an instance without checks, of which no operator said anything?"""
    return body[:1] == b"\x9a" and body[-1:] == b"\x90"


def packed_tags(body: bytes) -> set[str]:
    """Return the tags of a packed body."""
    return set(msgpack.unpackb(body)[3])


@dataclass(frozen=True)
class Instance:
    """One instance of a service, as `discoctl list -o json` shows it.

    Out of a row only what names it is taken at once, the rest when it is first asked for: a list of
    thousands, of which little is looked at, costs a quarter of what it would.
    """

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
    maint: Json | None = field(default_factory=lambda: None)  # no attribute of the class

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
            "maint": self.maint,
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
        if not type(owner) is type(body) is bytes:
            raise TypeError("owner and body are packed")
        it = object.__new__(cls)
        vars(it).update(service=service, id=instance, node=node, _packed=(overlay, owner, body))
        return it

    if not TYPE_CHECKING:  # which shall find a misspelt name as ever

        def __getattr__(self, name: str) -> object:
            """Unpack the rest of the row, of which this is the first to be asked for."""
            known = vars(self)
            if name in Instance.__dataclass_fields__ and "_packed" in known:
                known.update(_unpacked(known["node"], *known["_packed"]))
                return known[name]
            raise AttributeError(f"an instance has no {name!r}", name=name, obj=self)


def _unpacked(node: str, overlay: str, owner: bytes, body: bytes) -> Json:
    """Return all attributes of an instance but its names.

    Raises DiscoError (kind `protocol`) for what no agent packs.
    """
    try:
        it = Body.unpack(body)
        return {
            "address": it.address,
            "port": it.port,
            "tags": it.tags,
            "meta": it.meta,
            "state": overlay if overlay and it.state in OVERLAID_STATES else it.state,
            "lifetime": it.lifetime,
            "owner": unpack_owner(owner),
            "checks": it.checks,
            "registered_at": rfc3339(it.registered_ms),
            "updated_at": rfc3339(it.updated_ms),
            "ref": f"{node}.{it.ref[0]}.{it.ref[1]}",
            "maint": _maint(it.mode),
        }
    except Exception as error:  # msgpack raises many kinds, and so do shapes
        raise DiscoError(
            "the agent told of an instance of another shape", kind="protocol"
        ) from error


def _maint(mode: Mode | None) -> Json | None:
    if mode is None or mode.state != "maint":
        return None
    until = None if mode.until_ms is None else rfc3339(mode.until_ms)
    return {"reason": mode.reason, "until": until}


class Event(NamedTuple):
    """One change, as `discoctl watch -o json` shows it.

    `kind` is added, updated, removed, reset or synced. A removal carries the last whole instance in
    `before`. `at` is the clock of who made it. `seen_at`, out of the record alone: when this agent
    saw it, by its own clock.
    """

    kind: str
    at: str
    instance: Instance | None = None
    before: Instance | None = None
    cause: str | None = None
    actor: Owner | None = None
    token: str | None = None
    node: str | None = None
    seen_at: str | None = None

    def to_json(self) -> Json:
        """Return the JSON value of the contract; out of the record it has `seen_at`, too."""
        seen = {} if self.seen_at is None else {"seen_at": self.seen_at}
        return {
            "kind": self.kind,
            "at": self.at,
            "instance": self.instance.to_json() if self.instance else None,
            "before": self.before.to_json() if self.before else None,
            "cause": self.cause,
            "actor": self.actor.to_json() if self.actor else None,
            "token": self.token,
            "node": self.node,
            **seen,
        }

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> "Event":
        """Read an event of the local API.

        [kind, at_ms, row | nil, row | nil, cause | nil, actor, token | number | nil, node | nil],
        and, out of the record, seen_ms
        """
        kind, at, instance, before, cause, actor, token, node = row[:8]
        return cls(
            kind,
            rfc3339(at),
            Instance.from_row(instance) if instance else None,
            Instance.from_row(before) if before else None,
            cause,
            unpack_actor(actor or b""),
            token if isinstance(token, str) else None,
            node,
            rfc3339(row[8]) if len(row) > 8 else None,
        )


class Member(NamedTuple):
    """One node, as `discoctl members -o json` shows it."""

    node: str
    incarnation: int
    address: str
    state: str
    instances: int
    heard_ms: int
    rtt_ms: float | None
    version: str
    labels: Mapping[str, str] = NO_META

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
