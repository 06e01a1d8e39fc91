"""Units that are registered without a change of their own files, and the examples of that."""

import pytest

from tests.house.project import ROOT
from tests.lab.installed import BIN, Installed, installed, python
from tests.lab.waiting import until

pytestmark = pytest.mark.lab

EXAMPLES = ROOT / "examples"
UNITS = "/etc/systemd/system"
SERVER = f"""[Service]
ExecStart={python()} -m http.server 8080
User=app
Restart=always
RestartSec=100ms
"""


def listed(host: Installed, service: str) -> list[int]:
    """Return the pids of the owners of a service's instances."""
    done = host.ctl("list", service, "--all", "-o", "jsonl")
    return [it["owner"]["pid"] for it in host.lines(done)]


def main_pid(host: Installed, unit: str) -> int:
    """Return the pid of a unit's main process."""
    return int(host.property("MainPID", unit))


def ends_and_comes_with(host: Installed, unit: str, service: str) -> None:
    """Demand that a unit's entry is of its main process, over a kill, and gone with a stop."""
    until(lambda: listed(host, service) == [main_pid(host, unit)], f"{service} to be {unit}'s")
    host.check("systemctl", "restart", "discoagent")
    assert listed(host, service) == [main_pid(host, unit)]
    before = main_pid(host, unit)
    host.check("kill", "-KILL", str(before))
    until(lambda: main_pid(host, unit) not in (0, before), f"{unit} to be there again")
    until(lambda: listed(host, service) == [main_pid(host, unit)], f"{service} to be there again")
    host.check("systemctl", "stop", unit)
    until(lambda: listed(host, service) == [], f"{service} to be gone")


def test_a_template_binds_an_entry_to_a_unit() -> None:
    """What it says in its file is registered, with each start of the unit, or when it can be."""
    tree = {
        f"{UNITS}/web.service": SERVER,
        f"{UNITS}/worker@.service": "[Service]\nExecStart=sleep infinity\n",
        "/etc/discoagent/units/web.env": "REGISTER=web --port 8080 --tag v2\n",
        "/etc/discoagent/units/worker@1.env": "REGISTER=worker --id one\n",
    }
    with installed(tree=tree) as host:
        host.check("systemctl", "start", "discoagent")
        host.check("systemctl", "enable", "discoagent-register@web")
        host.check("systemctl", "start", "web")
        until(lambda: listed(host, "web") != [], "web to be registered")
        (web,) = host.told("list", "web")

        assert (web["id"], web["port"], web["tags"]) == ("web", 8080, ["v2"])
        assert web["owner"]["unit"] == "web.service"
        host.check("systemctl", "restart", "web")
        ends_and_comes_with(host, "web", "web")

        host.check("systemctl", "mask", "--runtime", "discoagent")
        host.check("systemctl", "stop", "discoagent")
        host.check("systemctl", "start", "web")
        host.check("systemctl", "unmask", "--runtime", "discoagent")
        host.check("systemctl", "start", "discoagent")
        until(lambda: listed(host, "web") == [main_pid(host, "web")], "web, late")

        host.check("systemctl", "start", "worker@1", "discoagent-register@worker@1")
        assert [it["id"] for it in host.told("list", "worker")] == ["one"]


def test_a_drop_in_registers_a_unit() -> None:
    """It starts without an agent, too."""
    drop_in = (EXAMPLES / "systemd" / "registered.conf").read_text(encoding="utf-8")
    tree = {f"{UNITS}/db.service": SERVER, f"{UNITS}/db.service.d/registered.conf": drop_in}
    with installed(tree=tree) as host:
        host.check("systemctl", "start", "db")
        ends_and_comes_with(host, "db", "db")

        host.check("systemctl", "mask", "--runtime", "discoagent")
        host.check("systemctl", "stop", "discoagent")
        host.check("systemctl", "start", "db")
        assert host.property("ActiveState", "db") == "active"


def test_an_application_unit() -> None:
    """It drains before it stops."""
    unit = (EXAMPLES / "systemd" / "web.service").read_text(encoding="utf-8")
    unit = unit.replace(" python3 ", f" {python()} ")
    with installed(tree={f"{UNITS}/web.service": unit}) as host:
        host.check("systemctl", "start", "web")
        until(lambda: host.ctl("resolve", "web").returncode == 0, "web to be passing")
        host.check("systemctl", "stop", "--no-block", "web")
        until(lambda: states(host) == ["draining"], "web to be draining")
        until(lambda: states(host) == [], "web to be gone")


def test_a_container() -> None:
    """In another pid namespace a lease stands for the process, and nothing else will do."""
    script = (EXAMPLES / "container" / "entrypoint.sh").read_text(encoding="utf-8")
    with installed(tree={"/opt/container/entrypoint.sh": script}) as host:
        host.check("systemctl", "start", "discoagent")
        inside = ["unshare", "--pid", "--fork", "--mount-proc"]
        refused = host.run(*inside, f"{BIN}/discoctl", "run", "x", "--", "sleep", "60")
        assert "ttl" in refused.stderr

        setting = [f"--setenv=PATH={BIN}:/usr/bin:/bin", "--setenv=SERVICE=web"]
        setting += ["--setenv=PORT=8080", "--setenv=ADDRESS=10.0.0.5", "--setenv=LEASE=2"]
        command = [*inside, "/opt/container/entrypoint.sh", "sleep", "infinity"]
        host.check("systemd-run", "-q", "--unit=box", *setting, *command)
        until(lambda: host.ctl("list", "web").returncode == 0, "web to be registered")
        (web,) = host.told("list", "web")
        assert (web["address"], web["port"]) == ("10.0.0.5", 8080)
        assert web["lifetime"] == {"kind": "lease", "ttl_ms": 2000}

        host.check("systemctl", "restart", "discoagent")
        host.check("systemctl", "kill", "--signal=KILL", "box")
        until(lambda: states(host) == [], "the lease to end")


def test_a_container_ends_with_what_it_runs() -> None:
    """Its instance is gone at once, not with the lease, and its code is that of its command."""
    script = (EXAMPLES / "container" / "entrypoint.sh").read_text(encoding="utf-8")
    with installed(tree={"/opt/container/entrypoint.sh": script}) as host:
        host.check("systemctl", "start", "discoagent")
        setting = [f"--setenv=PATH={BIN}:/usr/bin:/bin", "--setenv=SERVICE=web"]
        setting += ["--setenv=LEASE=600"]
        ends = "trap 'exit 7' TERM; sleep infinity & wait"
        inside = ["unshare", "--pid", "--fork", "--mount-proc"]
        command = [*inside, "/opt/container/entrypoint.sh", "sh", "-c", ends]
        host.check("systemd-run", "-q", "--unit=box", *setting, *command)
        until(lambda: states(host) == ["passing"], "web to be registered")

        box = main_pid(host, "box")
        host.check("sh", "-c", f"kill -TERM $(cat /proc/{box}/task/{box}/children)")
        until(lambda: states(host) == [], "web to be gone")
        until(lambda: host.property("ExecMainStatus", "box") == "7", "the code of its command")


def states(host: Installed) -> list[str]:
    """Return the states of the instances of `web`."""
    return [it["state"] for it in host.lines(host.ctl("list", "web", "--all", "-o", "jsonl"))]
