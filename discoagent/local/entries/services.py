"""Service files: what is in one, and what is wrong with it, by line and field. Pure.

    [[service]]
    name = "web"
    port = 8080
    check = [{ http = "/health", interval = "5s" }]

Keys: name, id, port, address, tags, meta, check, and user: who may change the instance, and as whom
its commands run; without it the agent's own user.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from discoagent import rules
from discoagent.checks import bounds, words
from discoagent.errors import InvalidRequest, shorten
from discoagent.local.requests.operations import Register
from discoagent.rules import LifetimeWish

BYTES_MAX = 1024 * 1024
_at_line = re.compile(r" ?\(at line (\d+), column \d+\)").search
_is_header = re.compile(r"\s*\[\[\s*service\s*\]\]").match


class Problem(NamedTuple):
    """What is wrong with a file. `line` is None where it cannot be said, `field` likewise."""

    file: str
    line: int | None
    field: str | None
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


class Service(NamedTuple):
    """One instance that a file wants; `user` is a name or a uid."""

    file: str
    line: int
    call: Register
    user: str | int | None

    @property
    def id(self) -> str:
        """Return its id: `name-port` or `name` if none is given."""
        call = self.call
        if call.id is not None:
            return call.id
        return call.service if call.port is None else f"{call.service}-{call.port}"


def read(file: str, text: str) -> list[Service]:
    """Return all services of a file. Raises WrongFileError for the first thing that is wrong."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not TOML, a number too large, too deep
        found = _at_line(str(error))
        line = int(found[1]) if found else None
        message = str(error).replace(found[0], "") if found else str(error)
        raise WrongFileError(file, line, None, message) from None
    for key in table:
        if key != "service":
            raise WrongFileError(
                file, _line_of(text, key, 0), key, f"{key}: no such key; there is [[service]]"
            )
    services = table.get("service", [])
    if not isinstance(services, list) or not all(isinstance(it, dict) for it in services):
        raise WrongFileError(file, 1, "service", "service: must be written [[service]]")
    headers = [number for number, line in enumerate(text.splitlines()) if _is_header(line)]
    starts = headers if len(headers) == len(services) else [0] * len(services)
    return [_service(file, text, start, it) for start, it in zip(starts, services, strict=True)]


class WrongFileError(Exception):
    """A file cannot be used."""

    def __init__(self, file: str, line: int | None, field: str | None, message: str) -> None:
        self.problem = Problem(file, line, field, message)
        super().__init__(str(self.problem))


def _service(file: str, text: str, start: int, table: Mapping[str, Any]) -> Service:
    try:
        return _made(file, start + 1, table)
    except InvalidRequest as error:
        field = error.field or "name"
        line = _line_of(text, field, start)
        raise WrongFileError(file, line, field, error.message) from None


def _made(file: str, line: int, table: Mapping[str, Any]) -> Service:
    values = {field: _read(field, value) for field, value in table.items()}
    if "name" not in values:
        raise InvalidRequest("name: is required", field="name")
    user = values.pop("user", None)
    call = Register(
        values.pop("name"),
        checks=values.pop("check", ()),
        lifetime=LifetimeWish("static"),
        **values,
    )
    if call.port is None and any(check.needs_port for check in call.checks):
        raise InvalidRequest("check: it asks at the port, and there is none", field="check")
    service = Service(file, line, call, user)
    rules.name(service.id, "id")
    return service


def _read(field: str, value: object) -> Any:
    reader = _READERS.get(field)
    if reader is None:
        raise InvalidRequest(
            f"{field}: no such key of a service; there are {', '.join(_READERS)}", field=field
        )
    return reader(value, field)


def _checks(value: object, field: str) -> Any:
    tables: list[Any] = value if isinstance(value, list) else [value]
    if not all(isinstance(it, dict) for it in tables):
        raise InvalidRequest(
            f"{field}: must be tables such as {{ tcp = true }}, not {shorten(value)}", field=field
        )
    return bounds.read([words.from_table(it).packed() for it in tables], field)


def _user(value: object, field: str) -> str | int:
    if type(value) is int and 0 <= value < 2**32 - 1:
        return value
    if type(value) is str and value:
        return value
    raise InvalidRequest(
        f"{field}: must be a user's name or uid, not {shorten(value)}", field=field
    )


_READERS: Mapping[str, Callable[[object, str], Any]] = {
    "name": rules.name,
    "id": rules.name,
    "port": rules.port,
    "address": rules.address,
    "tags": rules.tags,
    "meta": rules.meta,
    "check": _checks,
    "user": _user,
}


def _line_of(text: str, field: str, start: int) -> int:
    """Return the line where a key is given, from 1, looked for from `start` on."""
    key = re.compile(rf"""\s*(?:\[+\s*)?(?:service\.)?["']?{re.escape(field)}["']?\s*[.=\]]""")
    for number, line in enumerate(text.splitlines()[start:], start):
        if number > start and _is_header(line):
            break
        if key.match(line):
            return number + 1
    return start + 1
