"""The changing operations: who may, what differs, what ends it; each a step of our own chain."""

from collections.abc import Callable, Mapping
from sys import intern

from discoagent import rules
from discoagent.checks.spec import PASSING, PORT, Json, carried, of, worst
from discoagent.core.entry import Cause, CauseWord, Entry, Key, Kind
from discoagent.core.replica import Shown
from discoagent.errors import InvalidRequest, NoInstance, Refused
from discoagent.instance import Body, unpack_owner
from discoagent.local.entries.admission import Admission
from discoagent.local.entries.checks.checking import Checking
from discoagent.local.entries.entries import Entries, Stamp, Wish
from discoagent.local.host import owners
from discoagent.local.host.owners import Asker
from discoagent.local.requests.operations import KEEP, Deregister, Register, Renew, Ttl, Update
from discoagent.local.requests.queries import Queries, Row, body_of, name_of
from discoagent.modes import DRAINING
from discoagent.rules import Target


class Registrar:
    """This node's instances. What is asked is done at once, or refused without a trace."""

    def __init__(
        self,
        entries: Entries,
        queries: Queries,
        checking: Checking,
        admission: Admission,
        address: str,
    ) -> None:
        """`address`: what an instance gets that names none."""
        self._entries = entries
        self._queries = queries
        self._checking = checking
        self._admission = admission
        self._address = address
        self._looking: dict[Key, list[Callable[[], object]]] = {}

    # -- register

    def register(self, call: Register, asker: Asker) -> tuple[Row, bool]:
        """Register or change an instance; return its row, and whether it was there before."""
        key, wish, before = self._admitted(call, asker)
        if before is None:
            return self._add(call, key, wish)
        if owners.same_identity(before.owner, wish.owner):
            return self._change(call, before, wish), True
        if not self._entries.lives(before):
            self._entries.make_way(before)
            return self._add(call, key, wish)
        return self._replace(call, before, wish), False

    def rehearse(self, call: Register, asker: Asker) -> None:
        """Raise what speaks against a registration, and do nothing.

        Not that its process listens elsewhere: of one that is still to begin nobody knows.
        """
        self._admitted(call, asker)

    def _admitted(self, call: Register, asker: Asker) -> tuple[Key, Wish, Entry | None]:
        """Return what is to be registered, and the entry that has its key, if it may be."""
        wish = self._entries.wish(call.lifetime, call.wrapper, asker)
        self._admission.admit(call, wish, asker)
        # Services are few and named often: each name is kept once.
        key = (Kind.SERVICE, intern(call.service), call.id or _default_id(call, wish))
        before = self._entries.get(key)
        ours = before is None or owners.same_identity(before.owner, wish.owner)
        if before is not None and not ours and self._entries.lives(before):
            self._admission.check_replace(call, before, self._entries.kind(before), asker)
        return key, wish, before

    def declare(
        self, call: Register, key: Key, wish: Wish, before: Entry | None, *, dry_run: bool
    ) -> str | None:
        """Make an instance as a service file wants it; `before` is one that a file wanted.

        Returns `added`, `updated`, or None if nothing differs. With `dry_run` nothing is done.
        """
        self._admission.check_checks(call.checks, unpack_owner(wish.owner).uid, call.port)
        if before is None:
            if not dry_run:
                self._declare(call, key, wish)
            return "added"
        body = self._said(call, wish, Body.unpack(body_of(before)))
        if body.pack() == before.body and owners.same_identity(before.owner, wish.owner):
            return None
        if not dry_run:
            self._overwrite(body, before, wish, CauseWord.RELOAD)
        return "updated"

    def _declare(self, call: Register, key: Key, wish: Wish) -> None:
        def add() -> None:
            if self._entries.get(key) is None:
                self._add(call, key, wish, CauseWord.RELOAD)

        if self._entries.settled or not self._looks(call, key, wish, add):
            add()

    def waits(self, call: Register, asker: Asker, then: Callable[[], object]) -> bool:
        """Does a registration that is said again wait for its checks? `then` is to make it.

        This node has lost its state, and the others may show the instance as passing: until it is
        known whether it is, or this life is settled, they go on with that.
        """
        again = call.ref is not None and call.ref[0] != self._entries.incarnation
        if not again or call.id is None or self._entries.settled:
            return False
        wish = self._entries.wish(call.lifetime, call.wrapper, asker)
        self._admission.admit(call, wish, asker)
        key = (Kind.SERVICE, intern(call.service), call.id)
        return self._entries.get(key) is None and self._looks(call, key, wish, then)

    def _looks(self, call: Register, key: Key, wish: Wish, then: Callable[[], object]) -> bool:
        """Are the checks asked before the instance is made? `then` is called when they were."""
        waiting = self._looking.get(key)
        if waiting is not None:
            waiting.append(then)
            return True
        body = self._new(call, key, wish, self._entries.stamp(call, self._entries.wall_ms()))
        self._entries.check_room("service")
        rules.entry_size(key[1], key[2], body.pack())
        uid = unpack_owner(wish.owner).uid
        if not body.checks or not self._checking.look(key, uid, body, lambda: self._looked(key)):
            return False
        self._looking[key] = [then]
        return True

    def _looked(self, key: Key) -> None:
        for then in self._looking.pop(key, ()):
            then()
        if self._entries.get(key) is None:  # its process has ended meanwhile
            self._checking.release(key)

    def settle(self) -> None:
        """Make what waits for its checks: nobody goes on with what was before any more."""
        for key in list(self._looking):
            self._looked(key)

    def _add(
        self, call: Register, key: Key, wish: Wish, word: str = CauseWord.REGISTERED
    ) -> tuple[Row, bool]:
        self._entries.check_room("service")
        at_ms = self._entries.wall_ms()
        stamp = self._entries.stamp(call, at_ms)
        body = self._new(call, key, wish, stamp)
        row = self._entries.add(key, body.pack(), wish, at_ms, word)
        self._checking.bind(key, unpack_owner(wish.owner).uid, body)
        return row, stamp.again

    def _new(self, call: Register, key: Key, wish: Wish, stamp: Stamp) -> Body:
        body = Body(
            address=call.address or self._address,
            port=call.port,
            tags=call.tags,
            meta=call.meta,
            state=PASSING,
            lifetime=wish.lifetime,
            registered_ms=stamp.registered_ms,
            updated_ms=stamp.updated_ms,
            ref=stamp.ref,
        )
        checks = self._port_checks(call, wish, None)
        if call.checks:
            found = self._checking.found(key, unpack_owner(wish.owner).uid, body)
            checks = carried(call.checks, found) + checks
        return body._replace(checks=checks, state=worst(checks)) if checks else body

    def _change(self, call: Register, before: Entry, wish: Wish) -> Row:
        """Register again by the same owner: nothing happens where nothing differs."""
        held = Body.unpack(body_of(before))
        body = self._said(call, wish, held)
        if body.pack() == before.body and (wish.process is None or wish.owner == before.owner):
            return self._entries.hold(before, wish)
        return self._overwrite(body, before, wish, CauseWord.UPDATED)

    def _replace(self, call: Register, before: Entry, wish: Wish) -> Row:
        """Take over: the checks begin anew, for another process answers them."""
        held = Body.unpack(body_of(before))._replace(checks=())
        if held.mode is not None and held.mode.state == DRAINING:
            held = held._replace(mode=None)  # which the former process was
        body = self._said(call, wish, held)
        row = self._overwrite(body, before, wish, CauseWord.REPLACED)
        self._checking.release(before.key)
        self._checking.bind(before.key, unpack_owner(wish.owner).uid, body)
        return row

    def _overwrite(self, body: Body, before: Entry, wish: Wish, word: str) -> Row:
        at_ms = self._entries.wall_ms()
        body = body._replace(updated_ms=max(at_ms, body.registered_ms))
        row = self._entries.overwrite(before, body.pack(), wish, word, at_ms)
        self._checking.bind(before.key, unpack_owner(wish.owner).uid, body)
        return row

    def _said(self, call: Register, wish: Wish, held: Body) -> Body:
        """Return what a registration says, with what is kept of the entry that is there."""
        body = held._replace(
            address=call.address or self._address,
            port=call.port,
            tags=call.tags,
            meta=call.meta,
            lifetime=wish.lifetime,
            checks=carried(call.checks, held.checks) + self._port_checks(call, wish, held),
        )
        return body._replace(state=_state(body))

    def _port_checks(self, call: Register, wish: Wish, held: Body | None) -> tuple[Json, ...]:
        """Return the check that the port is true: one that was made is not made again."""
        before = () if held is None else _port_checks(held)
        if held and before and held.port == call.port and held.lifetime == wish.lifetime:
            return before
        check = self._admission.port_check(call, wish)
        return () if check is None else (check,)

    # -- update, renew, deregister

    def update(self, call: Update, asker: Asker) -> Row:
        """Change what is named of an instance of this node and keep the rest."""
        entry = self.own(call.id, asker)
        held = Body.unpack(body_of(entry))
        changed = held._replace(
            address=held.address if call.address is KEEP else call.address,
            port=held.port if call.port is KEEP else call.port,
            tags=_changed_tags(held.tags, call),
            meta=_changed_meta(held.meta, call),
        )
        if call.checks is not KEEP:
            checks = carried(call.checks, held.checks) + _port_checks(held)
            changed = changed._replace(checks=checks)
        if changed.port != held.port and _port_checks(held):
            changed = changed._replace(checks=self._port_anew(changed))
        if changed == held:
            return self._entries.row(entry)
        if (changed.checks, changed.port) != (held.checks, held.port):
            uid = unpack_owner(entry.owner).uid
            self._admission.check_checks(tuple(map(of, changed.checks)), uid, changed.port)
        cause = Cause(CauseWord.UPDATED, self._entries.actor(asker), self._entries.wall_ms())
        return self.alter(entry, changed, cause)

    def _port_anew(self, body: Body) -> tuple[Json, ...]:
        """Look at the port that an instance has now."""
        others = tuple(check for check in body.checks if check["kind"] != PORT)
        if body.port is None or body.lifetime.pid is None:
            return others
        return (*others, self._admission.verified(body.lifetime.pid, body.port))

    def alter(self, entry: Entry, body: Body, cause: Cause) -> Row:
        """Change an entry of this node, whose owner stays."""
        body = body._replace(state=_state(body), updated_ms=max(cause.at, body.registered_ms))
        row = self._entries.alter(entry, body.pack(), cause)
        self._checking.bind(entry.key, unpack_owner(entry.owner).uid, body)
        return row

    def checked(self, key: Key, actor: bytes = b"") -> Row | None:
        """Take in that the state of a check of this entry has changed."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        body = Body.unpack(body_of(entry))
        states = self._checking.states(key)
        checks = tuple(
            {**check, "state": state, "flapping": flapping}
            for check, (state, flapping) in zip(body.checks, states, strict=True)
        )
        cause = Cause(CauseWord.CHECK, actor, self._entries.wall_ms())
        return self.alter(entry, body._replace(checks=checks), cause)

    def renew(self, call: Renew, asker: Asker) -> Row:
        """Give a lease its whole time again. No event: nothing that anybody sees has changed."""
        entry = self.own(call.id, asker)
        self._entries.renew(entry, name_of(self._entries.node, entry))
        return self._entries.row(entry)

    def known_of_checks(self, shown: Shown) -> list[Json]:
        """Return what this node alone knows of the checks of an instance; of others' nothing."""
        own = shown.node == self._entries.node
        return self._checking.details(shown.entry.key) if own else []

    def ttl(self, call: Ttl, asker: Asker) -> Row:
        """Take in what an owner says of its `ttl` check."""
        entry = self.own(call.id, asker)
        changed = self._checking.say(entry.key, call.word, call.note)
        if changed is None:
            name = name_of(self._entries.node, entry)
            raise InvalidRequest(f"id: {name} has no ttl check", field="id")
        row = self.checked(entry.key, self._entries.actor(asker)) if changed else None
        return row or self._entries.row(entry)

    def deregister(self, call: Deregister, asker: Asker) -> Row:
        """End an instance of this node; return it as it was."""
        entry = self.own(call.id, asker)
        if call.own and not self._entries.owned(entry, asker):
            raise NoInstance(f"id: {call.id} belongs to another owner by now", field="id")
        return self._entries.end(entry, asker, call.cause)

    def own(self, target: Target, asker: Asker) -> Entry:
        """Return the entry of this node that the asker means and may change."""
        node = self._entries.node
        entry = None
        if target.service is not None and target.node in (None, node):
            entry = self._entries.get((Kind.SERVICE, target.service, target.id))
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
        self._entries.check_may_change(asker, entry, name_of(node, entry))
        return entry


def _state(body: Body) -> str:
    """Return the state that an instance has: what an operator said, else that of its checks."""
    return body.mode.state if body.mode is not None else worst(body.checks)


def _port_checks(body: Body) -> tuple[Json, ...]:
    return tuple(check for check in body.checks if check["kind"] == PORT)


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
