"""How users write checks: the words of `--check`, the tables of service files. Pure."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from discoagent.checks.bounds import COUNT_MAX, KINDS, count
from discoagent.checks.spec import Check
from discoagent.errors import InvalidRequest, shorten

_options = re.compile(
    r"(.*?)((?:,(?:interval|timeout|rise|fall|match)=[^,]*)*)", re.DOTALL
).fullmatch


def parse(text: str) -> Check:
    """Read a `--check`. Raises InvalidRequest."""
    found = _options(text)
    assert found is not None  # the pattern takes any text
    body, tail = found.groups()
    options = dict(pair.split("=", 1) for pair in tail[1:].split(",") if pair)
    kind, colon, rest = body.partition(":")
    match kind:
        case "http" | "https":
            return from_table({"http": body, **options})
        case "tcp":
            return from_table({"tcp": rest if colon else True, **options})
        case "exec" | "ttl":
            return from_table({kind: rest, **options})
        case _:
            raise InvalidRequest(
                "check: must be http:/PATH, a URL, tcp, tcp:HOST:PORT, exec:CMD or ttl:10s, "
                f"not {shorten(text)}",
                field="check",
            )


def from_table(table: Mapping[str, Any]) -> Check:
    """Read a check of a service file, or the words of a `--check`. Raises InvalidRequest."""
    kinds = [kind for kind in KINDS if kind in table]
    if len(kinds) != 1:
        raise InvalidRequest(f"check: must have one of {', '.join(KINDS)}", field="check")
    kind, what = kinds[0], table[kinds[0]]
    options = _read_options(kind, {name: value for name, value in table.items() if name != kind})
    if kind == "tcp" and what is True:
        return Check.tcp(**options)
    if kind == "exec" and isinstance(what, list):
        return Check.exec(what, **options)
    if not isinstance(what, str):
        raise InvalidRequest(f"check: {kind} must be a text, not {shorten(what)}", field="check")
    if kind == "exec":
        return Check.exec(_words(what), **options)
    makers: Mapping[str, Any] = {"http": Check.http, "tcp": Check.tcp, "ttl": Check.ttl}
    made: Check = makers[kind](what, **options)
    return made


def _read_options(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    unknown = [name for name in options if name not in _OPTIONS[kind]]
    if unknown:
        takes = ", ".join(_OPTIONS[kind]) or "no options"
        raise InvalidRequest(
            f"check: {unknown[0]} is no option of {kind}, which takes {takes}", field="check"
        )
    for name in ("rise", "fall"):
        if name in options:
            options[name] = _count(options[name], name)
    return options


_TIMES = ("interval", "timeout", "rise", "fall")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "http": (*_TIMES, "match"),
    "tcp": _TIMES,
    "exec": _TIMES,
    "ttl": (),
}


def _count(value: object, name: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    return count(value, "check", name, 1, COUNT_MAX)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidRequest(f"check: exec: {error}: {shorten(text)}", field="check") from None
