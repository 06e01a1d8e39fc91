"""What is said of the health of this node's instances."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from discoagent.client import calls
from discoagent.client.asking import query_wait_ms
from discoagent.client.base import Base
from discoagent.client.calls import read_row
from discoagent.client.lasting import Row, milliseconds
from discoagent.client.session import Call
from discoagent.errors import Refused
from discoagent.instance import Instance, Json
from discoagent.rules import NAMES_MAX


def ttl(name: str, word: str, note: str = "") -> Call[Row]:
    """Say `pass`, `warn` or `fail` of an instance's `ttl` check; the result is the row after."""
    return Call("ttl", {"id": name, "word": word, "note": note}, read_row)


def maint(
    name: str | None, *, on: bool, reason: str | None = None, for_ms: int | None = None
) -> Call[list[Row]]:
    """Take an instance (None: all of the node) out of use, or put it back; the rows after."""
    arguments: Json = {"on": on, "id": name, "reason": reason, "for_ms": for_ms}
    return Call("maint", arguments, _rows)


def drain(name: str | None) -> Call[list[Row]]:
    """Let an instance (None: all of the node) get nothing new; the rows after."""
    return Call("drain", {"id": name}, _rows)


def reload(*, dry_run: bool) -> Call[Json]:
    """Read configuration and service files again; what has changed, or would."""
    return Call("reload", {"dry_run": dry_run}, lambda _, body: dict(body))


def _rows(_: list[Any], body: Any) -> list[Row]:
    return [read_row(_, {"row": row}) for row in body["rows"]]


def with_details(row: Row, details: Iterable[Json]) -> Instance:
    """Return an instance with what its own node alone knows of its checks."""
    from dataclasses import replace

    instance = Instance.from_row(row)
    known = zip(instance.checks, details, strict=False)
    return replace(instance, checks=tuple({**check, **more} for check, more in known))


def visible(*services: str, node: str | None = None, wait_ms: int) -> Call[list[Instance]]:
    """Ask for every visible instance."""
    return calls.list_instances(services, node=node, all=True, wait_ms=wait_ms)


def beside(own: list[Instance], *, wait_ms: int) -> Call[list[Instance]]:
    """Ask for the instances of the same services: of all, if they are too many to be named."""
    services = {it.service for it in own}
    return visible(*(services if len(services) <= NAMES_MAX else ()), wait_ms=wait_ms)


def of_node(instance: Instance, node: str) -> Instance:
    """Return the instance if it is of this node; Refused otherwise."""
    if instance.node != node:
        raise Refused(
            f"{instance.name} is registered on node {instance.node}: only there can it be drained",
            kind="other-node",
            field="id",
        )
    return instance


def plan(own: list[Instance], there: Iterable[Instance]) -> list[Json]:
    """Return what of the usable instances is left by service when `own` are drained."""
    before = Counter(it.service for it in there if it.usable)
    less = Counter(it.service for it in own if it.usable)
    plans = []
    for service in sorted({it.service for it in own}):
        left = before[service] - less[service]
        last = left == 0 < before[service]
        plans.append({"service": service, "before": before[service], "after": left, "last": last})
    return plans


class Tending(Base):
    """All that is about the state of instances."""

    def ttl(self, id: str, word: str, note: str = "") -> Instance:  # noqa: A002 - the contract's word
        """Say how an instance of this node is: `pass`, `warn` or `fail`. It needs a `ttl` check.

        `note` is what `get` shows of it. Raises NoInstance, Refused, InvalidRequest.
        """
        return Instance.from_row(self._pool.ask(ttl(id, word, note)))

    def maint(
        self,
        id: str | None = None,  # noqa: A002
        *,
        on: bool = True,
        reason: str | None = None,
        duration: str | float | None = None,
    ) -> list[Instance]:
        """Take an instance of this node, or all, out of use, whatever the checks say.

        Not `on`: put them back, also what was draining. `duration`: it is over by itself then.
        Without `id` for those who may run the node. Returns them as they are then.
        """
        for_ms = None if duration is None else milliseconds(duration, "for")
        rows = self._pool.ask(maint(id, on=on, reason=reason, for_ms=for_ms))
        return [Instance.from_row(row) for row in rows]

    def drain(self, id: str | None = None) -> list[Instance]:  # noqa: A002
        """Let an instance of this node, or all, get nothing new; `maint(on=False)` ends that."""
        return [Instance.from_row(row) for row in self._pool.ask(drain(id))]

    def drain_plan(self, id: str | None = None) -> list[Json]:  # noqa: A002
        """Return what a `drain` would leave, by service: `{"service", "before", "after", "last"}`.

        `before` and `after` count the usable instances in the whole cluster; `last`: none is left.
        """
        node = self._pool.ask(calls.hello()).node
        wait_ms = query_wait_ms(self.timeout)
        if id is None:
            own = self._pool.ask(visible(node=node, wait_ms=wait_ms))
        else:
            own = [of_node(self._pool.ask(calls.get(id, wait_ms=wait_ms)), node)]
        return plan(own, self._pool.ask(beside(own, wait_ms=wait_ms)) if own else [])

    def reload(self, *, dry_run: bool = False) -> Json:
        """Have configuration and service files read again; for those who may run the node.

        Returns `{"dry_run", "config": {"changed", "restart"}, "services": [{"change", "service",
        "id", "file"}], "problems": [{"file", "line", "field", "message"}]}`.
        """
        return self._pool.ask(reload(dry_run=dry_run))
