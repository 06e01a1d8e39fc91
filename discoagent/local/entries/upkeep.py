"""What operators say of instances, over whatever their checks say: `maint` and `draining`."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from discoagent.core.entry import Cause, CauseWord, Entry, Key
from discoagent.instance import Body
from discoagent.local.entries.entries import Entries
from discoagent.local.entries.lifetimes import Leases
from discoagent.local.entries.registrar import Registrar
from discoagent.local.host.owners import Asker
from discoagent.local.host.privileges import Privileges
from discoagent.local.requests.desk import Caller, Desk
from discoagent.local.requests.operations import Drain, Maint
from discoagent.local.requests.queries import Row, body_of
from discoagent.modes import DRAINING, MAINT, Mode
from discoagent.rules import Target


class Upkeep:
    """Sets and ends the modes of this node's instances. A `maint` may end by itself."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        entries: Entries,
        registrar: Registrar,
        privileges: Privileges,
    ) -> None:
        """`privileges` say who may speak for the whole node."""
        self._entries = entries
        self._registrar = registrar
        self._privileges = privileges
        self._ends = Leases(loop, self._over)

    def handlers(self, desk: Desk) -> Mapping[type, Callable[[Caller, Any], None]]:
        """Return what does each operation."""

        def maint(caller: Caller, call: Maint) -> None:
            desk.answer_change(caller, {"rows": self.maint(call, caller.asker)})

        def drain(caller: Caller, call: Drain) -> None:
            desk.answer_change(caller, {"rows": self.drain(call, caller.asker)})

        return {Maint: maint, Drain: drain}

    def maint(self, call: Maint, asker: Asker) -> list[Row]:
        """Take instances out of use, or end that; it ends `draining`, too."""
        if not call.on:
            return self._set(call.id, asker, "maint", None)
        until_ms = None if call.for_ms is None else self._entries.wall_ms() + call.for_ms
        return self._set(call.id, asker, "maint", Mode(MAINT, call.reason, until_ms))

    def drain(self, call: Drain, asker: Asker) -> list[Row]:
        """Let instances finish what they have, and get nothing new."""
        return self._set(call.id, asker, "drain", Mode(DRAINING))

    def revive(self, entry: Entry, body: Body) -> None:
        """Go on with the mode of an entry that outlived the former life."""
        self._keep(entry.key, body.mode)

    def close(self) -> None:
        """End nothing any more."""
        self._ends.close()

    def _set(self, target: Target | None, asker: Asker, word: str, mode: Mode | None) -> list[Row]:
        if target is not None:
            found = [self._registrar.own(target, asker)]
        else:
            self._privileges.check_operator(asker, f"{word} of a whole node")
            found = self._entries.services()
        cause = CauseWord.DRAINED if mode == Mode(DRAINING) else CauseWord.MAINT
        actor = self._entries.actor(asker)
        return [self._become(entry, mode, cause, actor) for entry in found]

    def _become(self, entry: Entry, mode: Mode | None, word: str, actor: bytes) -> Row:
        body = Body.unpack(body_of(entry))
        if body.mode == mode:
            return self._entries.row(entry)
        cause = Cause(word, actor, self._entries.wall_ms())
        row = self._registrar.alter(entry, body._replace(mode=mode), cause)
        self._keep(entry.key, mode)
        return row

    def _keep(self, key: Key, mode: Mode | None) -> None:
        """Have a mode ended at its time."""
        self._ends.end(key)
        if mode is not None and mode.until_ms is not None:
            left = (mode.until_ms - self._entries.wall_ms()) / 1000
            self._ends.grant(key, max(left, 0.0))

    def _over(self, keys: Sequence[Key]) -> None:
        for key in keys:
            entry = self._entries.get(key)
            if entry is None:
                continue
            mode = Body.unpack(body_of(entry)).mode
            if mode is not None and mode.until_ms is not None:
                self._become(entry, None, CauseWord.MAINT, b"")
