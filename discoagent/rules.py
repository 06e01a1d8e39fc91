"""The rules that user input keeps, one function each. Pure.

Each takes a value of any type and the name of its field, and returns the value in its proper form.
Whatever breaks the rule raises `InvalidRequest` with a sentence that names the field and the bound;
nothing was changed by then.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple, NoReturn

from discoagent.core.limits import (
    ENDPOINT_BYTES_MAX,
    ENTRY_BYTES_MAX,
    NAME_BYTES_MAX,
    NUMBER_MAX,
)
from discoagent.errors import InvalidRequest, shorten

LOG_LEVELS = ("debug", "info", "warning", "error")
TAGS_MAX = 64
TAG_BYTES_MAX = 256
META_KEYS_MAX = 64
META_VALUE_BYTES_MAX = 1024
HOST_BYTES_MAX = 253
TTL_MS_MIN = 100
TTL_MS_MAX = 30 * 24 * 3600 * 1000
WAIT_MS_MAX = 2**31  # about 25 days, "for ever" to whoever waits
NAMES_MAX = 1_000
PID_MAX = 2**22

_is_name = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch
_is_label = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?").fullmatch
_has_control = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_is_exit_cause = re.compile(r"exit:([0-9]{1,3}|SIG[A-Z0-9+-]{2,16})").fullmatch
assert NAME_BYTES_MAX == 128

NAME_RULE = f"1 to {NAME_BYTES_MAX} of the characters A-Z a-z 0-9 . _ -"


TEXT_RULE = "1 to {} bytes of UTF-8 without control characters"


def refuse(field: str, rule: str, value: object) -> NoReturn:
    """Raise the InvalidRequest that names a field, its rule, and the value that breaks it."""
    raise InvalidRequest(f"{field}: must be {rule}, not {shorten(value)}", field=field)


def name(value: object, field: str) -> str:
    """Check a service, an instance id, a node, a cluster or a meta key."""
    if type(value) is not str or _is_name(value) is None:
        refuse(field, NAME_RULE, value)
    return value


def name_or_none(value: object, field: str) -> str | None:
    """Check a name that may be left out."""
    return None if value is None else name(value, field)


def names(value: object, field: str) -> tuple[str, ...]:
    """Check a list of names."""
    if not isinstance(value, (list, tuple)):
        refuse(field, "a list of names", value)
    if len(value) > NAMES_MAX:
        raise InvalidRequest(f"{field}: at most {NAMES_MAX} names, not {len(value)}", field=field)
    return tuple(name(each, field) for each in value)


class Target(NamedTuple):
    """An instance as a user names it: what is None was not said."""

    service: str | None
    id: str
    node: str | None

    def __str__(self) -> str:
        service = f"{self.service}/" if self.service else ""
        return f"{service}{self.id}" + (f"@{self.node}" if self.node else "")


TARGET_RULE = f"SERVICE/INSTANCE@NODE, SERVICE/INSTANCE or INSTANCE, each {NAME_RULE}"


def target(value: object, field: str) -> Target:
    """Read `SERVICE/INSTANCE@NODE`, `SERVICE/INSTANCE` or `INSTANCE` (also `INSTANCE@NODE`)."""
    if type(value) is not str:
        refuse(field, TARGET_RULE, value)
    rest, at, node = value.partition("@")
    service, slash, instance = rest.partition("/")
    if not slash:
        service, instance = "", rest
    parts = [instance, *([service] if slash else []), *([node] if at else [])]
    if not all(map(_is_name, parts)):
        refuse(field, TARGET_RULE, value)
    return Target(service or None, instance, node or None)


def integer(value: object, field: str, low: int, high: int, what: str = "an integer") -> int:
    """Check a whole number between two bounds, both included."""
    if type(value) is not int or not low <= value <= high:
        refuse(field, f"{what} from {low} to {high}", value)
    return value


def port(value: object, field: str) -> int | None:
    """Check a port; None is an instance without one."""
    if value is None:
        return None
    return integer(value, field, 1, 65535, "a port")


def pid(value: object, field: str) -> int:
    """Check a process id."""
    return integer(value, field, 1, PID_MAX, "a process id")


def ttl_ms(value: object, field: str) -> int:
    """Check a lease's time to live, in milliseconds."""
    return integer(value, field, TTL_MS_MIN, TTL_MS_MAX, "milliseconds")


