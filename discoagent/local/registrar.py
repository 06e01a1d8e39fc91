"""The changing operations: who may, what differs, what ends it; each a step of our own chain."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from discoagent import rules
from discoagent.core.effects import Effect
from discoagent.core.entry import Cause, CauseWord, Entry, Key, Kind
from discoagent.core.limits import ENTRIES_PER_NODE_MAX
from discoagent.core.replica import Replica
from discoagent.errors import Conflict, InvalidRequest, NoInstance, Refused
from discoagent.instance import Body, Lifetime, Owner, unpack_owner
from discoagent.local import owners
from discoagent.local.lifetimes import Lifetimes
from discoagent.local.operations import KEEP, Deregister, Register, Renew, Update
from discoagent.local.owners import Asker
from discoagent.local.processes import Process
from discoagent.local.queries import Queries, Row, body_of, name_of, row_of
from discoagent.rules import Target

PASSING = "passing"
AHEAD_MS_MAX = 100 * 366 * 24 * 3600 * 1000  # said before the clock was set back: still believed


class Wish(NamedTuple):
    """What is to own an entry and end it, once it was found that the asker may ask for it."""

    actor: bytes
    owner: bytes
    lifetime: Lifetime
    process: Process | None = None
    wrapper: Process | None = None


class Registrar:
    """This node's registrations. What is asked is done at once, or refused without a trace."""

    def __init__(
        self,
        *,
        replica: Replica,
        queries: Queries,
        perform: Callable[[list[Effect]], None],
        now: Callable[[], float],
        wall_ms: Callable[[], int],
        address: str,
        uid: int,
    ) -> None:
        """`perform` runs effects; `now` and `wall_ms` are the agent's clocks, `uid` is its user.

        `address`: what an instance gets that names none. `lifetimes` is set before the first call.
        """
        self.lifetimes: Lifetimes
        self._replica = replica
        self._queries = queries
        self._perform = perform
        self._now = now
        self._wall_ms = wall_ms
        self._address = address
        self._uid = uid

    # -- register

    def register(self, call: Register, asker: Asker) -> tuple[Row, bool]:
        """Register or change an instance; return its row, and whether it was there before."""
        wish = self._wish(call, asker)
        key = (Kind.SERVICE, call.service, call.id or _default_id(call, wish))
        before = self._replica.own.get(key)
        if before is None:
            return self._add(call, key, wish)
        if owners.same_identity(before.owner, wish.owner):
            return self._change(call, before, wish), True
        if not self.lifetimes.lives(before, _kind(before)):
            self.ended([key], CauseWord.EXIT)
            return self._add(call, key, wish)
        self._check_replace(call, before, asker)
        return self._overwrite(call, before, wish, CauseWord.REPLACED), False

    def _wish(self, call: Register, asker: Asker) -> Wish:
        wanted = call.lifetime
        mine = self._process_of(asker)
        if wanted.kind == "process":
            return self._wish_process(call, asker, mine)
        if call.wrapper is not None:
            raise InvalidRequest(
                f"wrapper: only a process has one, not a {wanted.kind} lifetime", field="wrapper"
            )
        exe, unit = (mine.facts.exe, mine.facts.unit) if mine else (None, None)
        owner = owners.user_owner(wanted.kind, Owner(asker.uid, asker.pid or None, exe, unit))
        lifetime = Lifetime(wanted.kind, ttl_ms=wanted.ttl_ms)
        return Wish(_actor(asker, mine), owner, lifetime)

    def _wish_process(self, call: Register, asker: Asker, mine: Process | None) -> Wish:
        if asker.pid == 0 or (mine is not None and not mine.ours):
            raise InvalidRequest(
                "lifetime: a process in another pid namespace cannot be watched: use a ttl",
                field="lifetime",
            )
        pid = call.lifetime.pid or asker.pid
        process = mine if pid == asker.pid else self.lifetimes.processes.find(pid)
        if process is None or (process is not mine and process.ended()):
            raise NoInstance(f"lifetime: process {pid} does not live", field="lifetime")
        if process is not mine and asker.uid not in (0, process.facts.uid):
            raise Refused(
                f"process {pid} belongs to uid {process.facts.uid}: only that user and root may "
                f"register for it, not uid {asker.uid}",
                kind="permission",
                field="lifetime",
            )
        wrapper = None
        if call.wrapper is not None:
            if call.wrapper != asker.pid or process is mine or mine is None:
                raise InvalidRequest(
                    f"wrapper: must be the asker's own pid ({asker.pid}) and another than the "
                    f"process's, not {call.wrapper}",
                    field="wrapper",
                )
            wrapper = mine
        lifetime = Lifetime("process", pid=pid)
        return Wish(_actor(asker, mine), process.owner, lifetime, process, wrapper)

    def _add(self, call: Register, key: Key, wish: Wish) -> tuple[Row, bool]:
        own = self._replica.own
        if len(own) > ENTRIES_PER_NODE_MAX:
            raise InvalidRequest(
                f"service: this node holds {len(own)} entries, the bound is {ENTRIES_PER_NODE_MAX}",
                field="service",
            )
        now_ms = self._wall_ms()
        incarnation = self._replica.id.incarnation
        # A ref of another life was said again after this agent's restart (of a later one, if the
        # clock was set back). One of this life is that of an entry which has ended: it does not
        # come back, this is another.
        ref = call.ref if call.ref and call.ref[0] != incarnation else None
        registered_ms = updated_ms = now_ms
        if ref is not None:
            latest_ms = now_ms + AHEAD_MS_MAX
            registered_ms = min(call.registered_ms or now_ms, latest_ms)
            updated_ms = max(registered_ms, min(call.updated_ms or registered_ms, latest_ms))
        body = self._pack(
            call, wish, registered_ms, updated_ms, ref or (incarnation, own.clock + 1)
        )
        row = self._put(key, body, wish, Cause(CauseWord.REGISTERED, wish.actor, now_ms))
        return row, ref is not None

    def _change(self, call: Register, before: Entry, wish: Wish) -> Row:
        """Register again by the same owner: nothing happens where nothing differs."""
        held = Body.unpack(body_of(before))
        body = self._pack(call, wish, held.registered_ms, held.updated_ms, held.ref)
        if body == before.body and (wish.process is None or wish.owner == before.owner):
            self._bind(before.key, wish)
            return row_of(self._replica.id.node, before)
        return self._overwrite(call, before, wish, CauseWord.UPDATED)

    def _overwrite(self, call: Register, before: Entry, wish: Wish, word: str) -> Row:
        held = Body.unpack(body_of(before))
        now_ms = self._wall_ms()
        updated_ms = max(now_ms, held.registered_ms)
        body = self._pack(call, wish, held.registered_ms, updated_ms, held.ref)
        return self._put(before.key, body, wish, Cause(word, wish.actor, now_ms), before)

    def _pack(
        self, call: Register, wish: Wish, registered_ms: int, updated_ms: int, ref: tuple[int, int]
    ) -> bytes:
        return Body(
            call.address or self._address,
            call.port,
            call.tags,
            call.meta,
            PASSING,
            wish.lifetime,
            registered_ms,
            updated_ms,
            ref,
        ).pack()

    def _put(
        self, key: Key, body: bytes, wish: Wish, cause: Cause, before: Entry | None = None
    ) -> Row:
        rules.entry_size(key[1], key[2], body)
        if before is not None:
            self.lifetimes.release(before)
        entry = Entry(Kind.SERVICE, key[1], key[2], wish.owner, body)
        self._perform(self._replica.put(entry, cause, self._now()))
        self._bind(key, wish)
        return row_of(self._replica.id.node, entry)

    def _bind(self, key: Key, wish: Wish) -> None:
        if wish.process is not None:
            self.lifetimes.bind(key, wish.process, wish.wrapper)
        elif wish.lifetime.ttl_ms is not None:
            self.lifetimes.leases.grant(key, wish.lifetime.ttl_ms / 1000)

    def _check_replace(self, call: Register, before: Entry, asker: Asker) -> None:
        """Raise Conflict or Refused unless the asker takes over, and may, what another owns."""
        owner = unpack_owner(before.owner)
        what = f"{before.name}/{before.id} is registered by {owners.describe(owner)}"
        if not call.replace:
            raise Conflict(f"{what}, a living {_kind(before)} owner; see replace", field="id")
        if asker.uid not in (owner.uid, 0):
            raise Refused(
                f"{what}: only that user and root may replace it, not uid {asker.uid}",
                kind="permission",
            )

    # -- update, renew, deregister

    def update(self, call: Update, asker: Asker) -> Row:
        """Change what is named of an instance of this node and keep the rest."""
        entry = self._own(call.id, asker)
        held = Body.unpack(body_of(entry))
        now_ms = self._wall_ms()
        changed = held._replace(
            address=held.address if call.address is KEEP else call.address,
            port=held.port if call.port is KEEP else call.port,
            tags=_changed_tags(held.tags, call),
            meta=_changed_meta(held.meta, call),
        )
        if changed == held:
            return row_of(self._replica.id.node, entry)
        body = changed._replace(updated_ms=max(now_ms, held.registered_ms)).pack()
        rules.entry_size(entry.name, entry.id, body)
        after = Entry(entry.kind, entry.name, entry.id, entry.owner, body)
        cause = Cause(CauseWord.UPDATED, self._actor(asker), now_ms)
        self._perform(self._replica.put(after, cause, self._now()))
        return row_of(self._replica.id.node, after)

    def renew(self, call: Renew, asker: Asker) -> Row:
        """Give a lease its whole time again. No event: nothing that anybody sees has changed."""
        entry = self._own(call.id, asker)
        if entry.key not in self.lifetimes.leases:
            name = name_of(self._replica.id.node, entry)
            raise InvalidRequest(
                f"id: {name} has a {_kind(entry)} lifetime, only a lease is renewed", field="id"
            )
        self.lifetimes.leases.renew(entry.key)
        return row_of(self._replica.id.node, entry)

    def deregister(self, call: Deregister, asker: Asker) -> Row:
        """End an instance of this node; return it as it was."""
        entry = self._own(call.id, asker)
        if call.cause is not None:
            self._check_wrapper(entry.key, asker)
        word = call.cause or CauseWord.DEREGISTERED
        self._withdraw(entry, Cause(word, self._actor(asker), self._wall_ms()))
        return row_of(self._replica.id.node, entry)

    def ended(self, keys: Sequence[Key], word: str) -> None:
        """Remove what its process or lease no longer keeps, in this order."""
        cause = Cause(word, b"", self._wall_ms())
        for key in keys:
            entry = self._replica.own.get(key)
            if entry is not None:
                self._withdraw(entry, cause)

    def _withdraw(self, entry: Entry, cause: Cause) -> None:
        self.lifetimes.release(entry)
        self._perform(self._replica.withdraw(entry.key, cause, self._now()))

    def _own(self, target: Target, asker: Asker) -> Entry:
        """Return the entry of this node that the asker means and may change."""
        node = self._replica.id.node
        entry = None
        if target.service is not None and target.node in (None, node):
            entry = self._replica.own.get((Kind.SERVICE, target.service, target.id))
        if entry is None:
            shown = self._queries.resolve(target)
            if shown.node != node:
                raise Refused(
                    f"{name_of(shown.node, shown.entry)} is registered on node {shown.node}: "
                    "only there can it be changed, run this on that node",
                    kind="other-node",
                    field="id",
                )
            entry = shown.entry
        owners.check_may_change(asker, entry, self._uid, name_of(node, entry))
        return entry

    def _check_wrapper(self, key: Key, asker: Asker) -> None:
        wrapper = self.lifetimes.wrapper_of(key)
        if wrapper is None or wrapper.facts.pid != asker.pid:
            raise Refused(
                "cause: only the wrapper that registered this may tell how its process ended",
                kind="permission",
                field="cause",
            )

    def _process_of(self, asker: Asker) -> Process | None:
        return self.lifetimes.processes.find(asker.pid) if asker.pid else None

    def _actor(self, asker: Asker) -> bytes:
        return _actor(asker, self._process_of(asker))


def _actor(asker: Asker, process: Process | None) -> bytes:
    """Pack who makes a change; `process` is the asker's."""
    if process is not None and process.facts.uid == asker.uid:
        return process.actor
    return owners.actor_of(asker, process.facts if process else None)


def _kind(entry: Entry) -> str:
    return Body.unpack(body_of(entry)).lifetime.kind


def _default_id(call: Register, wish: Wish) -> str:
    suffix = call.port if call.port is not None else wish.lifetime.pid
    instance = call.service if suffix is None else f"{call.service}-{suffix}"
    return rules.name(instance, "id")


def _changed_tags(held: tuple[str, ...], call: Update) -> tuple[str, ...]:
    tags = held if call.tags is KEEP else call.tags
    kept = [tag for tag in tags if tag not in call.untag]
    return rules.fold_tags([*kept, *call.tag], "tag")


def _changed_meta(held: Mapping[str, str], call: Update) -> dict[str, str]:
    meta = dict(held if call.meta is KEEP else call.meta)
    for key in call.unset:
        meta.pop(key, None)
    meta |= call.set
    rules.count_meta(meta, "set")
    return meta
