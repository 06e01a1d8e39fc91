"""Rows and events of the local API as an agent would send them."""

from typing import Any

from discoagent.client.lasting import Row
from discoagent.instance import Body, Lifetime, Owner, pack_owner
from discoagent.presence import PRESENCE, MetaBody

T0 = 1_790_000_000_000


def row(
    service: str = "web",
    id: str = "web-1",  # noqa: A002 - the field's name
    node: str = "a",
    *,
    port: int = 80,
    meta: dict[str, str] | None = None,
    overlay: str = "",
    pid: int = 7,
    lifetime: Lifetime | None = None,
    updated_ms: int = T0,
    ref: tuple[int, int] = (1, 1),
) -> Row:
    """Return an instance's row."""
    owner = pack_owner(Owner(1000, pid, "/bin/x"), 1, ("process", pid))
    body = Body(
        "10.0.0.1",
        port,
        ("v1",),
        meta or {},
        "passing",
        lifetime or Lifetime("process", pid=pid),
        T0,
        updated_ms,
        ref,
    )
    return [service, id, node, overlay, owner, body.pack()]


def meta_row(
    key: str = "alice",
    meta: dict[str, Any] | None = None,
    *,
    topic: str = "room",
    name: str = "1.000000000001",
    node: str = "a",
    ref: tuple[int, int] = (1, 1),
    lifetime: Lifetime | None = None,
    updated_ms: int = T0 + 5,
) -> Row:
    """Return a meta's row."""
    owner = pack_owner(Owner(1000, 7, "/bin/x"), 1, ("process", 7))
    lasts = lifetime or Lifetime("process", pid=7)
    body = MetaBody(key, meta or {}, lasts, T0, updated_ms, ref)
    return [topic, name, node, "", owner, body.pack(), PRESENCE]


def added(of: Row, cause: str = "registered") -> list[Any]:
    """Return the event that shows `of`."""
    return ["added", T0, of, None, cause, b"", None, None]


def updated(of: Row, before: Row) -> list[Any]:
    """Return the event that turns `before` into `of`."""
    return ["updated", T0, of, before, "updated", b"", None, None]


def removed(of: Row, cause: str = "deregistered") -> list[Any]:
    """Return the event that takes `of` away."""
    return ["removed", T0, None, of, cause, b"", None, None]


def reset(node: str | None = None) -> list[Any]:
    """Return the event that announces the present anew."""
    return ["reset", T0, None, None, None, b"", None, node]


SYNCED: list[Any] = ["synced", T0, None, None, None, b"", None, None]
CAUGHT_UP: list[Any] = ["caught-up", T0, None, None, None, b"", None, None]
