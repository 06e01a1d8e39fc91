"""Events as the local API tells them: packed rows."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from discoagent import api
from discoagent.core.replica import Shown
from discoagent.local.requests.queries import Scope, row_of
from discoagent.store.events import LoggedEvent

Present = Callable[[Scope], Iterable[Shown | None]]
"""What of a scope is shown now; None stands where others should have their turn."""
BREATH = b""  # in place of an event: others should have their turn


def event(logged: LoggedEvent, token: str | int | None) -> bytes:
    """Pack a change."""
    return api.packed((*_change(logged), token, None))


def recorded(logged: LoggedEvent) -> tuple[Any, ...]:
    """Return a change out of the record, with when it was seen."""
    return (*_change(logged), None, None, logged.seen_ms)


def _change(logged: LoggedEvent) -> tuple[Any, ...]:
    change = logged.event
    return (
        change.kind.value,
        logged.at_ms,
        row_of(change.node, change.entry) if change.entry else None,
        row_of(change.node, change.before) if change.before else None,
        change.cause.word,
        change.cause.actor,
    )


def mark(kind: str, at: int, token: str | None, node: str | None = None) -> bytes:
    """Pack a `reset`, of one node or all, or a `synced`."""
    return api.packed((kind, at, None, None, None, b"", token, node))


def entries(
    kind: str, at: int, shown: Iterable[Shown | None], token: str | None
) -> Iterator[bytes]:
    """Pack the entries of a present."""
    for each in shown:
        if each is None:
            yield BREATH
        else:
            row = row_of(each.node, each.entry)
            yield api.packed((kind, at, row, None, None, b"", token, None))


def present(
    shown: Iterable[Shown | None], *, at: int, token: str, lost: str, reset: bool
) -> Iterator[bytes]:
    """Yield a whole present; `token` is given with its end, until then the watcher is `lost`."""
    if reset:
        yield mark("reset", at, lost)
    yield from entries("added", at, shown, lost)
    yield mark("synced", at, token)
