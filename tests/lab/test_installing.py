"""The agent's whole stay on a host, as the README tells it: installed, upgraded, uninstalled."""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest

from tests.house.project import ROOT
from tests.lab.booted import Booted
from tests.lab.installed import BIN, PYTHON, binds, python
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]
WHEELS, LIBRARIES = "/opt/wheels", "/opt/libraries"
NEWER = "99.1"
SEEN, WATCH = "/run/seen", (f"{BIN}/discoctl", "watch", "-o", "jsonl")
SERVER = """
import signal
from discoagent import Disco
disco = Disco()
disco.register("web", port=80)
signal.pause()
"""


def build(directory: Path, version: str | None = None) -> None:
    """Put a wheel of this project into a directory, of another version if that is said."""
    copy = directory / "source"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests"))
    if version is not None:
        init = copy / "discoagent" / "__init__.py"
        lines = init.read_text(encoding="utf-8").splitlines()
        at = next(n for n, line in enumerate(lines) if line.startswith("__version__ ="))
        lines[at] = f'__version__ = "{version}"'
        init.write_text("\n".join(lines), encoding="utf-8")
    hatchling = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(hatchling, cwd=copy, check=True, capture_output=True, timeout=60)
    shutil.rmtree(copy)


def install(host: Booted, *options: str) -> None:
    """Install the newest wheel into /opt/discoagent, and its units, by the README's commands."""
    find = ["--no-index", "--no-deps", "--find-links", WHEELS]  # its libraries are there already
    host.check(f"{BIN}/pip", "install", "-q", *find, *options, "discoagent")
    host.check(f"{BIN}/discoctl", "install-units")


def libraries() -> list[str]:
    """Return what has to be bound for what the agent imports to be there, and nothing else."""
    here = Path(str(msgpack.__file__)).parents[1]
    return [
        f"{path}:{LIBRARIES}/{path.name}"
        for path in (here / name for name in ("click", "msgpack", "zmq", "pyzmq.libs"))
        if path.exists()
    ]


def seen(host: Booted) -> list[tuple[str, str | None]]:
    """Return what the watch on the host has printed: each event's kind and service."""
    file = host.path(SEEN)
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    events = map(json.loads, text.split("\n")[:-1])  # whole lines
    return [(it["kind"], it["instance"] and it["instance"]["service"]) for it in events]


def running(host: Booted) -> list[str]:
    """Return the command lines of all that runs on the host from /opt/discoagent."""
    found = []
    for path in host.path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            found.append(path.read_text(encoding="utf-8").replace("\0", " "))
    return [line for line in found if "/opt/discoagent" in line]


def test_a_stay(tmp_path: Path) -> None:
    """From nothing to nothing; the upgrade is no event."""
    build(tmp_path)
    shown = [f"{tmp_path}:{WHEELS}", *libraries()]
    shown += [it for it in binds() if it.endswith(f":{PYTHON}")]
    with Booted({}, binds=shown) as host:
        host.check(python(), "-m", "venv", "/opt/discoagent")
        (site,) = host.path("/opt/discoagent/lib").glob("python3.*/site-packages")
        (site / "libraries.pth").write_text(f"{LIBRARIES}\n")
        install(host)
        host.check("systemctl", "enable", "--quiet", "--now", "discoagent")
        before = json.loads(host.check(f"{BIN}/discoctl", "status", "-o", "json"))
        found = json.loads(host.check(f"{BIN}/discoctl", "doctor", "-o", "json"))
        assert {it["state"] for it in found} == {"ok"}
        assert host.check("systemctl", "is-enabled", "discoagent") == "enabled\n"

        host.check("systemd-run", "-q", "--unit=web", f"{BIN}/python", "-c", SERVER)
        until(lambda: host.run(f"{BIN}/discoctl", "list", "web").returncode == 0, "web to be there")
        told = ["-p", f"StandardOutput=file:{SEEN}", "-p", "StandardError=journal"]
        host.check("systemd-run", "-q", "--unit=watch", *told, *WATCH)
        until(lambda: seen(host)[-1:] == [("synced", None)], "the present to be seen")
        build(tmp_path, NEWER)
        install(host, "--upgrade")
        host.check("systemctl", "restart", "discoagent")
        after = json.loads(host.check(f"{BIN}/discoctl", "status", "-o", "json"))
        assert after["version"] == NEWER != before["version"]
        host.check(f"{BIN}/discoctl", "register", "last", "--ttl", "1h")
        until(lambda: ("added", "last") in seen(host), "what was registered last")
        assert seen(host) == [("added", "web"), ("synced", None), ("added", "last")]

        host.check("systemctl", "enable", "--quiet", "discoagent-register@web")
        host.check("systemctl", "stop", "web", "watch")
        assert len(running(host)) == 1
        host.check(f"{BIN}/discoctl", "leave")
        host.check(f"{BIN}/discoctl", "uninstall-units")
        host.check("rm", "-r", "/opt/discoagent")
        assert running(host) == []
        assert list(host.path("/etc/systemd/system").rglob("discoagent*")) == []
        for listing in (["list-unit-files"], ["list-units", "--all"]):
            assert host.run("systemctl", *listing, "--no-legend", "discoagent*").stdout == ""
        assert not host.path("/run/discoagent/agent.sock").exists()
