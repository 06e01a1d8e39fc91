"""Presence: the changing operations on metas; each is a step of our own chain, or nothing at all.

Each `track` makes a meta of its own. Its entry is named by its topic and the ref that it was first
given, which no other meta of this node ever has; the key is in its body. So a key has as many metas
as were tracked, and a meta keeps its name when the agent was restarted.
"""

import msgpack

from discoagent.core.entry import CauseWord, Entry, Key, Kind
from discoagent.errors import Conflict, InvalidRequest, NoInstance, Refused, shorten
from discoagent.instance import unpack_owner
from discoagent.local.entries.entries import Entries, Stamp, Wish
from discoagent.local.host import owners
from discoagent.local.host.owners import Asker
from discoagent.local.requests.presence_operations import Retrack, Track, Untrack
from discoagent.local.requests.queries import Row, body_of
from discoagent.presence import MetaBody, meta_id
from discoagent.presence_rules import MetaName


class Tracker:
    """This node's metas. What is asked is done at once, or refused without a trace."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def track(self, call: Track, asker: Asker) -> tuple[Row, bool]:
        """Say something of a key; return its row, and whether it was there before."""
        wish = self._entries.wish(call.lifetime, call.wrapper, asker)
        key = (Kind.PRESENCE, call.topic, meta_id(self._named(call)))
        before = self._entries.get(key)
        if before is None:
            return self._add(call, key, wish)
        if owners.same_identity(before.owner, wish.owner):
            return self._change(call, before, wish), True
        if not self._entries.lives(before):
            self._entries.make_way(before)
            return self._add(call, key, wish)
        owner = owners.describe(unpack_owner(before.owner))
        kind = self._entries.kind(before)
        raise Conflict(
            f"the meta {key[2]} of {shorten(call.topic)} is tracked by {owner}, "
            f"a living {kind} owner",
            field="id",
        )

    def _named(self, call: Track) -> tuple[int, int]:
        """Return the first ref of the meta that is meant: a new one, if none is named."""
        latest = self._entries.next_ref
        if call.id is None:
            return latest
        if call.id[0] == latest[0] and call.id >= latest:
            raise InvalidRequest(
                f"id: {meta_id(call.id)} was not given to any meta yet", field="id"
            )
        return call.id

    def _add(self, call: Track, key: Key, wish: Wish) -> tuple[Row, bool]:
        self._entries.check_room("topic")
        at_ms = self._entries.wall_ms()
        stamp = self._entries.stamp(call, at_ms)
        return self._entries.add(key, _pack(call, wish, stamp), wish, at_ms), stamp.again

    def _change(self, call: Track, before: Entry, wish: Wish) -> Row:
        """Track again by the same owner: nothing happens where nothing differs."""
        held = MetaBody.unpack(body_of(before))
        if call.key != held.key:
            raise InvalidRequest(f"key: this meta is of the key {held.key!r}", field="key")
        stamp = Stamp(held.ref, held.tracked_ms, held.updated_ms)
        alike = _pack(call, wish, stamp) == before.body
        if alike and (wish.process is None or wish.owner == before.owner):
            return self._entries.hold(before, wish)
        at_ms = self._entries.wall_ms()
        changed = Stamp(self._entries.next_ref, held.tracked_ms, max(at_ms, held.tracked_ms))
        body = _pack(call, wish, changed)
        return self._entries.overwrite(before, body, wish, CauseWord.UPDATED, at_ms)

    def retrack(self, call: Retrack, asker: Asker) -> Row:
        """Change a meta as a whole, which gives it another ref, and renew its lease."""
        entry = self._own(call.topic, call.id, asker)
        if call.meta is None:
            self._entries.renew(entry, f"the meta {call.id.said}")
            return self._entries.row(entry)
        if self._entries.kind(entry) == "lease":
            self._entries.renew(entry, f"the meta {call.id.said}")
        held = MetaBody.unpack(body_of(entry))
        if held.meta == call.meta:
            return self._entries.row(entry)
        at_ms = self._entries.wall_ms()
        changed = held._replace(
            meta=call.meta, ref=self._entries.next_ref, updated_ms=max(at_ms, held.tracked_ms)
        )
        return self._entries.change(entry, changed.pack(), asker, at_ms)

    def untrack(self, call: Untrack, asker: Asker) -> Row:
        """End a meta; return it as it was."""
        return self._entries.end(self._own(call.topic, call.id, asker), asker, call.cause)

    def _own(self, topic: str, named: MetaName, asker: Asker) -> Entry:
        """Return the meta of this node that the asker means and may change."""
        if named.node not in (None, self._entries.node):
            raise Refused(
                f"{named.said} names a meta of node {named.node}: only there can it be changed, "
                "run this on that node",
                kind="other-node",
                field="id",
            )
        entry = self._entries.get((Kind.PRESENCE, topic, meta_id(named.ref)))
        if named.node is not None and (entry is None or _ref(entry) != named.ref):
            entry = self._with_ref(topic, named.ref)
        if entry is None:
            raise NoInstance(f"{shorten(topic)}: there is no meta {named.said} here", field="id")
        self._entries.check_may_change(asker, entry, f"the meta {named.said}")
        return entry

    def _with_ref(self, topic: str, ref: tuple[int, int]) -> Entry | None:
        """Look for a meta by a ref which is not its first, and unpack hardly any other."""
        packed = msgpack.packb(ref)
        metas = self._entries.group((Kind.PRESENCE, topic))
        return next((it for it in metas if packed in body_of(it) and _ref(it) == ref), None)


def _ref(entry: Entry) -> tuple[int, int]:
    return MetaBody.unpack(body_of(entry)).ref


def _pack(call: Track, wish: Wish, stamp: Stamp) -> bytes:
    return MetaBody(
        call.key, call.meta, wish.lifetime, stamp.registered_ms, stamp.updated_ms, stamp.ref
    ).pack()
