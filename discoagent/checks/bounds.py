"""Which checks are accepted: each key and its bound. Pure."""

import re
from collections.abc import Mapping

from discoagent import rules
from discoagent.checks.spec import TTL_FALL, WORDS, Check
from discoagent.errors import InvalidRequest, shorten

KINDS = ("http", "tcp", "exec", "ttl")
CHECKS_MAX = 8  # of one instance
INTERVAL_MS_MIN, INTERVAL_MS_MAX = 100, 24 * 3600 * 1000
TIMEOUT_MS_MIN, TIMEOUT_MS_MAX = 10, 300 * 1000
COUNT_MAX = 100
TARGET_BYTES_MAX = 2_048
WORDS_MAX = 64
MATCH_BYTES_MAX = 256
NOTE_MAX = 4_096

_stray = re.compile(r".*,([a-z]{3,})=[^,/&]*", re.DOTALL).fullmatch
_is_url = re.compile(r"https?://[^/\s@?#]+([/?]\S*)?").fullmatch
_is_own_url = re.compile(r"https?:/(?!/)\S*").fullmatch
_has_control = re.compile(r"[\x00-\x1f\x7f-\x9f]").search


def read(value: object, field: str) -> tuple[Check, ...]:
    """Check a list of maps. Raises InvalidRequest."""
    if not isinstance(value, list | tuple):
        raise InvalidRequest(f"{field}: must be a list of maps, not {shorten(value)}", field=field)
    if len(value) > CHECKS_MAX:
        raise InvalidRequest(f"{field}: at most {CHECKS_MAX}, not {len(value)}", field=field)
    checks = tuple(read_one(each, field) for each in value)
    if sum(each.kind == "ttl" for each in checks) > 1:
        raise InvalidRequest(f"{field}: at most one ttl, for its owner says one word", field=field)
    return checks


def word(value: object, field: str) -> str:
    """Read what an owner says of its `ttl` check: pass, warn or fail; return the state."""
    state = WORDS.get(value) if type(value) is str else None
    if state is None:
        raise InvalidRequest(
            f"{field}: must be one of {', '.join(WORDS)}, not {shorten(value)}", field=field
        )
    return state


def note(value: object, field: str) -> str:
    """Check a note, which is cut where it is shown."""
    if type(value) is not str or len(value) > NOTE_MAX:
        raise InvalidRequest(
            f"{field}: must be a text of at most {NOTE_MAX} characters, not {shorten(value)}",
            field=field,
        )
    return value


def read_one(value: object, field: str) -> Check:
    """Check one map. Raises InvalidRequest, which names the bound."""
    if not isinstance(value, Mapping) or value.get("kind") not in KINDS:
        raise InvalidRequest(
            f"{field}: must be a map with a kind of {', '.join(KINDS)}, not {shorten(value)}",
            field=field,
        )
    kind = value["kind"]
    unknown = [name for name in value if name not in _KEYS[kind]]
    if unknown:
        raise InvalidRequest(
            f"{field}: {shorten(unknown[0])} is no key of {kind}, which takes "
            f"{', '.join(sorted(_KEYS[kind] - {'kind'}))}",
            field=field,
        )
    numbers = {
        name: count(value[name], field, name, low, high)
        for name, (low, high) in _NUMBERS.items()
        if name in value
    }
    if kind == "ttl":
        numbers["fall"] = TTL_FALL
    return Check(
        kind,
        target=_TARGETS[kind](value.get("target"), field),
        command=_command(value.get("command"), field) if kind == "exec" else (),
        match=_match(value.get("match"), field),
        **numbers,
    )


_TIMED = frozenset({"kind", "interval_ms", "timeout_ms", "rise", "fall"})
_KEYS: Mapping[str, frozenset[str]] = {
    "http": _TIMED | {"target", "match"},
    "tcp": _TIMED | {"target"},
    "exec": _TIMED | {"command"},
    "ttl": frozenset({"kind", "interval_ms"}),
}
_NUMBERS = {
    "interval_ms": (INTERVAL_MS_MIN, INTERVAL_MS_MAX),
    "timeout_ms": (TIMEOUT_MS_MIN, TIMEOUT_MS_MAX),
    "rise": (1, COUNT_MAX),
    "fall": (1, COUNT_MAX),
}


def count(value: object, field: str, name: str, low: int, high: int) -> int:
    """Check a whole number of a check. Raises InvalidRequest."""
    if type(value) is not int or not low <= value <= high:
        raise InvalidRequest(
            f"{field}: {name} must be an integer from {low} to {high}, not {shorten(value)}",
            field=field,
        )
    return value


def _text(value: object, field: str, rule: str, bytes_max: int) -> str:
    if type(value) is not str or not value or _has_control(value) or len(value) > bytes_max:
        raise InvalidRequest(f"{field}: must be {rule}, not {shorten(value)}", field=field)
    if not value.isascii() and len(value.encode(errors="replace")) > bytes_max:
        raise InvalidRequest(f"{field}: at most {bytes_max} bytes", field=field)
    return value


def _url(value: object, field: str) -> str:
    rule = "http:/PATH, https:/PATH or a URL of http or https without a user"
    text = _text(value, field, rule, TARGET_BYTES_MAX)
    if not (_is_url(text) or _is_own_url(text)):
        raise InvalidRequest(f"{field}: must be {rule}, not {shorten(text)}", field=field)
    stray = _stray(text)
    if stray is not None:
        raise InvalidRequest(
            f"{field}: there is no option {stray[1]}; a comma of the address is written %2C",
            field=field,
        )
    return text


def _host_port(value: object, field: str) -> str | None:
    if value is None:
        return None
    rule = "tcp or tcp:HOST:PORT"
    text = _text(value, field, rule, TARGET_BYTES_MAX)
    try:
        split_host_port(text)
    except ValueError:
        raise InvalidRequest(f"{field}: must be {rule}, not {shorten(text)}", field=field) from None
    return text


def split_host_port(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, IPv6 in brackets. Raises ValueError."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if (":" in bare) != (bare is not host) or not (port.isascii() and port.isdigit()):
        raise ValueError(text)
    try:
        rules.address(bare, "host")
        return bare, rules.integer(int(port), "port", 1, 65_535)
    except InvalidRequest:
        raise ValueError(text) from None


def _nowhere(_value: object, _field: str) -> None:
    return None


_TARGETS = {"http": _url, "tcp": _host_port, "exec": _nowhere, "ttl": _nowhere}


def _command(value: object, field: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= WORDS_MAX:
        raise InvalidRequest(
            f"{field}: a command must be a list of 1 to {WORDS_MAX} words, not {shorten(value)}",
            field=field,
        )
    words = tuple(value)
    fits = all(type(word) is str and not _has_control(word) for word in words)
    if not fits or not words[0] or len(" ".join(words).encode(errors="replace")) > TARGET_BYTES_MAX:
        raise InvalidRequest(
            f"{field}: a command must be words without control characters, together at most "
            f"{TARGET_BYTES_MAX} bytes",
            field=field,
        )
    return words


def _match(value: object, field: str) -> str | None:
    return None if value is None else _text(value, field, "a text to find", MATCH_BYTES_MAX)
