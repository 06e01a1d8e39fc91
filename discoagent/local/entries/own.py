"""All that bears on this node's own entries, put together: what ends, checks and changes them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from discoagent.core.effects import Effect
from discoagent.core.entry import Entry, Key, Kind
from discoagent.core.replica import Replica
from discoagent.endpoints import parse
from discoagent.instance import Body, is_plain, unpack_owner
from discoagent.local.entries.admission import Admission
from discoagent.local.entries.checks.checking import Checking
from discoagent.local.entries.checks.schedule import Hurry
from discoagent.local.entries.entries import Entries
from discoagent.local.entries.lifetimes import Lifetimes
from discoagent.local.entries.registrar import Registrar
from discoagent.local.entries.service_files import Reloads, ServiceFiles
from discoagent.local.entries.tracker import Tracker
from discoagent.local.entries.upkeep import Upkeep
from discoagent.local.host.privileges import Privileges
from discoagent.local.requests.desk import Caller, Desk
from discoagent.local.requests.queries import Queries


class Own:
    """The parts of one life that make and change entries."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        replica: Replica,
        queries: Queries,
        perform: Callable[[list[Effect]], None],
        now: Callable[[], float],
        wall_ms: Callable[[], int],
        uid: int,
        privileges: Privileges,
        boot: str,
        socket: str,
        services_dir: str | None,
        reload: Reloads,
    ) -> None:
        """`perform` runs effects; `now` and `wall_ms` are the agent's clocks, `uid` is its user.

        `socket` is told to check commands. `services_dir`: where service files are; `reload` reads
        all configuration again.
        """
        self.lifetimes = Lifetimes(loop, self._ended, boot=boot)
        environment = {"DISCO_NODE": replica.id.node, "DISCO_SOCKET": socket}
        self.checking = Checking(loop, self._checked, uid=uid, environment=environment)
        address = parse(replica.endpoint).host
        self._entries = Entries(
            replica=replica,
            lifetimes=self.lifetimes,
            perform=perform,
            now=now,
            wall_ms=wall_ms,
            uid=uid,
            gone=self.checking.release,
        )
        self.registrar = Registrar(
            self._entries, queries, self.checking, Admission(uid, privileges), address
        )
        self.upkeep = Upkeep(
            loop=loop, entries=self._entries, registrar=self.registrar, privileges=privileges
        )
        self.tracker = Tracker(self._entries)
        self.services = ServiceFiles(
            directory=services_dir,
            entries=self._entries,
            registrar=self.registrar,
            uid=uid,
            privileges=privileges,
            reload=reload,
        )

    def handlers(self, desk: Desk) -> Mapping[type, Callable[[Caller, Any], None]]:
        """Return what does each operation that is this part's own."""
        return {**self.upkeep.handlers(desk), **self.services.handlers(desk)}

    def revive(self, entry: Entry) -> None:
        """Go on with the checks and the mode of an entry that outlived the former life."""
        raw = entry.body
        if entry.kind is Kind.SERVICE and isinstance(raw, bytes) and not is_plain(raw):
            body = Body.unpack(raw)
            self.checking.bind(entry.key, unpack_owner(entry.owner).uid, body, Hurry.NONE)
            self.upkeep.revive(entry, body)

    def _ended(self, keys: Sequence[Key], word: str) -> None:
        self._entries.ended(keys, word)

    def _checked(self, key: Key) -> None:
        self.registrar.checked(key)

    def close(self) -> None:
        """Watch and check nothing any more; nothing ends by this."""
        self.upkeep.close()
        self.checking.close()
        self.lifetimes.close()
