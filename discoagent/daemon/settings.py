"""Every configuration key: how its value is read from TOML, and how from plain text.

A reader returns the usable value or raises SettingError with the end of a sentence whose subject is
the key: "must be ...". `config.py` puts the source before it and collects all of them.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from discoagent import durations, endpoints, sockets
from discoagent.core import limits
from discoagent.core.timing import Timing
from discoagent.errors import InvalidRequest
from discoagent.local.host import policy
from discoagent.rules import LOG_LEVELS
from discoagent.store.rows import EVENTS_LEAST

LABEL_VALUE_BYTES_MAX = 1_024
TABLES = ("timing", "labels", "policy", "history")
HISTORY_ROWS_MAX = 10_000_000
HISTORY_DAYS_MAX = 3_650
LOG_FORMATS = ("text", "json", "journal")

_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_MODE = re.compile(r"(?:0o|0)?[0-7]{3}", re.ASCII)


class SettingError(ValueError):
    """A value breaks the rule of its key; the message is the end of a sentence."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise SettingError(f"must be a string, not {value!r}")
    return value


def _name(value: object) -> str:
    text = _text(value)
    if not _NAME.fullmatch(text):
        raise SettingError(
            f"must be 1 to {limits.NAME_BYTES_MAX} characters of A-Z a-z 0-9 . _ -, not {text!r}"
        )
    return text


def _endpoint(value: object, *, any_port: bool = False) -> endpoints.Endpoint:
    try:
        return endpoints.parse(_text(value), field="", any_port=any_port)
    except SettingError:
        raise
    except ValueError as error:
        raise SettingError(str(error).strip()) from None


def _bind(value: object) -> str:
    return str(_endpoint(value, any_port=True))


def _reachable(value: object) -> str:
    endpoint = _endpoint(value)
    if endpoints.is_wildcard(endpoint.host):
        raise SettingError(f"must name one host, not every address: {value!r}")
    return str(endpoint)


def _endpoints(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise SettingError(f"must be a list of HOST:PORT, not {value!r}")
    return tuple(dict.fromkeys(_reachable(each) for each in value))


def _socket_path(value: object) -> str:
    text = _text(value)
    try:
        return sockets.check_path(os.path.abspath(text) if text else text)
    except InvalidRequest as error:
        raise SettingError(f"cannot be used: {error.message.removeprefix('socket: ')}") from None


def _directory(value: object) -> str:
    text = _text(value)
    if not text or "\0" in text:
        raise SettingError("must be the path of a directory")
    return os.path.abspath(text)


def _mode(value: object) -> int:
    if not isinstance(value, str) or not _MODE.fullmatch(value):
        raise SettingError(f'must be a string of octal digits such as "0660", not {value!r}')
    return int(value, 8)


def _group(value: object) -> str:
    text = _text(value)
    if not text or "\0" in text:
        raise SettingError("must be the name of a group")
    return text


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise SettingError(f"must be true or false, not {value!r}")
    return value


def _label(value: object) -> str:
    text = _text(value)
    if len(text.encode()) > LABEL_VALUE_BYTES_MAX:
        raise SettingError(
            f"must be at most {LABEL_VALUE_BYTES_MAX} bytes, not {len(text.encode())}"
        )
    return text


def _duration(value: object) -> float:
    if value == 0 and not isinstance(value, bool):
        return 0.0
    if not isinstance(value, str):
        raise SettingError(f'must be a string such as "200ms", "5s", "2m" or "1h", not {value!r}')
    return durations.parse(value)


def _whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise SettingError(f"must be a whole number from {low} to {high}, not {value!r}")
        return value

    return read


def _table(value: object) -> None:
    """Refuse what stands where a table should: a table's keys are read one by one."""
    raise SettingError(f"must be a table, not {value!r}")


def _read(reader: Callable[[object], object]) -> Callable[[object], object]:
    def read(value: object) -> object:
        try:
            return reader(value)
        except ValueError as error:
            raise SettingError(str(error)) from None

    return read


def _one_of(words: Sequence[str]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in words:
            raise SettingError(f"must be one of {', '.join(words)}, not {value!r}")
        return str(value)

    return read


def _listed(text: str) -> object:
    return [part.strip() for part in text.split(",") if part.strip()]


def _number(text: str) -> object:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text


def _worded(text: str) -> object:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
        text.lower(), text
    )


@dataclass(frozen=True, slots=True)
class Key:
    """One configuration key: `read` takes a TOML value, `from_text` turns plain text into one."""

    read: Callable[[object], Any]
    from_text: Callable[[str], object] = str


KEYS: Mapping[str, Key] = {
    "node": Key(_name),
    "cluster": Key(_name),
    "bind": Key(_bind),
    "advertise": Key(_reachable),
    "join": Key(_endpoints, _listed),
    "socket": Key(_socket_path),
    "socket_mode": Key(_mode),
    "socket_group": Key(_group),
    "state_dir": Key(_directory),
    "insecure": Key(_flag, _worded),
    "log_level": Key(_one_of(LOG_LEVELS)),
    "log_format": Key(_one_of(LOG_FORMATS)),
    "policy.verify_ports": Key(_flag, _worded),
    "policy.operators": Key(_read(policy.who), _listed),
    "policy.register": Key(_read(policy.grants)),
    "history.rows": Key(_whole(EVENTS_LEAST, HISTORY_ROWS_MAX), _number),
    "history.days": Key(_whole(1, HISTORY_DAYS_MAX), _number),
    **{table: Key(_table) for table in TABLES},
    **{f"timing.{each.name}": Key(_duration) for each in fields(Timing)},
}
LABEL = Key(_label)  # every `labels.NAME`


def key_of(name: str) -> Key | None:
    """Return what reads the key of this dotted name; None if there is no such key."""
    if name.startswith("labels."):
        return LABEL if _NAME.fullmatch(name.removeprefix("labels.")) else None
    return KEYS.get(name)
