"""Puts the units that come with this package in place below a root, and takes them away again.

What is put in place is whatever `systemd/` of the project holds, by the end of its name:

    NAME.service           /etc/systemd/system/
    NAME.sysusers          /etc/sysusers.d/NAME.conf
    NAME.tmpfiles          /etc/tmpfiles.d/NAME.conf
    NN-NAME.conf           /etc/systemd/system/discoagent.service.d/, where it is asked for

All is planned as steps first, so that one can look at them without taking any.
"""

import contextlib
import os
import subprocess
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import NamedTuple

from discoagent.errors import DiscoError, Refused

BESIDE, CHECKOUT = "units", "systemd"  # in the installed package, and beside it in a checkout
PROGRAMS = "/opt/discoagent/bin/"  # where the files say that the programs are
PLACES = {
    ".service": "etc/systemd/system/{name}",
    ".sysusers": "etc/sysusers.d/{stem}.conf",
    ".tmpfiles": "etc/tmpfiles.d/{stem}.conf",
    ".conf": "etc/systemd/system/discoagent.service.d/{name}",
}
DROP_IN = ".conf"
BOOTED = Path("/run/systemd/system")  # is there where systemd runs: sd_booted(3)
HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108 - from the unit


class Step(NamedTuple):
    """One thing to do: `create`, `update`, `keep`, `remove` a file, or `run` a command."""

    action: str
    target: str
    take: Callable[[], None]


def shipped() -> list[Path]:
    """Return the files that have a place. Raises DiscoError if the package came without them."""
    package = Path(__file__).parents[1]
    for directory in (package / BESIDE, package.parent / CHECKOUT):
        if directory.is_dir():
            return sorted(path for path in directory.iterdir() if path.suffix in PLACES)
    raise DiscoError(f"{package / BESIDE} is missing: install discoagent from its wheel again")


def drop_ins() -> list[str]:
    """Return the names of the drop-ins that there are for the agent's unit."""
    return [path.name for path in shipped() if path.suffix == DROP_IN]


def programs(root: Path) -> str:
    """Return the directory of `discoagent` and `discoctl`, as it is called on that root's host."""
    scripts = Path(sysconfig.get_path("scripts"))
    return f"/{scripts.relative_to(root)}" if scripts.is_relative_to(root) else str(scripts)


def hidden(root: Path) -> bool:
    """Are the programs in a place that the agent's unit cannot see?"""
    return f"{programs(root)}/".startswith(HIDDEN)


def installation(root: Path, chosen: Iterable[str]) -> Iterator[Step]:
    """Plan what puts the units in place, with the `chosen` drop-ins and those already there."""
    wanted = set(chosen)
    written = []
    for path in shipped():
        place = _place(root, path)
        if path.suffix == DROP_IN and path.name not in wanted and not place.exists():
            continue
        text = path.read_text(encoding="utf-8").replace(PROGRAMS, f"{programs(root)}/")
        written.append(place)
        yield _writing(place, text)
    if _is_this_host(root):
        yield from map(_running, _announcements(written))


def removal(root: Path) -> Iterator[Step]:
    """Plan what stops the agent and takes away what `installation` and `enable` put in place."""
    there = [place for place in (_place(root, path) for path in shipped()) if place.exists()]
    live = _is_this_host(root) and BOOTED.is_dir()
    units = {place: place.name.replace("@.", "@*.") for place in there if _is_unit(place)}
    for place, instances in units.items():
        if live and instances == place.name:
            yield _running(["systemctl", "disable", "--quiet", "--now", place.name])
        elif live:
            yield _running(["systemctl", "stop", instances])
    for link in sorted((root / PLACES[".service"]).parent.glob("*.wants/*")):
        if any(fnmatch(link.name, instances) for instances in units.values()):
            yield Step("remove", str(link), partial(_remove, link))
    for place in there:
        yield Step("remove", str(place), partial(_remove, place))
    if live and there:
        yield _running(["systemctl", "daemon-reload"])


def _is_unit(place: Path) -> bool:
    return place.parent.name == "system"


def _announcements(places: Iterable[Path]) -> Iterator[list[str]]:
    """Yield the commands that bring new files in force on this host."""
    for place in places:
        if place.parent.name == "sysusers.d":
            yield ["systemd-sysusers", str(place)]
        elif place.parent.name == "tmpfiles.d":
            yield ["systemd-tmpfiles", "--create", str(place)]
    if BOOTED.is_dir():
        yield ["systemctl", "daemon-reload"]


def _is_this_host(root: Path) -> bool:
    return root == Path("/")


def _place(root: Path, path: Path) -> Path:
    return root / PLACES[path.suffix].format(name=path.name, stem=path.stem)


def _writing(place: Path, text: str) -> Step:
    try:
        former = place.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Step("create", str(place), partial(_write, place, text))
    if former == text:
        return Step("keep", str(place), lambda: None)
    return Step("update", str(place), partial(_write, place, text))


def _running(command: list[str]) -> Step:
    return Step("run", " ".join(command), partial(_run, command))


def _write(place: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with _denied(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        new = place.with_name(f".{place.name}.new")
        new.write_text(text, encoding="utf-8")
        new.chmod(0o644)
        new.replace(place)


def _remove(place: Path) -> None:
    """Remove a file, if it is there still, and its directory if it is a unit's own and empty."""
    with _denied(place):
        place.unlink(missing_ok=True)
    if _is_unit(place.parent):
        with contextlib.suppress(OSError):  # it is gone, or holds what is not ours
            place.parent.rmdir()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DiscoError(f"there is no {command[0]} here: is this a host with systemd?") from None
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise DiscoError(f"`{' '.join(command)}` failed with {done.returncode}: {said}")


@contextlib.contextmanager
def _denied(place: Path) -> Iterator[None]:
    """Say what to do where a file may not be changed."""
    try:
        yield
    except PermissionError:
        raise Refused(
            f"{place} cannot be changed by uid {os.geteuid()}: run it as root, or name another "
            "root with --root",
            kind="permission",
        ) from None
