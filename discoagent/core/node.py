"""One node over its lives: the present one's chain, and what is still shown of the former one."""

from discoagent.core.chain import Chain, Group
from discoagent.core.digest import name_hash
from discoagent.core.entry import Entry, Key, Kind, ReplicaId

Held = dict[Group, dict[str, Entry]]
SHOWN_KINDS = (Kind.SERVICE, Kind.PRESENCE)


class Node:
    """What one replica holds of one node.

    *Shown* is the chain's entries, plus `held` entries of the former life whose key the present
    chain has not had. `held` is None outside a handover. It ends when the present life is settled,
    when the node is hidden, or `restart_grace` after `handed_over`, the first handover since a
    settled life: an agent that crashes again and again must not hold what is dead.
    """

    __slots__ = (
        "boot_before",
        "chain",
        "handed_over",
        "hash",
        "held",
        "held_until",
        "hidden",
        "name",
    )

    def __init__(self, replica: ReplicaId) -> None:
        self.name = replica.node
        self.hash = name_hash(replica.node)
        self.chain = Chain(replica)
        self.held: Held | None = None
        self.held_until = 0.0
        self.handed_over: float | None = None
        self.boot_before = ""
        self.hidden = False

    @property
    def settled(self) -> bool:
        """Has the present life said that all that outlived the former is in its chain?"""
        return self.chain.record is not None and self.chain.record.settled

    @property
    def rebooted(self) -> bool:
        """Does the present life run under another boot of the host than the former did?"""
        boot = self.chain.record.boot if self.chain.record else ""
        return bool(boot and self.boot_before and boot != self.boot_before)

    def begin(self, replica: ReplicaId, now: float, grace: float) -> None:
        """Freeze what is shown and start the chain of another life (or the same one's anew)."""
        held = {group: dict(self.group(group)) for group in self.groups()}
        if self.chain.record is not None:
            self.boot_before = self.chain.record.boot
        if held:
            if self.handed_over is None:
                self.handed_over = now
            self.held_until = max(self.held_until, self.handed_over + grace)
        self.held = held or None
        self.chain = Chain(replica)

    # ---- what is shown; nothing while hidden

    def groups(self) -> list[Group]:
        """Return every service and topic of which something is shown."""
        if self.hidden:
            return []
        names = [group for group in self.chain.index if group[0] in SHOWN_KINDS]
        if self.held:
            names += [group for group in self.held if group not in self.chain.index]
        return names

    def shows(self, group: Group) -> bool:
        """Is anything of that service or topic shown?"""
        return not self.hidden and (
            group in self.chain.index or bool(self.held and group in self.held)
        )

    def group(self, group: Group) -> list[tuple[str, Entry]]:
        """Return (id, entry) of what is shown of one service or topic, in no order."""
        if self.hidden:
            return []
        found = self.chain.group(group)
        if self.held:
            found += self.held.get(group, {}).items()
        return found

    def get(self, key: Key) -> Entry | None:
        """Return the shown entry of that key."""
        if self.hidden:
            return None
        entry = self.chain.get(key)
        if entry is None and self.held:
            entry = self.held.get((key[0], key[1]), {}).get(key[2])
        return entry

    def count(self, kind: Kind) -> int:
        """Return how many entries of that kind are shown."""
        if self.hidden:
            return 0
        number = sum(len(ids) for group, ids in self.chain.index.items() if group[0] is kind)
        if self.held:
            number += sum(len(ids) for group, ids in self.held.items() if group[0] is kind)
        return number

    def take_held(self, key: Key) -> Entry | None:
        """Let the present chain's word on that key stand; return what was held of it."""
        if not self.held:
            return None
        ids = self.held.get((key[0], key[1]))
        if not ids or key[2] not in ids:
            return None
        entry = ids.pop(key[2])
        if not ids:
            del self.held[key[0], key[1]]
        return entry

    def check(self) -> None:
        """Assert what must always hold."""
        if self.held:
            for group, ids in self.held.items():
                assert ids, "no empty group is held"
                assert not set(ids) & set(self.chain.index.get(group, {})), "held and had at once"
            assert not self.settled, "nothing is held beside a settled life"
