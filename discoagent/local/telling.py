"""Events as the local API tells them: packed rows."""

from collections.abc import Callable, Iterable, Iterator

from discoagent import api
from discoagent.core.replica import Shown
from discoagent.local.queries import Scope, row_of
from discoagent.store.events import LoggedEvent

Present = Callable[[Scope], Iterable[Shown]]
"""What of a scope is shown now."""


def event(logged: LoggedEvent, token: str | int | None) -> bytes:
    """Pack a change."""
    change = logged.event
    return api.packed(
        (
            change.kind.value,
            logged.at_ms,
            row_of(change.node, change.entry) if change.entry else None,
            row_of(change.node, change.before) if change.before else None,
            change.cause.word,
            change.cause.actor,
            token,
            None,
        )
    )


def mark(kind: str, at: int, token: str | None, node: str | None = None) -> bytes:
    """Pack a `reset`, of one node or all, or a `synced`."""
    return api.packed((kind, at, None, None, None, b"", token, node))


def entry(kind: str, at: int, shown: Shown, token: str | None) -> bytes:
    """Pack one entry of a present."""
    return api.packed((kind, at, row_of(shown.node, shown.entry), None, None, b"", token, None))


def present(
    shown: Iterable[Shown], *, at: int, token: str, lost: str, reset: bool
) -> Iterator[bytes]:
    """Yield a whole present; `token` is given with its end, until then the watcher is `lost`."""
    if reset:
        yield mark("reset", at, lost)
    for each in shown:
        yield entry("added", at, each, lost)
    yield mark("synced", at, token)
