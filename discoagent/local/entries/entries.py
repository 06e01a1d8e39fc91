"""This node's own entries: who may make and change one, what ends it, each change a step.

The same for instances (`registrar.py`) and for metas (`tracker.py`). What is asked is done at once,
or refused without a trace.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from discoagent import rules
from discoagent.core.effects import Effect
from discoagent.core.entry import Cause, CauseWord, Entry, Key, Kind
from discoagent.core.limits import ENTRIES_PER_NODE_MAX
from discoagent.core.replica import Replica
from discoagent.errors import InvalidRequest, NoInstance, Refused
from discoagent.instance import Lifetime, Owner, unpack_owner
from discoagent.local.entries.lifetimes import Lifetimes
from discoagent.local.host import owners
from discoagent.local.host.owners import Asker
from discoagent.local.host.processes import Process
from discoagent.local.requests.queries import Row, row_of
from discoagent.rules import LifetimeWish

AHEAD_MS_MAX = 100 * 366 * 24 * 3600 * 1000  # said before the clock was set back: still believed


class Wish(NamedTuple):
    """What is to own an entry and end it, once it was found that the asker may ask for it."""

    actor: bytes
    owner: bytes
    lifetime: Lifetime
    process: Process | None = None
    wrapper: Process | None = None


class Said(Protocol):
    """What a request says of an entry that was there before this life of the agent."""

    @property
    def ref(self) -> tuple[int, int] | None:
        """The ref that it had."""

    @property
    def registered_ms(self) -> int | None:
        """When it was made."""

    @property
    def updated_ms(self) -> int | None:
        """When it was changed last."""


class Stamp(NamedTuple):
    """What marks an entry that is made now; `again`: it was there before."""

    ref: tuple[int, int]
    registered_ms: int
    updated_ms: int
    again: bool = False


class Entries:
    """The entries of this node, for those who change them."""

    def __init__(
        self,
        *,
        replica: Replica,
        lifetimes: Lifetimes,
        perform: Callable[[list[Effect]], None],
        now: Callable[[], float],
        wall_ms: Callable[[], int],
        uid: int,
        gone: Callable[[Key], None],
    ) -> None:
        """`perform` runs effects; `now` and `wall_ms` are the agent's clocks, `uid` is its user.

        `gone` is told of each entry that ends.
        """
        self._replica = replica
        self._lifetimes = lifetimes
        self._perform = perform
        self._now = now
        self.wall_ms = wall_ms
        self._uid = uid
        self._gone = gone

    @property
    def node(self) -> str:
        """The name of this node."""
        return self._replica.id.node

    @property
    def incarnation(self) -> int:
        """This life of this node's agent."""
        return self._replica.id.incarnation

    @property
    def settled(self) -> bool:
        """Does nobody go on with what a former life of this node showed?"""
        record = self._replica.own.record
        return record is not None and record.settled

    @property
    def next_ref(self) -> tuple[int, int]:
        """The ref of what the next step makes."""
        return self.incarnation, self._replica.own.clock + 1

    def get(self, key: Key) -> Entry | None:
        """Return the entry of that key."""
        return self._replica.own.get(key)

    def group(self, group: tuple[Kind, str]) -> list[Entry]:
        """Return the entries of one service or topic, in no order."""
        return [entry for _, entry in self._replica.own.group(group)]

    def services(self) -> list[Entry]:
        """Return all instances, sorted by service and id."""
        entries = [entry for entry in self._replica.own if entry.kind is Kind.SERVICE]
        return sorted(entries, key=lambda entry: entry.key)

    def row(self, entry: Entry) -> Row:
        """Return an entry as the local API tells it."""
        return row_of(self.node, entry)

    # -- what may be asked for

    def wish(self, wanted: LifetimeWish, wrapper: int | None, asker: Asker) -> Wish:
        """Return what this lifetime comes to. Raises what speaks against it."""
        mine = self._process_of(asker)
        if wanted.kind == "process":
            return self._wish_process(wanted, wrapper, asker, mine)
        if wrapper is not None:
            raise InvalidRequest(
                f"wrapper: only a process has one, not a {wanted.kind} lifetime", field="wrapper"
            )
        exe, unit = (mine.facts.exe, mine.facts.unit) if mine else (None, None)
        owner = owners.user_owner(wanted.kind, Owner(asker.uid, asker.pid or None, exe, unit))
        lifetime = Lifetime(wanted.kind, ttl_ms=wanted.ttl_ms)
        return Wish(_actor(asker, mine), owner, lifetime)

    def _wish_process(
        self, wanted: LifetimeWish, wrapping: int | None, asker: Asker, mine: Process | None
    ) -> Wish:
        if asker.pid == 0 or (mine is not None and not mine.ours):
            raise InvalidRequest(
                "lifetime: a process in another pid namespace cannot be watched: use a ttl",
                field="lifetime",
            )
        pid = wanted.pid or asker.pid
        process = mine if pid == asker.pid else self._lifetimes.processes.living(pid)
        if process is None:
            raise NoInstance(f"lifetime: process {pid} does not live", field="lifetime")
        # The asker's own, too: it may have become another program, of another user, since it
        # connected, and somebody else may hold the connection.
        if asker.uid not in (0, process.facts.uid):
            raise Refused(
                f"process {pid} belongs to uid {process.facts.uid}: only that user and root may "
                f"register for it, not uid {asker.uid}",
                kind="permission",
                field="lifetime",
            )
        wrapper = None
        if wrapping is not None:
            if wrapping != asker.pid or process is mine or mine is None:
                raise InvalidRequest(
                    f"wrapper: must be the asker's own pid ({asker.pid}) and another than the "
                    f"process's, not {wrapping}",
                    field="wrapper",
                )
            wrapper = mine
        lifetime = Lifetime("process", pid=pid)
        return Wish(_actor(asker, mine), process.owner, lifetime, process, wrapper)

    def check_room(self, field: str) -> None:
        """Raise InvalidRequest if this node holds as many entries as it may."""
        own = self._replica.own
        if len(own) > ENTRIES_PER_NODE_MAX:
            raise InvalidRequest(
                f"{field}: this node holds {len(own)} entries, the bound is {ENTRIES_PER_NODE_MAX}",
                field=field,
            )

    def check_may_change(self, asker: Asker, entry: Entry, what: str) -> None:
        """Raise Refused unless the asker may change or remove this entry; `what` names it."""
        owners.check_may_change(asker, entry, self._uid, what)

    def owned(self, entry: Entry, asker: Asker) -> bool:
        """Is the asker what owns this entry: its process, or the user of one without?"""
        if owners.process_of(entry.owner) is None:
            return unpack_owner(entry.owner).uid == asker.uid
        process = self._process_of(asker)
        return process is not None and owners.same_identity(process.owner, entry.owner)

    def kind(self, entry: Entry) -> str:
        """Return what kind of lifetime an entry of this node has."""
        if entry.key in self._lifetimes.leases:
            return "lease"
        return "static" if owners.process_of(entry.owner) is None else "process"

    def lives(self, entry: Entry) -> bool:
        """Has the owner of this entry not ended yet?"""
        return self._lifetimes.lives(entry, self.kind(entry))

    def make_way(self, entry: Entry) -> None:
        """Remove an entry whose owner has ended, though we were not told yet."""
        self.ended([entry.key], self._lifetimes.ending(entry))

    # -- steps

    def stamp(self, said: Said, at_ms: int) -> Stamp:
        """Return what marks an entry that is made at this time.

        A ref of another life was said again after this agent's restart (of a later one, if the
        clock was set back). One of this life is that of an entry which has ended: it does not come
        back, this is another.
        """
        if said.ref is None or said.ref[0] == self.incarnation:
            return Stamp(self.next_ref, at_ms, at_ms)
        latest_ms = at_ms + AHEAD_MS_MAX
        registered_ms = min(said.registered_ms or at_ms, latest_ms)
        updated_ms = max(registered_ms, min(said.updated_ms or registered_ms, latest_ms))
        return Stamp(said.ref, registered_ms, updated_ms, again=True)

    def add(
        self, key: Key, body: bytes, wish: Wish, at_ms: int, word: str = CauseWord.REGISTERED
    ) -> Row:
        """Make an entry."""
        return self._put(key, body, wish, Cause(word, wish.actor, at_ms))

    def overwrite(self, before: Entry, body: bytes, wish: Wish, word: str, at_ms: int) -> Row:
        """Change an entry, and what ends it, and perhaps who owns it."""
        return self._put(before.key, body, wish, Cause(word, wish.actor, at_ms), before)

    def change(self, before: Entry, body: bytes, asker: Asker, at_ms: int) -> Row:
        """Change what an entry says, and nothing else of it."""
        return self.alter(before, body, Cause(CauseWord.UPDATED, self.actor(asker), at_ms))

    def alter(self, before: Entry, body: bytes, cause: Cause) -> Row:
        """Change what an entry says, for any cause."""
        rules.entry_size(before.name, before.id, body)
        after = replace(before, body=body)
        self._step(after, cause)
        return self.row(after)

    def hold(self, before: Entry, wish: Wish) -> Row:
        """Leave an entry as it is: its owner has said it again."""
        self._bind(before.key, wish)
        return self.row(before)

    def end(self, entry: Entry, asker: Asker, word: str | None) -> Row:
        """Remove an entry, because somebody says so; return it as it was.

        `word`: how its process ended, as its wrapper tells.
        """
        if word is not None:
            self._check_wrapper(entry, asker)
        cause = Cause(word or CauseWord.DEREGISTERED, self.actor(asker), self.wall_ms())
        self._withdraw(entry, cause)
        return self.row(entry)

    def remove(self, entry: Entry, word: str, actor: bytes) -> None:
        """Remove an entry, for any cause."""
        self._withdraw(entry, Cause(word, actor, self.wall_ms()))

    def ended(self, keys: Sequence[Key], word: str) -> None:
        """Remove what its process or lease no longer keeps, in this order."""
        cause = Cause(word, b"", self.wall_ms())
        for key in keys:
            entry = self.get(key)
            if entry is not None:
                self._withdraw(entry, cause)

    def renew(self, entry: Entry, what: str) -> None:
        """Give a lease its whole time again. No event: nothing that anybody sees has changed."""
        if entry.key not in self._lifetimes.leases:
            raise InvalidRequest(
                f"id: {what} has a {self.kind(entry)} lifetime, only a lease is renewed", field="id"
            )
        self._lifetimes.leases.renew(entry.key)

    def _put(
        self, key: Key, body: bytes, wish: Wish, cause: Cause, before: Entry | None = None
    ) -> Row:
        rules.entry_size(key[1], key[2], body)
        if before is not None:
            self._lifetimes.release(before)
        entry = Entry(*key, wish.owner, body)
        self._step(entry, cause)
        self._bind(key, wish)
        return self.row(entry)

    def _step(self, entry: Entry, cause: Cause) -> None:
        self._perform(self._replica.put(entry, cause, self._now()))

    def _withdraw(self, entry: Entry, cause: Cause) -> None:
        self._lifetimes.release(entry)
        self._gone(entry.key)
        self._perform(self._replica.withdraw(entry.key, cause, self._now()))

    def _bind(self, key: Key, wish: Wish) -> None:
        if wish.process is not None:
            self._lifetimes.bind(key, wish.process, wish.wrapper)
        elif wish.lifetime.ttl_ms is not None:
            self._lifetimes.leases.grant(key, wish.lifetime.ttl_ms / 1000)

    def actor(self, asker: Asker) -> bytes:
        """Pack who makes a change."""
        return _actor(asker, self._process_of(asker))

    def _check_wrapper(self, entry: Entry, asker: Asker) -> None:
        wrapper = self._lifetimes.wrapper_of(entry.key)
        if wrapper is None or wrapper.facts.pid != asker.pid:
            raise Refused(
                "cause: only the wrapper that registered this may tell how its process ended",
                kind="permission",
                field="cause",
            )

    def _process_of(self, asker: Asker) -> Process | None:
        return self._lifetimes.processes.find(asker.pid) if asker.pid else None


def _actor(asker: Asker, process: Process | None) -> bytes:
    """Pack who makes a change; `process` is the asker's."""
    if process is not None and process.facts.uid == asker.uid:
        return process.actor
    return owners.actor_of(asker, process.facts if process else None)
