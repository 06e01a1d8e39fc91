"""What a client may ask of its agent: one function an operation of `api.py`. Pure.

Each returns a `Call`, which knows how to read its result into the types of `instance.py`. Bounds
are checked by the agent alone; here is refused only what could not be said at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from discoagent.checks.spec import PORT, Check, of
from discoagent.client.lasting import Lasting, Row
from discoagent.client.session import Call
from discoagent.errors import InvalidRequest
from discoagent.instance import USABLE_STATES, Body, Instance, Json, Member

FOR_EVER_MS = 2**31  # longer than any agent takes to become ready


def words(value: str | Iterable[str] | None, name: str) -> list[str]:
    """Return a list of words: a lone word is a list of one."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    try:
        return list(value)
    except TypeError:
        raise InvalidRequest(f"{name}: a list of words, not {value!r}", field=name) from None


def checks(value: "Check | Iterable[Check] | None") -> tuple[Check, ...]:
    """Return checks: a lone one is a list of one."""
    if value is None:
        return ()
    found = (value,) if isinstance(value, Check) else tuple(value)
    if not all(isinstance(each, Check) for each in found):
        raise InvalidRequest("check: a Check, such as Check.tcp(), or several", field="check")
    return found


# -- queries ---------------------------------------------------------------------------------------


class Greeting(NamedTuple):
    """Who the agent is: its node, which life of it this is, and what it speaks."""

    node: str
    incarnation: int
    cluster: str
    version: str
    api: int
    wire: int
    pid: int


def hello() -> Call[Greeting]:
    """Ask the agent who it is."""
    names = Greeting._fields
    return Call("hello", {}, lambda _, body: Greeting(*(body[name] for name in names)))


def checked_filter(expression: str) -> str:
    """Return a filter if it is one: a wrong one is told before anything is asked."""
    from discoagent import filters

    return filters.parse(expression).expression


def list_instances(
    services: Iterable[str],
    *,
    tag: str | Iterable[str] | None = None,
    node: str | None = None,
    all: bool = False,  # noqa: A002 - the contract's word
    filter: str | None = None,  # noqa: A002 - the contract's word
    wait_ms: int,
) -> Call[list[Instance]]:
    """Ask for the instances of some services (none named: of all), sorted by service, id, node.

    The usable ones, or `all`; see `Disco.list`.
    """
    arguments: dict[str, Any] = {
        "services": list(services),
        "tags": words(tag, "tag"),
        "node": node,
        "usable": not all,
        "wait_ms": wait_ms,
    }
    if filter is not None:
        arguments["filter"] = checked_filter(filter)
    return Call("list", arguments, lambda pages, _: [_instance(row) for p in pages for row in p])


def get(name: str, *, wait_ms: int) -> Call[Instance]:
    """Ask for one instance; of this node's own, with what is known of its checks."""
    return Call("get", {"id": name, "wait_ms": wait_ms}, _got)


def services(*, wait_ms: int) -> Call[list[Json]]:
    """Ask for the names of the services with counts by state."""
    return Call("services", {"wait_ms": wait_ms}, lambda _, body: _services(body["services"]))


def members(*, wait_ms: int) -> Call[list[Member]]:
    """Ask for the nodes, sorted, the agent's own included."""
    names = Member._fields
    return Call(
        "members",
        {"wait_ms": wait_ms},
        lambda _, body: [
            Member(**{name: raw[name] for name in names if name in raw}) for raw in body["members"]
        ],
    )


def status(*, ready_ms: int) -> Call[Json]:
    """Ask how the agent is; `ready_ms` > 0: answered once it is ready, or after that time."""
    return Call("status", {"ready_ms": ready_ms}, lambda _, body: dict(body))


def ping() -> Call[str]:
    """Ask for a sign of life: the node's name."""
    return Call("ping", {}, lambda _, body: str(body["node"]))


