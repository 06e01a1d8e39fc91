"""What one watch has shown, and what is to be shown next. Pure.

The agent tells the present as `added` and then `synced`. When the watch is asked again (the agent
was away), it goes on from the last token. Where that does not tell what was missed, and whenever
the watch was behind, there is a `reset` and a present anew, of a node or of all. A watcher must not
see that: a `View` remembers what was shown, lays the new present beside it, and lets only the true
differences out.

A view that begins with a token does not know what was shown before it. Until the agent has told
that as `kept`, and is `synced`, all goes out as it comes.

What a present lacks is not gone for sure: an agent that was just restarted may not know it yet. So
it is *missing*, and shown on, until the agent says that it has `caught-up`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgpack

from discoagent.client.calls import Since
from discoagent.client.lasting import Row
from discoagent.client.session import nonsense
from discoagent.presence import is_meta
from discoagent.token import doubted

MISSING_SECONDS_MAX = 15.0  # an agent that never catches up does not keep dead services on show
UPDATED_MS, META_UPDATED_MS = 7, 4  # where a packed body has it
REF = 8

EventRow = Sequence[Any]
RowKey = tuple[str, str, str, bool]
E = TypeVar("E")


class View(Generic[E]):
    """The instances and metas that one watch shows. `now` is monotonic seconds."""

    def __init__(self, read: Callable[[EventRow], E], token: str | None = None) -> None:
        """`read` makes events of their rows; `token`: where the watcher stood when it watched."""
        self._read = read
        self._token, self._number = token, 0  # of the agent's last event; the number beyond it
        self._whole = token is None  # is all known that the watcher sees?
        self._settled = False  # is the agent's last present, or what was missed, complete?
        self._shown: dict[RowKey, Row] = {}
        self._synced = False
        self._present: dict[RowKey, EventRow] | None = None  # told anew, until `synced`
        self._scope: set[str] | None = None  # the nodes that are told anew; None: all
        self._missing: dict[RowKey, float] = {}  # when it goes; the longest missing first
        self._told_ms = 0

    def begin(self) -> Since | None:
        """Ask of the agent, perhaps of another life of it: from where on; None: the present."""
        settled, self._settled = self._settled, False
        since = None
        if not self._whole:
            assert self._token is not None
            self._shown.clear()
            since = Since(self._token, self._number, kept=True)
        elif settled and self._token is not None:
            since = Since(self._token, self._number)
        elif self._shown or self._synced:
            self._present, self._scope = {}, None
        return since

    def receive(self, batch: Iterable[EventRow], now: float) -> list[E]:
        """Take in one batch of the agent's events; return what is to be shown.

        Raises DiscoError (kind `protocol`) for nonsense.
        """
        shown: list[EventRow] = []
        try:
            for row in batch:
                self._take(row, now, shown)
            return [self._read(row) for row in shown]
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise nonsense("an event of another shape") from error

    def deadline(self) -> float | None:
        """Return when `expire` will have something to show, as far as is known."""
        if not self._missing or self._present is not None:
            return None
        return next(iter(self._missing.values()))

    def expire(self, now: float) -> list[E]:
        """Return the removals of what was missing for too long."""
        if self._present is not None:
            return []
        return [self._read(row) for row in self._remove_missing(now)]

    def _take(self, row: EventRow, now: float, shown: list[EventRow]) -> None:
        kind = row[0]
        self._told_ms = row[1]
        self._stand(row[6])
        if not self._whole:
            self._pass_on(kind, row, shown)
        elif kind == "synced":
            self._sync(row, now, shown)
        elif kind == "told":
            self._differ(now, shown)
        elif kind == "caught-up":
            if self._present is None:
                shown += self._remove_missing(None)
        elif kind == "reset":
            self._settled = False
            self._reset(row[7])
        else:
            key = _key(row[2] or row[3])
            if self._present is not None and (self._scope is None or key[2] in self._scope):
                self._assemble(kind, key, row)
            else:
                self._apply(kind, key, row, shown)

    def _stand(self, where: str | int | None) -> None:
        """Note where the agent says that this watch stands."""
        if isinstance(where, str):
            self._token, self._number = where, 0
        elif where is not None:
            self._number = where

    def _pass_on(self, kind: str, row: EventRow, shown: list[EventRow]) -> None:
        """Let an event out as it comes, and keep what it shows."""
        if kind == "caught-up":
            return
        if kind == "reset":
            node = row[7]
            self._shown = {key: it for key, it in self._shown.items() if node not in (None, key[2])}
        elif kind == "synced":
            self._whole = self._settled = self._synced = True
        elif kind == "removed":
            self._shown.pop(_key(row[3]), None)
        else:
            self._shown[_key(row[2])] = row[2]
        if kind != "kept":
            shown.append(row)

    def _reset(self, node: str | None) -> None:
        """Begin a present of one node, or of all; one within another widens it."""
        if self._present is None:
            self._present, self._scope = {}, None if node is None else {node}
        elif node is None:
            self._present, self._scope = {}, None
        else:
            self._present = {key: row for key, row in self._present.items() if key[2] != node}
            if self._scope is not None:
                self._scope.add(node)

    def _assemble(self, kind: str, key: RowKey, row: EventRow) -> None:
        assert self._present is not None
        if kind == "removed":
            self._present.pop(key, None)
        else:
            self._present[key] = row

    def _sync(self, row: EventRow, now: float, shown: list[EventRow]) -> None:
        """Take in that all is told, a present or what was missed."""
        self._settled = True
        differences = len(shown)
        self._differ(now, shown)
        if not self._synced:
            self._synced = True
            shown.append(row)
        elif len(shown) > differences:  # with the last one the watcher has seen all of it
            shown[-1] = _with_token(shown[-1], self._standing())

    def _differ(self, now: float, shown: list[EventRow]) -> None:
        """End a present: show how it differs from what was shown."""
        present, self._present = self._present, None
        scope, self._scope = self._scope, None
        if present is None:
            return
        for key in [key for key in self._shown if key not in present]:
            if scope is None or key[2] in scope:
                self._missing.setdefault(key, now + MISSING_SECONDS_MAX)
        for key, told in present.items():
            self._apply("added", key, told, shown)

    def _apply(self, kind: str, key: RowKey, row: EventRow, shown: list[EventRow]) -> None:
        """Show one change, if it is one."""
        if key in self._missing and kind == "added" and _another(self._shown[key], row[2]):
            stands = self._standing()  # with this node in doubt, for the addition follows
            shown.append(_with_token(self._unknown_removal(key), stands))
        self._missing.pop(key, None)
        if kind == "removed":
            before = self._shown.pop(key, None)
            if before is not None:
                self._show(shown, [kind, row[1], None, row[3] or before, *row[4:]])
            return
        before = self._shown.get(key)
        self._shown[key] = row[2]
        if before is None:
            self._show(shown, ["added", row[1], row[2], None, *row[4:]])
        elif not _alike(before, row[2]):
            # It ended and was registered anew unseen, or the steps between are not known.
            cause = "unknown" if kind == "added" and row[4] in (None, "registered") else row[4]
            self._show(shown, ["updated", row[1], row[2], before, cause, *row[5:]])

    def _show(self, shown: list[EventRow], row: EventRow) -> None:
        if self._missing and isinstance(row[6], str):
            row = _with_token(row, doubted(row[6], self._nodes_missing()))
        shown.append(row)

    def _standing(self) -> str | None:
        """Return the token of a watcher who has seen all that was shown; None where none is."""
        if self._token is None or self._number:
            return None
        return doubted(self._token, self._nodes_missing())

    def _nodes_missing(self) -> set[str]:
        """Return the nodes of which more is shown than the agent knows."""
        return {key[2] for key in self._missing}

    def _remove_missing(self, until: float | None) -> list[EventRow]:
        """Show that what is missing is gone: all of it, or what goes until then."""
        gone = [key for key, goes in self._missing.items() if until is None or goes <= until]
        return [self._unknown_removal(key) for key in gone]

    def _unknown_removal(self, key: RowKey) -> EventRow:
        del self._missing[key]
        before = self._shown.pop(key)
        return ["removed", self._told_ms, None, before, "unknown", b"", self._standing(), None]


def _key(row: Row) -> RowKey:
    return (row[0], row[1], row[2], is_meta(row))


def _with_token(row: EventRow, token: str | None) -> EventRow:
    return [*row[:6], token, *row[7:]]


def _another(one: Row, other: Row) -> bool:
    """Is this another registration of an instance, and not the same one said again?"""
    return not is_meta(one) and msgpack.unpackb(one[5])[REF] != msgpack.unpackb(other[5])[REF]


def _alike(one: Row, other: Row) -> bool:
    """Would a user see no change? The state of its node and the time of its update do not count."""
    if one[4] != other[4]:
        return False
    if one[5] == other[5]:
        return True
    updated = META_UPDATED_MS if is_meta(one) else UPDATED_MS
    bodies = [list(msgpack.unpackb(row[5])) for row in (one, other)]
    return bodies[0][:updated] + bodies[0][updated + 1 :] == (
        bodies[1][:updated] + bodies[1][updated + 1 :]
    )
