"""The operations on presence as values; `operations.py` checks their arguments. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from discoagent.presence_rules import MetaName
from discoagent.rules import LifetimeWish


class Presence(NamedTuple):
    """Ask for the metas of a topic."""

    topic: str
    wait_ms: int = 0


class Topics(NamedTuple):
    """Ask for the topics, with counts of their keys and metas."""

    wait_ms: int = 0


class Track(NamedTuple):
    """Say something of a key on this node; `id`: that of the meta which is said again."""

    topic: str
    key: str
    meta: Mapping[str, Any] = {}
    lifetime: LifetimeWish = LifetimeWish("process")
    wrapper: int | None = None
    id: tuple[int, int] | None = None
    ref: tuple[int, int] | None = None
    registered_ms: int | None = None
    updated_ms: int | None = None


class Retrack(NamedTuple):
    """Change a meta as a whole (None: keep it), and give its lease the whole time to live again."""

    topic: str
    id: MetaName
    meta: Mapping[str, Any] | None = None


class Untrack(NamedTuple):
    """End a meta; its wrapper may tell how the process ended."""

    topic: str
    id: MetaName
    cause: str | None = None
