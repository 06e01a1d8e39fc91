"""Reads a request's arguments into an operation: each is checked, or refused by name. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from discoagent import __version__, filters, presence_rules, rules
from discoagent.api import WATCH_CREDIT_MAX
from discoagent.checks import bounds
from discoagent.core.limits import NODES_MAX
from discoagent.errors import InvalidRequest, shorten
from discoagent.filters import Filter
from discoagent.local.requests.operations import (
    At,
    Call,
    Cancel,
    Converged,
    Deregister,
    Drain,
    Examine,
    Forget,
    Get,
    Hello,
    History,
    Join,
    Leave,
    List,
    LogLevel,
    Maint,
    Members,
    Monitor,
    More,
    Ping,
    Register,
    Reload,
    Renew,
    Seen,
    Services,
    Settings,
    StatusOf,
    Ttl,
    Update,
    Watch,
    Why,
)
from discoagent.local.requests.presence_operations import Presence, Retrack, Topics, Track, Untrack
from discoagent.token import Token, read

Check = Callable[[Any, str], Any]


def _or_none(check: Check) -> Check:
    def checked(value: Any, field: str) -> Any:
        return None if value is None else check(value, field)

    return checked


def _filter(value: Any, field: str) -> Filter:
    if type(value) is not str:
        raise InvalidRequest(f"{field}: must be a text, not {shorten(value)}", field=field)
    return filters.parse(value)


def _nodes(value: Any, field: str) -> int:
    return rules.integer(value, field, 1, NODES_MAX, "a number of nodes")


def _batches(value: Any, field: str) -> int:
    return rules.integer(value, field, 1, WATCH_CREDIT_MAX)


def _token(value: Any, _: str) -> Token:
    return read(value)


class _Operation(NamedTuple):
    call: Callable[..., Call]
    checks: Mapping[str, Check]
    required: frozenset[str] = frozenset()


_WAIT: Mapping[str, Check] = {"wait_ms": rules.wait_ms}
_ID: Mapping[str, Check] = {"id": rules.target}
_META: Mapping[str, Check] = {"topic": presence_rules.topic, "id": presence_rules.meta_name}
_LIST: Mapping[str, Check] = {
    "services": rules.names,
    "tags": rules.tags,
    "node": rules.name_or_none,
    "usable": rules.flag,
    "filter": _or_none(_filter),
    **_WAIT,
}


def _at(ms: int, **arguments: Any) -> At:
    return At(ms, List(**arguments))


_OPERATIONS: Mapping[str, _Operation] = {
    "hello": _Operation(Hello, {}),
    "list": _Operation(List, _LIST),
    "at": _Operation(_at, {"ms": rules.number, **_LIST}, frozenset({"ms"})),
    "history": _Operation(
        History,
        {
            "id": _or_none(rules.target),
            "since_ms": _or_none(rules.number),
            "last": rules.flag,
            **_WAIT,
        },
    ),
    "get": _Operation(Get, {**_ID, **_WAIT}, frozenset({"id"})),
    "services": _Operation(Services, _WAIT),
    "members": _Operation(Members, _WAIT),
    "status": _Operation(StatusOf, {"ready_ms": rules.wait_ms}),
    "ping": _Operation(Ping, {}),
    "presence": _Operation(
        Presence, {"topic": presence_rules.topic, **_WAIT}, frozenset({"topic"})
    ),
    "topics": _Operation(Topics, _WAIT),
    "track": _Operation(
        Track,
        {
            "topic": presence_rules.topic,
            "key": presence_rules.topic,
            "meta": presence_rules.meta,
            "lifetime": rules.lifetime,
            "wrapper": _or_none(rules.pid),
            "id": _or_none(presence_rules.meta_id),
            "ref": _or_none(rules.ref),
            "registered_ms": _or_none(rules.number),
            "updated_ms": _or_none(rules.number),
        },
        frozenset({"topic", "key"}),
    ),
    "retrack": _Operation(
        Retrack, {**_META, "meta": presence_rules.meta}, frozenset({"topic", "id"})
    ),
    "untrack": _Operation(
        Untrack, {**_META, "cause": _or_none(rules.exit_cause)}, frozenset({"topic", "id"})
    ),
    "register": _Operation(
        Register,
        {
            "service": rules.name,
            "port": rules.port,
            "address": _or_none(rules.address),
            "id": rules.name_or_none,
            "tags": rules.tags,
            "meta": rules.meta,
            "lifetime": rules.lifetime,
            "replace": rules.flag,
            "wrapper": _or_none(rules.pid),
            "checks": bounds.read,
            "verify": rules.flag,
            "dry_run": rules.flag,
            "ref": _or_none(rules.ref),
            "registered_ms": _or_none(rules.number),
            "updated_ms": _or_none(rules.number),
        },
        frozenset({"service"}),
    ),
    "update": _Operation(
        Update,
        {
            **_ID,
            "port": rules.port,
            "address": rules.address,
            "tags": rules.tags,
            "tag": rules.tags,
            "untag": rules.tags,
            "meta": rules.meta,
            "set": rules.meta,
            "unset": rules.names,
            "checks": bounds.read,
        },
        frozenset({"id"}),
    ),
    "renew": _Operation(Renew, _ID, frozenset({"id"})),
    "ttl": _Operation(
        Ttl,
        {**_ID, "word": bounds.word, "note": bounds.note},
        frozenset({"id", "word"}),
    ),
    "maint": _Operation(
        Maint,
        {
            "on": rules.flag,
            "id": _or_none(rules.target),
            "reason": _or_none(rules.tag),
            "for_ms": _or_none(rules.ttl_ms),
        },
        frozenset({"on"}),
    ),
    "drain": _Operation(Drain, {"id": _or_none(rules.target)}),
    "reload": _Operation(Reload, {"dry_run": rules.flag}),
    "deregister": _Operation(
        Deregister,
        {**_ID, "cause": _or_none(rules.exit_cause), "own": rules.flag},
        frozenset({"id"}),
    ),
    "watch": _Operation(
        Watch,
        {
            "services": _or_none(rules.names),
            "topics": _or_none(presence_rules.topics),
            "caught_up": rules.flag,
            "token": _or_none(_token),
            "seen": rules.number,
            "kept": rules.flag,
            "filter": _or_none(_filter),
            **_WAIT,
        },
    ),
    "seen": _Operation(Seen, {"nodes": _or_none(_nodes), **_WAIT}),
    "converged": _Operation(Converged, _WAIT),
    "cancel": _Operation(Cancel, {"watch": rules.number}, frozenset({"watch"})),
    "more": _Operation(
        More, {"watch": rules.number, "batches": _batches}, frozenset({"watch", "batches"})
    ),
    "log-level": _Operation(LogLevel, {"level": _or_none(rules.log_level)}),
    "monitor": _Operation(Monitor, {"level": rules.log_level}),
    "examine": _Operation(Examine, {}),
    "settings": _Operation(Settings, {}),
    "why": _Operation(Why, {"node": rules.name}, frozenset({"node"})),
    "forget": _Operation(Forget, {"node": rules.name}, frozenset({"node"})),
    "join": _Operation(Join, {"addresses": rules.addresses, **_WAIT}, frozenset({"addresses"})),
    "leave": _Operation(Leave, {}),
}
OPERATIONS = tuple(_OPERATIONS)


def parse_call(operation: str, arguments: Mapping[Any, Any]) -> Call:
    """Check every argument. Raises InvalidRequest, which names the field and its bound."""
    known = _OPERATIONS.get(operation)
    if known is None:
        raise InvalidRequest(
            f"operation: this agent (version {__version__}) knows no {shorten(operation)}, "
            f"but {', '.join(OPERATIONS)}",
            field="operation",
        )
    values = {}
    for name, value in arguments.items():
        check = known.checks.get(name)
        if check is None:
            raise _unknown_argument(operation, known, name)
        values[name] = check(value, name)
    if not known.required <= values.keys():
        missing = min(known.required - values.keys())
        raise InvalidRequest(f"{missing}: is required by {operation}", field=missing)
    return known.call(**values)


def _unknown_argument(operation: str, known: _Operation, name: object) -> InvalidRequest:
    takes = ", ".join(known.checks) or "no arguments"
    return InvalidRequest(
        f"{shorten(name)}: is no argument of {operation}, which takes {takes}",
        field=name if isinstance(name, str) else "arguments",
    )