# -- registrations ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spec(Lasting):
    """One instance to register. What is None is chosen by the agent."""

    name: str
    port: int | None = None
    address: str | None = None
    id: str | None = None
    tags: Sequence[str] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    replace: bool = False
    checks: Sequence[Check] = ()
    verify: bool = False

    def making(self) -> Call[Row]:
        """Return `register`."""
        return register(self)

    def again(self, row: Row, *, lapsed: bool) -> Call[Row]:
        """Return `register`, with what marks the registration if it did not lapse."""
        body = Body.unpack(row[5])
        spec = replace(
            self,
            id=row[1],
            port=body.port,
            tags=body.tags,
            meta=body.meta,
            replace=False,
            checks=tuple(of(each) for each in body.checks if each["kind"] != PORT),
        )
        return register(spec) if lapsed else register_again(spec, body)

    def renewal(self, row: Row) -> Call[Row]:
        """Return `renew`."""
        return renew(self.name_of(row))

    def ending(self, row: Row) -> Call[Row]:
        """Return `deregister`; whoever took the id over since keeps it."""
        return deregister(self.name_of(row), own=self.transient)

    def key_of(self, row: Row) -> tuple[str, ...]:
        """Return service and id."""
        return (row[0], row[1])

    def name_of(self, row: Row) -> str:
        """Return `SERVICE/INSTANCE@NODE`."""
        return f"{row[0]}/{row[1]}@{row[2]}"

    def changed(self, call: Call[Row]) -> Self:
        """Keep an address that the application has chosen."""
        address = call.arguments.get("address")
        return replace(self, address=address) if address else self


def register(spec: Spec) -> Call[Row]:
    """Register an instance; the result is its row."""
    arguments: dict[str, Any] = {
        "service": spec.name,
        "port": spec.port,
        "address": spec.address,
        "id": spec.id,
        "tags": words(spec.tags, "tags"),
        "meta": _map(spec.meta, "meta"),
        "lifetime": spec.lifetime(),
        "replace": spec.replace,
    }
    if spec.wrapper is not None:
        arguments["wrapper"] = spec.wrapper
    if spec.checks:
        arguments["checks"] = [check.packed() for check in spec.checks]
    if spec.verify:
        arguments["verify"] = True
    return Call("register", arguments, read_row)


def may_register(spec: Spec) -> Call[None]:
    """Ask what speaks against a registration; nothing is done."""
    call = register(spec)
    return Call(call.operation, {**call.arguments, "dry_run": True}, lambda *_: None)


def register_again(spec: Spec, body: Body) -> Call[Row]:
    """Say a registration again as it was last confirmed: no event for a new life of the agent."""
    call = register(spec)
    again = {
        "ref": list(body.ref),
        "registered_ms": body.registered_ms,
        "updated_ms": body.updated_ms,
    }
    return Call(call.operation, {**call.arguments, **again}, read_row)


def update(
    name: str,
    *,
    port: int | None = None,
    address: str | None = None,
    tags: Iterable[str] | None = None,
    tag: str | Iterable[str] = (),
    untag: str | Iterable[str] = (),
    meta: Mapping[str, str] | None = None,
    set: Mapping[str, str] | None = None,  # noqa: A002 - the contract's word
    unset: str | Iterable[str] = (),
    check: Check | Iterable[Check] | None = None,
) -> Call[Row]:
    """Change what is named; the result is the row after."""
    arguments: dict[str, Any] = {"id": name}
    arguments |= {
        word: value for word, value in (("port", port), ("address", address)) if value is not None
    }
    if tags is not None:
        arguments["tags"] = words(tags, "tags")
    if meta is not None:
        arguments["meta"] = _map(meta, "meta")
    for word, value in (("tag", tag), ("untag", untag), ("unset", unset)):
        if given := words(value, word):
            arguments[word] = given
    if set:
        arguments["set"] = _map(set, "set")
    if check is not None:
        arguments["checks"] = [each.packed() for each in checks(check)]
    return Call("update", arguments, read_row)


def renew(name: str) -> Call[Row]:
    """Give a lease its whole time anew."""
    return Call("renew", {"id": name}, read_row)


def deregister(name: str, *, cause: str | None = None, own: bool = False) -> Call[Row]:
    """End an instance (`own`: if it is the asker's); the result is its row before."""
    arguments: dict[str, Any] = {"id": name}
    if cause is not None:
        arguments["cause"] = cause
    if own:
        arguments["own"] = True
    return Call("deregister", arguments, read_row)


