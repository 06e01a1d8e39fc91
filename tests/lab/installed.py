"""The agent as it is installed on a host: below /opt/discoagent, with its units in /etc/systemd.

with installed() as host:
    host.check("systemctl", "start", "discoagent")
    host.ctl("list")
"""

import contextlib
import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgpack

from discoagent.cli.installing import DROP_IN, HIDDEN, PLACES
from tests.house.project import ROOT
from tests.lab.booted import Booted

UNITS = ROOT / "systemd"
BIN = "/opt/discoagent/bin"
PROGRAMS = {
    "discoagent": "from discoagent.daemon.command import main\nmain()",
    "discoctl": "from discoagent.cli import main\nmain()",
}
PYTHON, LIBRARIES, PACKAGE = "/opt/python", "/opt/discoagent/site", "/opt/discoagent/lib"


class Installed(Booted):
    """A host on which the agent is installed, and not started yet."""

    def ctl(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `discoctl`."""
        return self.run(f"{BIN}/discoctl", *words)

    def told(self, *words: str) -> Any:
        """Return what `discoctl -o json` prints, which has to succeed."""
        return json.loads(self.check(f"{BIN}/discoctl", *words, "-o", "json"))

    @staticmethod
    def lines(done: "subprocess.CompletedProcess[str]") -> list[Any]:
        """Return the values that a command printed, one a line."""
        return [json.loads(line) for line in done.stdout.splitlines()]

    def property(self, name: str, unit: str = "discoagent") -> str:
        """Return what systemd says of a unit."""
        return self.check("systemctl", "show", "--value", "-p", name, unit).strip()

    def write(self, path: str, text: str) -> None:
        """Write a file, in place of what is there."""
        self.path(path).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def installed(
    *drop_ins: str,
    config: str = "",
    tree: Mapping[str, str] | None = None,
    package: Path = ROOT / "discoagent",
    within: Sequence[str] = (),
) -> Iterator[Installed]:
    """Boot a host with the agent's files, users and directories, and a user `app` who may ask it.

    `drop_ins` are those of `systemd/` that the unit gets, `tree` is more of the root; `package` is
    the build of the agent.
    """
    laid = {**files(*drop_ins, config=config), **(tree or {})}
    with Installed(laid, binds=binds(package), within=within) as host:
        host.check("systemd-sysusers")
        host.check("systemd-tmpfiles", "--create")
        host.check("useradd", "--no-create-home", "--groups", "discoagent", "app")
        yield host


def files(*drop_ins: str, config: str = "") -> dict[str, str]:
    """Return the files of an installation: programs, units, users and directories, `config`."""
    found = {f"{BIN}/{name}": program(it) for name, it in PROGRAMS.items()}
    for path in UNITS.iterdir():
        if path.suffix != DROP_IN or path.name in drop_ins:
            place = PLACES[path.suffix].format(name=path.name, stem=path.stem)
            found[f"/{place}"] = path.read_text(encoding="utf-8")
    return found | {"/etc/discoagent/agent.toml": config}


def binds(package: Path = ROOT / "discoagent") -> list[str]:
    """Return what has to be bound for the programs to run; `package` is the build of the agent."""
    libraries = Path(str(msgpack.__file__)).parents[1]  # and with it the others
    found = [f"{libraries}:{LIBRARIES}", f"{package}:{PACKAGE}/discoagent"]
    return [*found, f"{sys.base_prefix}:{PYTHON}"] if python() != _real() else found


def another_build(directory: Path) -> Path:
    """Return a copy of the package, to be changed."""
    copy = directory / "discoagent"
    shutil.copytree(ROOT / "discoagent", copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@functools.cache
def _real() -> str:
    return str(Path(sys.executable).resolve())


def python() -> str:
    """Return where the interpreter is, in there."""
    real = _real()
    hidden = real.startswith(HIDDEN)
    return f"{PYTHON}/{Path(real).relative_to(sys.base_prefix)}" if hidden else real


def program(text: str) -> str:
    """Return an executable file of Python text that has the installed libraries."""
    paths = f"sys.path[:0] = [{PACKAGE!r}, {LIBRARIES!r}]"
    return f"#!{python()} -I\nimport sys\n{paths}\n{text}\n"