def wait_ms(value: object, field: str) -> int:
    """Check how long an asker is willing to wait, in milliseconds."""
    return integer(value, field, 0, WAIT_MS_MAX, "milliseconds")


def number(value: object, field: str) -> int:
    """Check a request's number, or a point in wall-clock milliseconds."""
    return integer(value, field, 0, NUMBER_MAX)


def log_level(value: object, field: str) -> str:
    """Check a level of the log."""
    if type(value) is not str or value not in LOG_LEVELS:
        refuse(field, f"one of {', '.join(LOG_LEVELS)}", value)
    return value


def flag(value: object, field: str) -> bool:
    """Check a yes or no."""
    if type(value) is not bool:
        refuse(field, "true or false", value)
    return value


def utf8_length(value: str, field: str) -> int:
    """Return how many bytes a text has; refuse one that UTF-8 cannot say."""
    try:
        return len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError:
        refuse(field, "UTF-8", value)


def address(value: object, field: str) -> str:
    """Check a host name or an IP literal without brackets."""
    rule = f"a host name or an IP address without brackets and port, at most {HOST_BYTES_MAX} bytes"
    if type(value) is not str or len(value) > HOST_BYTES_MAX or not _is_address(value):
        refuse(field, rule, value)
    return value


@lru_cache(maxsize=256)  # many instances, few addresses
def _is_address(value: str) -> bool:
    if not value or not value.isascii():
        return False
    labels = value.removesuffix(".").split(".")
    # A last label of digits can only be an IPv4 address: "10.0.0.256" is a mistake, not a name.
    if not labels[-1].isdigit() and ":" not in value:
        return all(map(_is_label, labels))
    try:
        ip_address(value)
    except ValueError:
        return False
    return " " not in value and not _has_control(value)


def tag(value: object, field: str) -> str:
    """Check one tag."""
    return text(value, field, TAG_BYTES_MAX)


def text(value: object, field: str, most: int) -> str:
    """Check a text of so many bytes."""
    if type(value) is str and value.isascii() and value.isprintable():
        if not 1 <= len(value) <= most:
            refuse(field, TEXT_RULE.format(most), value)
        return value  # nearly every one there is
    if type(value) is not str or not value or _has_control(value):
        refuse(field, TEXT_RULE.format(most), value)
    if utf8_length(value, field) > most:
        refuse(field, TEXT_RULE.format(most), value)
    return value


def fold_tags(value: Iterable[str], field: str) -> tuple[str, ...]:
    """Drop doubles, keep the order, and check how many are left."""
    folded = tuple(dict.fromkeys(value))
    if len(folded) > TAGS_MAX:
        raise InvalidRequest(f"{field}: at most {TAGS_MAX} tags, not {len(folded)}", field=field)
    return folded


def tags(value: object, field: str) -> tuple[str, ...]:
    """Check a list of tags; order is kept and doubles are folded."""
    if not isinstance(value, (list, tuple)):
        refuse(field, "a list of tags", value)
    for each in value:
        short = type(each) is str and 0 < len(each) <= TAG_BYTES_MAX
        if not (short and each.isascii() and each.isprintable()):  # as nearly every one is
            tag(each, field)
    return fold_tags(value, field)


def count_meta(value: Mapping[str, str], field: str) -> None:
    """Check how many pairs a meta has."""
    if len(value) > META_KEYS_MAX:
        raise InvalidRequest(
            f"{field}: at most {META_KEYS_MAX} keys, not {len(value)}", field=field
        )