def seen(nodes: int | None, *, wait_ms: int) -> Call[Json]:
    """Ask who has seen what this node has changed: of `nodes` others, or of all that are there."""
    return Call("seen", {"nodes": nodes, "wait_ms": wait_ms}, lambda _, body: _sighting(body))


def converged(*, wait_ms: int) -> Call[Json]:
    """Ask whether all nodes have what the agent shows now."""
    return Call("converged", {"wait_ms": wait_ms}, lambda _, body: _convergence(body))


# -- watches and the mesh --------------------------------------------------------------------------


class Since(NamedTuple):
    """From where a watch goes on: see `api.py`."""

    token: str
    seen: int
    kept: bool = False


def watch(
    services: Iterable[str] | None,
    since: Since | None = None,
    *,
    topics: Iterable[str] | None = None,
    filter: str | None = None,  # noqa: A002 - the contract's word
    wait_ms: int = FOR_EVER_MS,
) -> Call[None]:
    """Ask for the present, or what was missed, and all that follows; to be asked as a stream.

    Of these services and topics; none named means of all, None of no such.
    """
    arguments: dict[str, Any] = {
        "services": None if services is None else list(services),
        "topics": None if topics is None else list(topics),
        "wait_ms": wait_ms,
        "caught_up": True,
    }
    if since is not None:
        arguments.update(since._asdict())
    if filter is not None:
        arguments["filter"] = filter
    return Call("watch", arguments, lambda *_: None)


def more(number: int, batches: int) -> Call[None]:
    """Give a watch room for more batches; never answered."""
    return Call("more", {"watch": number, "batches": batches}, lambda *_: None)


def cancel(number: int) -> Call[None]:
    """End a watch."""
    return Call("cancel", {"watch": number}, lambda *_: None)


def join(addresses: Iterable[str], *, wait_ms: int) -> Call[list[Json]]:
    """Let the agent greet others: for each address whether it worked, else why not."""
    names = ("address", "ok", "error", "code")
    return Call(
        "join",
        {"addresses": list(addresses), "wait_ms": wait_ms},
        lambda _, body: [dict(zip(names, result, strict=False)) for result in body["results"]],
    )


def leave() -> Call[None]:
    """Let the node leave the cluster and the agent end."""
    return Call("leave", {}, lambda *_: None)


# -- reading ---------------------------------------------------------------------------------------


def _got(_: list[Any], body: Any) -> Instance:
    details = body.get("checks")
    if not details:
        return _instance(body["row"])
    from discoagent.client.tending import with_details

    return with_details(body["row"], details)


def _instance(row: Row) -> Instance:
    return Instance.from_row(row)


def read_row(_: list[Any], body: Any) -> Row:
    """Read the answer to a change."""
    row: Row = body["row"]
    if len(row) < 6:
        raise ValueError("a short row")
    return row


def _services(counts: Iterable[tuple[str, Mapping[str, int]]]) -> list[Json]:
    return [
        {
            "service": name,
            "total": sum(states.values()),
            "usable": sum(count for state, count in states.items() if state in USABLE_STATES),
            "states": dict(states),
        }
        for name, states in counts
    ]


def _sighting(body: Json) -> Json:
    seen = [{"node": node, "ms": round(float(ms), 3)} for node, ms in body["seen"]]
    slowest = max(seen, key=lambda it: it["ms"], default=None)
    return {"seen": seen, "missing": list(body["missing"]), "slowest": slowest}


def _convergence(body: Json) -> Json:
    nodes = [
        {"node": node, "state": state, "missing": dict(missing)}
        for node, state, missing in body["nodes"]
    ]
    return {"converged": all(it["state"] == "same" for it in nodes), "nodes": nodes}


def _map(value: Mapping[str, str], name: str) -> dict[str, str]:
    try:
        return dict(value)
    except (TypeError, ValueError):
        raise InvalidRequest(f"{name}: a map, not {value!r}", field=name) from None
