"""The instances that service files want: made at the start and at each reload.

A reload is a difference, not a replacement: what is wanted as before is not touched. Of a file that
cannot be used nothing changes either; the others are applied.
"""

import logging
import pwd
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol

from discoagent.core.entry import CauseWord, Entry, Key, Kind
from discoagent.errors import Conflict, DiscoError, InvalidRequest
from discoagent.instance import Json, Lifetime, Owner, unpack_owner
from discoagent.local.entries.entries import Entries, Wish
from discoagent.local.entries.registrar import Registrar
from discoagent.local.entries.service_reader import read_all
from discoagent.local.entries.services import Problem, Service
from discoagent.local.host import owners
from discoagent.local.host.privileges import Privileges
from discoagent.local.requests.desk import Caller, Desk
from discoagent.local.requests.operations import Reload

FILE = "file"  # the kind of owner that no user is, who registers by hand

_log = logging.getLogger("discoagent")


class Change(NamedTuple):
    """What a reload does with one instance: `added`, `updated` or `removed`."""

    change: str
    service: str
    id: str
    file: str | None


class Outcome(NamedTuple):
    """What a reload did, or would do, and what it could not use."""

    changes: list[Change]
    problems: list[Problem]

    @property
    def removed(self) -> list[Key]:
        """What is wanted no more."""
        return [(Kind.SERVICE, it.service, it.id) for it in self.changes if it.change == "removed"]

    def to_json(self) -> Json:
        """Return the part of a reload's answer that is about services."""
        return {
            "services": [change._asdict() for change in self.changes],
            "problems": [problem._asdict() for problem in self.problems],
        }


class Reloads(Protocol):
    """Reads all configuration again, for whom it says; with `dry_run` only to see."""

    def __call__(self, *, dry_run: bool, actor: bytes) -> Json:
        """Return what changed, or would."""


class ServiceFiles:
    """The files of one directory, and what came of them."""

    def __init__(
        self,
        *,
        directory: str | None,
        entries: Entries,
        registrar: Registrar,
        uid: int,
        privileges: Privileges,
        reload: Reloads,
    ) -> None:
        """`reload` reads the configuration, too, and applies these. `uid` is the agent's user."""
        self.problems: list[Problem] = []  # of the files as they are in force
        self._directory = directory
        self._entries = entries
        self._registrar = registrar
        self._uid = uid
        self._privileges = privileges
        self._reload = reload
        self._origins: dict[Key, str] = {}

    def handlers(self, desk: Desk) -> Mapping[type, Callable[[Caller, Any], None]]:
        """Return what does each operation."""

        def reload(caller: Caller, call: Reload) -> None:
            self._privileges.check_operator(caller.asker, "reload")
            actor = self._entries.actor(caller.asker)
            desk.answer_change(caller, self._reload(dry_run=call.dry_run, actor=actor))

        return {Reload: reload}

    def apply(self, *, dry_run: bool = False, actor: bytes = b"") -> Outcome:
        """Make what the files say so; with `dry_run` only say what would be done."""
        self._registrar.settle()  # what waits to be made since the start is among what is compared
        wanted, problems = read_all(self._directory, self._uid)
        outcome = Outcome([], problems)
        bad = {problem.file for problem in problems}
        for key, service in wanted.items():
            try:
                change = self._make(key, service, actor, dry_run=dry_run)
            except DiscoError as error:
                problem = Problem(service.file, service.line, error.field, error.message)
                problems.append(problem)
                continue
            if change is not None:
                outcome.changes.append(Change(change, key[1], key[2], service.file))
        for entry in self._unwanted(wanted, bad):
            origin = self._origins.get(entry.key)
            outcome.changes.append(Change("removed", entry.name, entry.id, origin))
            if not dry_run:
                self._entries.remove(entry, CauseWord.RELOAD, actor)
                self._origins.pop(entry.key, None)
        if not dry_run:
            self.problems = problems
            _tell(outcome)
        return outcome

    def _make(self, key: Key, service: Service, actor: bytes, *, dry_run: bool) -> str | None:
        """Make one instance as it is wanted; return what changes by that."""
        before = self._entries.get(key)
        if before is not None and not _is_of_a_file(before):
            if self._entries.lives(before):
                owner = owners.describe(unpack_owner(before.owner))
                raise Conflict(f"id: {key[1]}/{key[2]} is registered by {owner}", field="id")
            if not dry_run:
                self._entries.make_way(before)
            before = None
        owner_bytes = owners.user_owner(FILE, Owner(self._user(service)))
        wish = Wish(actor, owner_bytes, Lifetime("static"))
        change = self._registrar.declare(service.call, key, wish, before, dry_run=dry_run)
        if not dry_run:
            self._origins[key] = service.file
        return change

    def _user(self, service: Service) -> int:
        match service.user:
            case None:
                return self._uid
            case int(uid):
                return uid
            case name:
                try:
                    return pwd.getpwnam(name).pw_uid
                except KeyError:
                    raise InvalidRequest(f"user: there is no {name}", field="user") from None

    def _unwanted(self, wanted: Collection[Key], bad: Collection[str]) -> list[Entry]:
        """Return what a file wanted once; not if that may be one of those that are bad now.

        After a restart of the agent it is not known which file an entry is of.
        """
        if self._directory in bad:  # itself: it is not known what is in it
            return []
        gone = []
        for entry in self._entries.services():
            if entry.key not in wanted and _is_of_a_file(entry):
                origin = self._origins.get(entry.key)
                if not bad or (origin is not None and origin not in bad):
                    gone.append(entry)
        return gone


def _is_of_a_file(entry: Entry) -> bool:
    owner = owners.user_owner(FILE, Owner(unpack_owner(entry.owner).uid))
    return owners.same_identity(entry.owner, owner)


def _tell(outcome: Outcome) -> None:
    for problem in outcome.problems:
        _log.error("%s; what it wanted before stays", problem)
    for change in outcome.changes:
        _log.info("service files: %s/%s %s", change.service, change.id, change.change)
