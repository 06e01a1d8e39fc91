"""What applications ask: instances, services, members. Reads the replica and changes nothing."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from discoagent import api
from discoagent.core.effects import Event, EventKind, NodeState
from discoagent.core.entry import Entry, Kind
from discoagent.core.replica import Replica, Shown
from discoagent.errors import DiscoError, InvalidRequest, NoInstance
from discoagent.filters import Filter
from discoagent.instance import (
    OVERLAID_STATES,
    USABLE_STATES,
    Instance,
    packed_state,
    packed_tags,
)
from discoagent.local.requests.operations import List
from discoagent.presence import PRESENCE, packed_key
from discoagent.rules import Target

Row = tuple[Any, ...]
"""An instance or a meta, as the local API tells it."""
SIFTED_PER_TURN = 500  # that a filter looks into before others have their turn
NAMED_MAX = 3  # instances that an error names where others were meant
HERE = frozenset({NodeState.ALIVE, NodeState.SUSPECT, NodeState.RESTARTING})


Group = tuple[Kind, str | None]
"""All of one service or topic, or of every one where no name is said."""


class Scope(NamedTuple):
    """What a watch is of: some services and topics, or all where none is named. None: no such.

    Of instances what is `wanted`.
    """

    services: frozenset[str] | None = frozenset()
    topics: frozenset[str] | None = None
    wanted: Filter | None = None

    def groups(self) -> list[Group]:
        """Return the groups that are watched."""
        named = [(Kind.SERVICE, self.services), (Kind.PRESENCE, self.topics)]
        return [
            (kind, name) for kind, names in named if names is not None for name in names or (None,)
        ]

    def concerns(self, entry: Entry) -> bool:
        """Is this entry of what is watched?"""
        names = self.topics if entry.kind is Kind.PRESENCE else self.services
        return entry.shown and names is not None and (not names or entry.name in names)

    def shows(self, node: str, entry: Entry) -> bool:
        """Is this entry, which is of the scope, wanted as well? As its own agent has it."""
        if self.wanted is None or entry.kind is not Kind.SERVICE:
            return True
        return _fits(_instance(node, entry), self.wanted)

    def view(self, event: Event) -> Event | None:
        """Return what of a change is told: what comes to be wanted is added, what ceases removed.

        None: nothing.
        """
        entry, before = event.entry, event.before
        of = entry or before
        if of is None or not self.concerns(of):
            return None
        if self.wanted is None:
            return event
        now = entry if entry is not None and self.shows(event.node, entry) else None
        then = before if before is not None and self.shows(event.node, before) else None
        if now is None and then is None:
            return None
        if now is None:
            return event._replace(kind=EventKind.REMOVED, entry=None)
        return event if then else event._replace(kind=EventKind.ADDED, before=None)


def body_of(entry: Entry) -> bytes:
    """Return the packed body of a user's entry."""
    body = entry.body
    assert type(body) is bytes
    return body


def row_of(node: str, entry: Entry, overlay: NodeState | None = None) -> Row:
    """Return the row of the local API."""
    shown = overlay.value if overlay else ""
    row = (entry.name, entry.id, node, shown, entry.owner, body_of(entry))
    return row if entry.kind is Kind.SERVICE else (*row, PRESENCE)


def name_of(node: str, entry: Entry) -> str:
    """Return `SERVICE/INSTANCE@NODE`."""
    return f"{entry.name}/{entry.id}@{node}"


def state_of(shown: Shown) -> str:
    """Return the state as a reader sees it."""
    state = packed_state(body_of(shown.entry))
    return shown.overlay.value if shown.overlay and state in OVERLAID_STATES else state


def _fits(instance: Instance, wanted: Filter) -> bool:
    """Does a filter want it? What no agent of this version packs, nobody can want."""
    try:
        return wanted.fits(instance)
    except DiscoError:
        return False


@lru_cache(maxsize=64)
def _instance(node: str, entry: Entry) -> Instance:
    """Return an instance that many watches look into, unpacked once."""
    return Instance.from_row(row_of(node, entry))


def narrowed(rows: list[Row], call: List) -> list[Row]:
    """Return the rows that have the tags, and are usable if that is asked for."""
    if call.usable:  # an overlay stands for states that are usable, and is so itself
        rows = [row for row in rows if packed_state(row[5]) in USABLE_STATES]
    if call.tags:
        rows = [row for row in rows if packed_tags(row[5]).issuperset(call.tags)]
    return rows


def sifted(rows: list[Row], wanted: Filter) -> list[Row]:
    """Return the rows that a filter wants."""
    return [row for row in rows if _fits(Instance.from_row(row), wanted)]


def pages_of(rows: list[Row], call: List) -> Iterator[list[Row]]:
    """Cut rows into pages; an empty one stands between two while they are sifted."""
    if call.filter is None:
        yield from paged(rows)
        return
    for start in range(0, len(rows), SIFTED_PER_TURN):
        if start:
            yield []
        yield from paged(sifted(rows[start : start + SIFTED_PER_TURN], call.filter))


