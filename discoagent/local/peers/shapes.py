"""Whether what a peer's entries hold can be read by users. Pure.

To the protocol bodies, owners and actors are opaque bytes; whoever lists or watches unpacks them.
So they are looked at once, when they come from a peer: one that nobody could unpack would break
every list that it is in, and a control character would reach a terminal. Shapes alone are asked
for, no bounds: a later version may allow longer ones, and may append fields.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import msgpack

from discoagent.core.entry import Cause, Entry, Kind
from discoagent.core.limits import NAME_BYTES_MAX, OWNER_IDENTITY_BYTES
from discoagent.core.messages import (
    Delta,
    DeltaMessage,
    Envelope,
    Farewell,
    Page,
    Part,
    SyncChunk,
)
from discoagent.wire import WireError

_SCALARS = frozenset({bool, int, float, str})

_has_control = re.compile(r"[\x00-\x1f\x7f-\x9f]").search


def check(envelope: Envelope) -> None:
    """Raise WireError (`entry`) for a message with an entry or a cause that cannot be read."""
    for part in _parts(envelope):
        match part:
            case Delta():
                for entry, cause in part.added.values():
                    _check_entry(entry)
                    if cause is not None:
                        _check_cause(cause)
                for removal in part.removed.values():
                    _check_cause(removal.cause)
            case Page():
                for entry in part.entries.values():
                    _check_entry(entry)
            case _:
                pass


def _parts(envelope: Envelope) -> Iterable[Part]:
    match envelope.message:
        case DeltaMessage(deltas=deltas):
            return deltas
        case SyncChunk(parts=parts):
            return parts
        case Farewell(delta=Delta() as delta):
            return (delta,)
        case _:
            return ()


def _check_entry(entry: Entry) -> None:
    if not entry.shown:
        return
    is_body = _is_service if entry.kind is Kind.SERVICE else _is_meta
    assert type(entry.body) is bytes
    if not _holds(entry.body, is_body):
        raise WireError("entry", f"the body of {entry.name}/{entry.id} cannot be read")
    if not _is_owner(entry.owner):
        raise WireError("entry", f"the owner of {entry.name}/{entry.id} cannot be read")


def _check_cause(cause: Cause) -> None:
    if not _is_actor(cause.actor):
        raise WireError("entry", f"the actor of a cause, {cause.word}, cannot be read")


def _holds(raw: bytes, fits: Callable[[list[Any]], bool]) -> bool:
    """Is this a packed array that fits?"""
    try:
        fields = msgpack.unpackb(raw)
        return type(fields) is list and fits(fields)
    except Exception:  # noqa: BLE001 - msgpack raises many kinds; and so do other shapes
        return False


def _is_service(fields: list[Any]) -> bool:
    state, address, port, tags, meta, lifetime, registered, updated, ref, checks = fields[:10]
    # Written for speed, as a newcomer looks at hundreds of thousands: all texts that must be lines
    # are looked at together; and what has another type makes some call below raise.
    line = "".join((state, address, *lifetime[:1], *tags, *meta))
    return (
        (line.isprintable() or _has_control(line) is None)
        and type(tags) is type(checks) is type(lifetime) is list
        and type("".join(meta.values())) is str
        and (port is None or type(port) is int)
        and len(lifetime) > 0
        and (len(lifetime) == 1 or lifetime[1] is None or type(lifetime[1]) is int)
        and type(registered) is type(updated) is type(ref[0]) is type(ref[1]) is int
        and type(ref) is list
        and (not checks or all(type(it) is dict and _is_json(it) for it in checks))
        and (len(fields) == 10 or _is_mode(fields[10]))
    )


def _is_mode(value: object) -> bool:
    if value is None:
        return True
    if type(value) is not list or not value:
        return False
    state, reason, until = [*value, None, None][:3]
    return _is_line(state) and (reason is None or _is_line(reason)) and _is_number(until)


def _is_meta(fields: list[Any]) -> bool:
    key, meta, lifetime, tracked, updated, ref = fields[:6]
    return (
        _is_line(key)
        and 1 <= len(key.encode()) <= NAME_BYTES_MAX  # readers find it by its header's length
        and type(meta) is dict
        and "ref" not in meta  # readers add it
        and _is_json(meta)
        and _is_lifetime(lifetime)
        and type(tracked) is type(updated) is int
        and _is_ref(ref)
    )


def _is_line(value: object) -> bool:
    """Is this text that harms no terminal?"""
    return type(value) is str and (value.isprintable() or _has_control(value) is None)


def _is_lifetime(value: list[Any]) -> bool:
    kind, *rest = value
    return _is_line(kind) and all(map(_is_number, rest[:1]))


def _is_ref(value: object) -> bool:
    return type(value) is list and len(value) > 1 and type(value[0]) is type(value[1]) is int


def _is_json(value: object) -> bool:
    match value:
        case dict():
            return all(type(key) is str for key in value) and all(map(_is_json, value.values()))
        case list():
            return all(map(_is_json, value))
        case _:
            return value is None or type(value) in _SCALARS


@lru_cache(maxsize=1024)
def _is_owner(raw: bytes) -> bool:
    return _holds(raw[OWNER_IDENTITY_BYTES:], _names_an_owner)


def _names_an_owner(fields: list[Any]) -> bool:
    uid, pid, start, exe, unit = fields[:5]
    return _is_number(start) and _names_an_actor([uid, pid, exe, unit])


@lru_cache(maxsize=1024)
def _is_actor(raw: bytes) -> bool:
    return not raw or _holds(raw, _names_an_actor)


def _names_an_actor(fields: list[Any]) -> bool:
    uid, pid, exe, unit = fields[:4]
    texts = all(each is None or type(each) is str for each in (exe, unit))
    return type(uid) is int and _is_number(pid) and texts


def _is_number(value: object) -> bool:
    return value is None or type(value) is int
