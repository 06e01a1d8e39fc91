"""What is replicated: entries, who made them, and why they changed.

An entry's body is opaque to the protocol (packed bytes), so a table of 100,000 entries is 100,000
small objects and not a million. Two bodies are the protocol's own: a node's `MemberRecord` and the
verdict `forgotten`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from discoagent.core.limits import OWNER_IDENTITY_BYTES


class Kind(IntEnum):
    """The spaces in which an entry's name lives. Users are shown SERVICE and PRESENCE alone."""

    MEMBER = 0
    SERVICE = 1
    PRESENCE = 2
    FORGOTTEN = 3


_SHOWN = (Kind.SERVICE, Kind.PRESENCE)  # asked of every entry, again and again


class ReplicaId(NamedTuple):
    """One life of one node's agent."""

    node: str
    incarnation: int

    def __str__(self) -> str:
        return f"{self.node}.{self.incarnation}"


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """What a node says of itself: the first step of its chain.

    `endpoint` is where peers reach its ROUTER (`host:port`, IPv6 in brackets); its PUB is on the
    next port. `settled`: every entry that outlived the former life is in the chain by now, so
    nothing else is to be held. `boot` names the host's boot: entries of processes of an earlier
    boot cannot live. `ended` tells for a while why entries of the former life are not in this one.
    """

    endpoint: str
    version: str
    wire: tuple[int, int] = (1, 1)
    features: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    settled: bool = False
    boot: str = ""
    ended: "Mapping[Key, Cause]" = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of one registration.

    `name` and `id` are the service and instance (or topic and meta); together with `kind` they are
    the *key* within the node. `owner` is opaque but for its first `OWNER_IDENTITY_BYTES`, which are
    equal exactly if the same process (or user, for entries without one) owns both entries. `body`
    holds all the rest.
    """

    kind: Kind
    name: str
    id: str
    owner: bytes
    body: "bytes | MemberRecord | ReplicaId"

    @property
    def key(self) -> "Key":
        """What identifies the registration within its node, over all its versions."""
        return (self.kind, self.name, self.id)

    @property
    def shown(self) -> bool:
        """Is this an entry that users may see?"""
        return self.kind in _SHOWN

    def same_owner(self, other: "Entry") -> bool:
        """Does the same process own both?"""
        return self.owner[:OWNER_IDENTITY_BYTES] == other.owner[:OWNER_IDENTITY_BYTES]


Key = tuple[Kind, str, str]


class Cause(NamedTuple):
    """Why a step was made: the word users read, the packed actor (b"" if none), wall-clock ms."""

    word: str
    actor: bytes
    at: int


class CauseWord:
    """The causes of the contract, as users read them. `:CODE` or `:SIGNAL` may follow `exit`."""

    REGISTERED = "registered"
    UPDATED = "updated"
    DEREGISTERED = "deregistered"
    REPLACED = "replaced"
    LEASE_EXPIRED = "lease-expired"
    CHECK = "check"
    MAINT = "maint"
    DRAINED = "drained"
    RELOAD = "reload"
    EXIT = "exit"
    NODE_LEFT = "node-left"
    NODE_DOWN = "node-down"
    NODE_FORGOTTEN = "node-forgotten"
    NODE_RETURNED = "node-returned"
    UNKNOWN = "unknown"


UNKNOWN = Cause(CauseWord.UNKNOWN, b"", 0)