def paged(rows: list[Row]) -> Iterator[list[Row]]:
    """Cut rows into pages that hold neither too many nor too large ones."""
    page: list[Row] = []
    size = 0
    for row in rows:
        size += len(row[4]) + len(row[5])
        page.append(row)
        if len(page) >= api.LIST_PAGE_ROWS or size >= api.PAGE_BYTES_MAX:
            yield page
            page, size = [], 0
    if page:
        yield page


def _sifted(found: list[Shown], scope: Scope) -> Iterator[Shown | None]:
    for number, each in enumerate(found, 1):
        if scope.shows(each.node, each.entry):
            yield each
        if number % SIFTED_PER_TURN == 0:
            yield None


class Queries:
    """The questions of the local API, answered out of the replica's memory."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def rows(self, call: List) -> list[Row]:
        """Return the rows of `list`, sorted by service, id and node."""
        places = self._replica.places(Kind.SERVICE, call.services, call.node)
        overlays = {node: self._replica.overlay(node) or "" for node in {it[1] for it in places}}
        rows: list[Row] = [
            (entry.name, instance, node, overlays[node], entry.owner, body_of(entry))
            for instance, node, entry in places
        ]
        return narrowed(rows, call)

    def shown(self, scope: Scope, node: str | None = None) -> Iterable[Shown | None]:
        """Return what a watch is told as the present of now, of one node or of all.

        It is sifted as it is read; None stands where others should have their turn.
        """
        named = [(Kind.SERVICE, scope.services), (Kind.PRESENCE, scope.topics)]
        found = [
            each
            for kind, names in named
            if names is not None
            for each in self._replica.lookup(kind, names, node)
        ]
        return found if scope.wanted is None else _sifted(found, scope)

    def resolve(self, target: Target) -> Shown:
        """Return the one instance that a user's ID fits, this node's own preferred.

        Raises NoInstance, or InvalidRequest that names all that it fits.
        """
        found = self._replica.find(Kind.SERVICE, target.id, target.service, target.node)
        if not found:
            hint = self._of_service(target.service or target.id)
            raise NoInstance(f"{target}: there is no such instance{hint}", field="id")
        own = [shown for shown in found if shown.node == self._replica.id.node]
        found = own or found
        if len(found) > 1:
            names = ", ".join(sorted(name_of(shown.node, shown.entry) for shown in found))
            raise InvalidRequest(
                f"id: {target} fits {len(found)} instances, say which: {names}",
                kind="ambiguous",
                field="id",
            )
        return found[0]

    def _of_service(self, service: str) -> str:
        """Return which instances a service has, for whoever named it or misspelt one of its ids."""
        places = self._replica.places(Kind.SERVICE, (service,))
        if not places:
            return ""
        names = [name_of(node, entry) for _, node, entry in places[:NAMED_MAX]]
        more = f" and {len(places) - NAMED_MAX} more" if len(places) > NAMED_MAX else ""
        return f"; the service {service} has {', '.join(names)}{more}"

    def services(self) -> list[tuple[str, dict[str, int]]]:
        """Return each service's name with its counts by state, sorted by name."""
        return [
            (name, dict(sorted(Counter(self._states(name)).items())))
            for name in self._replica.names(Kind.SERVICE)
        ]

    def _states(self, service: str) -> Iterator[str]:
        return map(state_of, self._replica.lookup(Kind.SERVICE, (service,)))

    def metas(self, topic: str) -> list[Row]:
        """Return the rows of the metas of a topic, in no order that means something."""
        places = self._replica.places(Kind.PRESENCE, (topic,))
        return [row_of(node, entry) for _, node, entry in places]

    def topics(self) -> list[tuple[str, int, int]]:
        """Return each topic with how many keys and how many metas it has, sorted by topic."""
        return [(topic, *self._counted(topic)) for topic in self._replica.names(Kind.PRESENCE)]

    def _counted(self, topic: str) -> tuple[int, int]:
        places = self._replica.places(Kind.PRESENCE, (topic,))
        return len({packed_key(body_of(entry)) for _, _, entry in places}), len(places)

    def members(self, now: float) -> list[dict[str, Any]]:
        """Return each known node as `discoctl members` shows it, sorted by name."""
        return [
            {
                "node": view.replica.node,
                "incarnation": view.replica.incarnation,
                "address": view.endpoint,
                "state": view.state.value,
                "instances": view.instances,
                "heard_ms": round(view.heard * 1000),
                "rtt_ms": None,
                "version": view.record.version if view.record else "",
                "labels": dict(view.record.labels) if view.record else {},
            }
            for view in self._replica.members(now)
        ]

    def stale_ms(self, now: float) -> int | None:
        """Return since when some are not heard, if that may be because we are cut off ourselves."""
        isolation = self._replica.isolation(now)
        return None if isolation is None else round(isolation.stale * 1000)

    def counts(self, now: float) -> tuple[dict[str, int], dict[str, int]]:
        """Return how many members are in each state, and how many instances are shown."""
        views = self._replica.members(now)
        states = Counter(view.state.value for view in views)
        local = sum(view.instances for view in views if view.replica == self._replica.id)
        total = sum(view.instances for view in views if view.state in HERE)
        return dict(sorted(states.items())), {"local": local, "total": total}
