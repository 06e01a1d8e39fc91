"""Reads the service files of a directory, as far as nobody else could have written them."""

import os
import stat
from pathlib import Path

from discoagent.core.entry import Key, Kind
from discoagent.local.entries import services
from discoagent.local.entries.services import Problem, Service, WrongFileError


def read_all(directory: str | None, uid: int) -> tuple[dict[Key, Service], list[Problem]]:
    """Return what the files want, and what is wrong with them; `uid` is the agent's user."""
    wanted: dict[Key, Service] = {}
    problems: list[Problem] = []
    for path in _paths(directory, problems):
        try:
            found = services.read(str(path), _text(path, uid))
        except WrongFileError as error:
            problems.append(error.problem)
            continue
        for service in found:
            key = (Kind.SERVICE, service.call.service, service.id)
            if key in wanted:
                first = wanted[key]
                said = f"id: {key[1]}/{key[2]} is in {first.file}:{first.line} already"
                problems.append(Problem(service.file, service.line, "id", said))
            else:
                wanted[key] = service
    return wanted, problems


def _paths(directory: str | None, problems: list[Problem]) -> list[Path]:
    if directory is None:
        return []
    try:
        return sorted(path for path in Path(directory).iterdir() if path.suffix == ".toml")
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(Problem(directory, None, None, error.strerror or str(error)))
        return []


def _text(path: Path, uid: int) -> str:
    name = str(path)
    try:
        with open(path, "rb", opener=_opened) as file:
            distrust = _distrust(os.fstat(file.fileno()), uid)
            if distrust:
                raise WrongFileError(name, None, None, distrust)
            text = file.read(services.BYTES_MAX + 1)
        if len(text) > services.BYTES_MAX:
            raise WrongFileError(name, None, None, f"is larger than {services.BYTES_MAX} bytes")
        return text.decode()
    except OSError as error:
        raise WrongFileError(name, None, None, error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise WrongFileError(name, line, None, "is not UTF-8") from None


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # else a pipe would have us wait for its writer


def _distrust(status: os.stat_result, uid: int) -> str | None:
    """Say why a file is not read: what is in it is done by the agent, for whoever it names."""
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    if status.st_uid not in (0, uid):
        return f"belongs to uid {status.st_uid}, neither root nor this agent's user (uid {uid})"
    if status.st_mode & stat.S_IWOTH:
        return "can be written by everybody"
    return None
