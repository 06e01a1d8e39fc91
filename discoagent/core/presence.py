"""All nodes and the index of what is shown of them; every change of what is shown is an event.

The index is kept per step, so applying a delta costs what the delta holds, whatever the table's
size.
"""

from collections.abc import Collection
from typing import NamedTuple

from discoagent.core.chain import Group
from discoagent.core.effects import Event, EventKind, NodeState
from discoagent.core.entry import UNKNOWN, Cause, Entry, Key, Kind, ReplicaId
from discoagent.core.node import Node
from discoagent.core.ring import Segment
from discoagent.core.steps import steps_of

Place = tuple[str, str, Entry]
"""(id, node, entry)."""


class Shown(NamedTuple):
    """An entry that users see; `overlay` is suspect or restarting while its node is."""

    node: str
    entry: Entry
    overlay: NodeState | None = None


class Presence:
    """Nodes by name, and for each service or topic the names of the nodes that show some of it."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._names: dict[Group, dict[str, None]] = {}

    # ---- reading

    def groups(self, kind: Kind) -> list[str]:
        """Return the names of that kind of which something is shown, sorted."""
        return sorted(name for held_kind, name in self._names if held_kind is kind)

    def lookup(self, kind: Kind, names: Collection[str], node: str | None) -> list[Place]:
        """Return what is shown, sorted by name, id, node; no names: all of them."""
        places: list[Place] = []
        for name in sorted(set(names)) if names else self.groups(kind):
            group = (kind, name)
            found = [
                (instance, holder, entry)
                for holder in self._holders(group, node)
                for instance, entry in self.nodes[holder].group(group)
            ]
            found.sort()  # no two have the same id and node, so entries are never compared
            places += found
        return places

    def everything(self) -> list[tuple[str, Entry]]:
        """Return (node, entry) of all that is shown, in no order."""
        return [
            (node.name, entry)
            for node in self.nodes.values()
            for group in node.groups()
            for _, entry in node.group(group)
        ]

    def find(self, key: Key, node: str | None) -> list[tuple[str, Entry]]:
        """Return (node, entry) of every shown entry of that key, sorted by node."""
        holders = sorted(self._holders((key[0], key[1]), node))
        pairs = ((holder, self.nodes[holder].get(key)) for holder in holders)
        return [(holder, entry) for holder, entry in pairs if entry is not None]

    def _holders(self, group: Group, node: str | None) -> Collection[str]:
        """Return which nodes show some of it; asked for one, by one look, however many do."""
        holders = self._names.get(group, {})
        if node is None:
            return holders
        return (node,) if node in holders else ()

    # ---- changing

    def add(self, replica: ReplicaId) -> Node:
        """Begin to hold a node."""
        node = self.nodes[replica.node] = Node(replica)
        return node

    def drop(self, node: Node) -> None:
        """Hold a hidden node no more."""
        assert node.hidden
        del self.nodes[node.name]

    def stepped(
        self, node: Node, before: Entry | None, entry: Entry | None, cause: Cause
    ) -> list[Event]:
        """Show one step that the node's own agent just made."""
        clock = node.chain.clock
        if entry is not None and entry.shown:
            self._names.setdefault((entry.kind, entry.name), {})[node.name] = None
            kind = EventKind.UPDATED if before is not None else EventKind.ADDED
            return [Event(kind, node.name, entry, before, cause, clock)]
        if entry is None and before is not None and before.shown:
            self._recount(node, (before.kind, before.name))
            return [Event(EventKind.REMOVED, node.name, None, before, cause, clock)]
        return []

    def applied(self, node: Node, segments: list[Segment]) -> list[Event]:
        """Show what joins really did to the node's chain; end the handover where it says so."""
        events: list[Event] = []
        for segment in segments:
            if not node.hidden:
                events += self._applied(node, segment)
        if node.held is not None and (node.settled or node.rebooted):
            events += self.end_held(node, UNKNOWN)
        if node.settled:
            node.handed_over = None
        return events

    def _applied(self, node: Node, segment: Segment) -> list[Event]:
        """Show one segment, its steps in the order in which the owner made them."""
        events = steps_of(node, segment)
        for event in events:
            if event.entry is not None:
                group = (event.entry.kind, event.entry.name)
                self._names.setdefault(group, {})[node.name] = None
            elif event.before is not None:
                self._recount(node, (event.before.kind, event.before.name))
        return events

    def end_held(self, node: Node, cause: Cause) -> list[Event]:
        """End the handover: what the present life has not taken over is removed."""
        held, node.held, node.held_until = node.held or {}, None, 0.0
        told = node.chain.record.ended if node.chain.record else {}
        events = []
        for (kind, name), ids in held.items():
            events += [
                Event(
                    EventKind.REMOVED,
                    node.name,
                    None,
                    ids[instance],
                    told.get((kind, name, instance), cause),
                )
                for instance in sorted(ids)
            ]
            self._recount(node, (kind, name))
        return events

    def hide(self, node: Node, cause: Cause) -> list[Event]:
        """Show nothing of the node any more (down, left, forgotten)."""
        events = [
            Event(EventKind.REMOVED, node.name, None, entry, cause)
            for group in sorted(node.groups())
            for _, entry in sorted(node.group(group))
        ]
        groups = node.groups()
        node.hidden, node.held, node.held_until, node.handed_over = True, None, 0.0, None
        for group in groups:
            self._recount(node, group)
        return events

    def show(self, node: Node, cause: Cause) -> list[Event]:
        """Show the node again; whatever its chain holds is added."""
        node.hidden = False
        events = []
        for group in sorted(node.groups()):
            self._names.setdefault(group, {})[node.name] = None
            events += [
                Event(EventKind.ADDED, node.name, entry, None, cause)
                for _, entry in sorted(node.group(group))
            ]
        return events

    def _recount(self, node: Node, group: Group) -> None:
        if node.shows(group):
            return
        holders = self._names.get(group)
        if holders is not None:
            holders.pop(node.name, None)
            if not holders:
                del self._names[group]

    def check(self) -> None:
        """Assert that the index is what the nodes show."""
        expected: dict[Group, set[str]] = {}
        for node in self.nodes.values():
            node.check()
            for group in node.groups():
                expected.setdefault(group, set()).add(node.name)
        assert {group: set(holders) for group, holders in self._names.items()} == expected
