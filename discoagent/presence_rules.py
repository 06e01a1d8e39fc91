"""The rules that users' presence keeps, one function each, as in `rules.py`. Pure."""

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

from discoagent.core.limits import NAME_BYTES_MAX
from discoagent.errors import InvalidRequest
from discoagent.rules import NAMES_MAX, ref, refuse, text, utf8_length

META_BYTES_MAX = 4 * 1024  # as JSON, without spaces
META_DEPTH_MAX = 64

_is_meta_name = re.compile(r"(?:([A-Za-z0-9._-]{1,128})\.)?([0-9]{1,19})\.([0-9]{1,19})").fullmatch


def topic(value: object, field: str) -> str:
    """Check a topic or a key of presence."""
    return text(value, field, NAME_BYTES_MAX)


def topics(value: object, field: str) -> tuple[str, ...]:
    """Check a list of topics."""
    if not isinstance(value, (list, tuple)):
        refuse(field, "a list of topics", value)
    if len(value) > NAMES_MAX:
        raise InvalidRequest(f"{field}: at most {NAMES_MAX} topics, not {len(value)}", field=field)
    return tuple(topic(each, field) for each in value)


def meta(value: object, field: str) -> dict[str, Any]:
    """Check what is said of a key: a JSON object, in which `ref` is the agent's word."""
    if not isinstance(value, Mapping):
        refuse(field, "a JSON object", value)
    if "ref" in value:
        raise InvalidRequest(
            f"{field}: must not have the key 'ref', which is the agent's to give", field=field
        )
    said = dict(value)
    _check_json(said, field)
    packed = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    size = utf8_length(packed, field)
    if size > META_BYTES_MAX:
        raise InvalidRequest(
            f"{field}: must be at most {META_BYTES_MAX} bytes of JSON, this is {size}",
            field=field,
        )
    return said


def _check_json(value: object, field: str) -> None:
    """Refuse what JSON cannot say, one level after the other."""
    level: list[object] = [value]
    for _ in range(META_DEPTH_MAX):
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                if not all(type(key) is str for key in each):
                    refuse(field, "a JSON object, whose keys are strings", each)
                inner += each.values()
            elif isinstance(each, (list, tuple)):
                inner += each
            else:
                _check_scalar(each, field)
        if not inner:
            return
        if len(inner) > META_BYTES_MAX:
            refuse(field, f"at most {META_BYTES_MAX} bytes of JSON", value)
        level = inner
    raise InvalidRequest(f"{field}: must be nested at most {META_DEPTH_MAX} deep", field=field)


def _check_scalar(value: object, field: str) -> None:
    if value is None or isinstance(value, (str, bool)):
        return
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return
    if not isinstance(value, float) or not isfinite(value):
        refuse(field, "JSON: strings, finite numbers, integers of 64 bits", value)


class MetaName(NamedTuple):
    """A meta as it is named: by its whole ref, or by the id of its row (`node` is None)."""

    said: str
    node: str | None
    ref: tuple[int, int]


def meta_name(value: object, field: str) -> MetaName:
    """Read what names a meta: `NODE.INCARNATION.CLOCK`, its ref, or `INCARNATION.CLOCK`."""
    found = _is_meta_name(value) if type(value) is str else None
    if found is None:
        refuse(field, "the ref of a meta, NODE.INCARNATION.CLOCK", value)
    return MetaName(found[0], found[1], ref([int(found[2]), int(found[3])], field))


def meta_id(value: object, field: str) -> tuple[int, int]:
    """Read the id of a meta's row."""
    named = meta_name(value, field)
    if named.node is not None:
        refuse(field, "INCARNATION.CLOCK, the id of an earlier answer", value)
    return named.ref