def meta(value: object, field: str) -> dict[str, str]:
    """Check a map of strings: keys are names, values any UTF-8."""
    if not isinstance(value, Mapping):
        refuse(field, "a map of strings", value)
    count_meta(value, field)
    for key, held in value.items():
        if type(key) is not str or _is_name(key) is None:
            refuse(field, f"a map with keys of {NAME_RULE}", key)
        if type(held) is str and len(held) <= META_VALUE_BYTES_MAX and held.isascii():
            continue
        if type(held) is not str or utf8_length(held, field) > META_VALUE_BYTES_MAX:
            rule = f"a map with string values of at most {META_VALUE_BYTES_MAX} bytes"
            refuse(field, f"{rule} (key {key!r})", held)
    return dict(value)


def entry_size(service: str, instance: str, body: bytes) -> None:
    """Check that a whole entry, packed, is within its bound."""
    size = len(service) + len(instance) + len(body)
    if size > ENTRY_BYTES_MAX:
        raise InvalidRequest(
            f"meta: the entry must be at most {ENTRY_BYTES_MAX} bytes packed, this one is {size}",
            field="meta",
        )


class LifetimeWish(NamedTuple):
    """The lifetime that a registration asks for; a process without a pid is the asker."""

    kind: str
    pid: int | None = None
    ttl_ms: int | None = None


def lifetime(value: object, field: str) -> LifetimeWish:
    """Read `["process", pid or nil]`, `["lease", ttl_ms]` or `["static"]`."""
    match value:
        case ["process"] | ["process", None]:
            return LifetimeWish("process")
        case ["process", process]:
            return LifetimeWish("process", pid=pid(process, field))
        case ["lease", ttl]:
            return LifetimeWish("lease", ttl_ms=ttl_ms(ttl, field))
        case ["static"]:
            return LifetimeWish("static")
        case _:
            refuse(field, '["process", pid or nil], ["lease", ttl_ms] or ["static"]', value)


def exit_cause(value: object, field: str) -> str:
    """Read how a process ended, as its wrapper tells: `exit:CODE` or `exit:SIGNAL`."""
    rule = "exit:CODE (0 to 255) or exit:SIGNAL (as SIGTERM)"
    if type(value) is not str or (found := _is_exit_cause(value)) is None:
        refuse(field, rule, value)
    if found[1].isdigit() and int(found[1]) > 255:
        refuse(field, rule, value)
    return value


def ref(value: object, field: str) -> tuple[int, int]:
    """Read the ref of an earlier answer: `[incarnation, clock]` or `NODE.INCARNATION.CLOCK`."""
    parts: object = value
    if type(value) is str:
        parts = [
            int(part) for part in value.rsplit(".", 2)[1:] if part.isascii() and part.isdigit()
        ]
    match parts:
        case [int(incarnation), int(clock)] if 0 <= incarnation < 2**63 and 1 <= clock < 2**63:
            return incarnation, clock
        case _:
            refuse(
                field, "[incarnation, clock] of an earlier answer, or NODE.INCARNATION.CLOCK", value
            )


def addresses(value: object, field: str) -> tuple[str, ...]:
    """Check a list of `HOST:PORT` for its types and bounds; what they mean is `endpoints.py`'s."""
    if not isinstance(value, (list, tuple)) or not value:
        refuse(field, "a list of at least one HOST:PORT", value)
    if len(value) > NAMES_MAX:
        raise InvalidRequest(
            f"{field}: at most {NAMES_MAX} addresses, not {len(value)}", field=field
        )
    for each in value:
        if (
            type(each) is not str
            or not each
            or len(each) > ENDPOINT_BYTES_MAX
            or _has_control(each)
        ):
            refuse(field, f"HOST:PORT of at most {ENDPOINT_BYTES_MAX} bytes", each)
    return tuple(value)
