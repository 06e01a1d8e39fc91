"""The unit `discoagent.service` under a real systemd, on one host."""

import re
import signal
import time

import pytest

from tests.house.project import ROOT
from tests.lab.installed import BIN, UNITS, Installed, installed, program, python
from tests.lab.waiting import until

pytestmark = pytest.mark.lab

EXAMPLES = ROOT / "examples" / "systemd"
OWNERS = "10-owners.conf"
DROP_INS = "/etc/systemd/system/discoagent.service.d"
WATCHDOG = 2.0
QUICK_WATCHDOG = {f"{DROP_INS}/watchdog.conf": f"[Service]\nWatchdogSec={WATCHDOG}s\n"}
OWN_ADDRESS, RESOLVER, RESOLVERS = "10.77.0.5", "127.0.0.9", "/etc/resolv.conf"
DEAF = f"""
import signal, socket
deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
deaf.bind(("{RESOLVER}", 53))
signal.pause()
"""
LONELY = 'bind = "127.0.0.2:7800"\njoin = ["127.0.0.3:7800"]\n'  # nobody is there
HEALTHY = "/home/app/healthy"
# As a compiler does that works while its program runs.
COMPILING = "import mmap as m\nm.mmap(-1, 1, prot=m.PROT_READ | m.PROT_WRITE | m.PROT_EXEC)"


def exposure(host: Installed) -> float:
    """Return how exposed systemd finds the unit, from 0 to 10."""
    told = host.check("systemd-analyze", "security", "--no-pager", "discoagent.service")
    found = re.search(r"Overall exposure level for discoagent.service: ([0-9.]+)", told)
    assert found, told
    return float(found[1])


def journal(host: Installed) -> str:
    """Return what the journal has of the agent by now: it lags behind a little."""
    return host.check("journalctl", "-u", "discoagent", "--no-pager")


def serve(host: Installed, *words: str) -> None:
    """Start the unit `web`: a server of the user `app` on port 8080, wrapped by `discoctl run`."""
    wrapped = [f"{BIN}/discoctl", "run", "web", "--port", "8080", *words]
    command = [python(), "-m", "http.server", "8080"]
    host.check("systemd-run", "--unit=web", "--uid=app", "-q", *wrapped, "--", *command)
    until(lambda: host.ctl("list", "web", "--all").returncode == 0, "web to be registered")


def test_a_start_returns_when_the_agent_is_ready() -> None:
    """Nobody of those it is to join is there: it serves alone after 2 s."""
    with installed(config=LONELY) as host:
        began = time.monotonic()
        host.check("systemctl", "start", "discoagent")
        took = time.monotonic() - began
        status = host.told("status")

        assert (status["ready"], status["alone"]) == (True, True)
        assert took < 3
        assert host.property("StatusText").startswith("alone, nodes: 1 alive;")


def test_a_resolver_without_an_answer_holds_nothing_up() -> None:
    """Neither the start nor a reload: peers hold entries of who restarts for so long alone."""
    names = [f'"seed-{number}.internal:7800"' for number in range(3)]
    config = f'bind = "{OWN_ADDRESS}:7800"\ninsecure = true\njoin = [{", ".join(names)}]\n'
    with installed(config=config) as host:
        host.check("ip", "address", "add", f"{OWN_ADDRESS}/32", "dev", "lo")
        host.check("sh", "-c", f"rm -f {RESOLVERS}; echo nameserver {RESOLVER} > {RESOLVERS}")
        host.check("systemd-run", "-q", "--unit=deaf", python(), "-c", DEAF)
        until(lambda: RESOLVER in host.check("ss", "-nlu"), "the resolver")
        began = time.monotonic()
        host.check("systemctl", "start", "discoagent")
        started = time.monotonic()
        host.check("systemctl", "reload", "discoagent")
        reloaded = time.monotonic()

        assert started - began < 3
        assert reloaded - started < 3
        assert host.told("status")["alone"]


def test_systemd_has_nothing_to_say_of_any_unit() -> None:
    """`verify` exits 0 on unknown keys too: its output must be empty."""
    found = [path for place in (UNITS, EXAMPLES) for path in sorted(place.glob("*.service"))]
    units = {f"/etc/systemd/system/{path.name}": path.read_text() for path in found}
    with installed(OWNERS, tree=units) as host:
        for unit in units:
            done = host.run("systemd-analyze", "verify", "--man=no", unit)
            assert (done.returncode, done.stdout + done.stderr) == (0, ""), unit


def test_what_hangs_is_ended_and_started_again() -> None:
    """And the journal says where it hung, and the service that it had is there again."""
    with installed(tree=QUICK_WATCHDOG) as host:
        host.check("systemctl", "start", "discoagent")
        serve(host)
        pid = host.property("MainPID")
        began = time.monotonic()
        host.check("kill", f"-{signal.SIGSTOP.value}", pid)
        until(lambda: host.property("MainPID") not in (pid, "0"), "another agent")
        until(lambda: host.property("ActiveState") == "active", "it to be ready")
        took = time.monotonic() - began

        assert took < WATCHDOG + 1
        until(lambda: host.ctl("list", "web").returncode == 0, "web to be there again")
        until(lambda: "Failed with result 'watchdog'" in journal(host), "the reason in the journal")
        until(lambda: "most recent call first" in journal(host), "where it hung")


def test_without_capabilities() -> None:
    """Owners are known and watched, whoever they are; what needs more names the drop-in."""
    with installed() as host:
        host.check("systemctl", "start", "discoagent")
        serve(host)
        (web,) = host.told("list", "web")
        uid = int(host.check("id", "-u", "app"))

        owner = web["owner"]
        assert (owner["uid"], owner["exe"], owner["unit"]) == (uid, None, "web.service")
        assert exposure(host) <= 1.7

        refused = [
            host.run("runuser", "-u", "app", "--", f"{BIN}/discoctl", "run", "more", *words)
            for words in (
                ("--port", "81", "--verify", "--", "sleep", "60"),
                ("--check", "exec:true", "--", "sleep", "60"),
            )
        ]
        assert [done.returncode for done in refused] == [4, 4]
        assert all(OWNERS in done.stderr for done in refused)

        host.check("kill", "-KILL", str(owner["pid"]))
        until(lambda: host.ctl("list", "web", "--all").returncode == 1, "web to be gone")


def test_with_the_power_over_owners() -> None:
    """Everything works, and no check has any of that power itself."""
    powers = (
        f"exec:{python()} -c \"print(open('/proc/self/status').read().split('CapEff:')[1][:60])\""
    )
    with installed(OWNERS, tree={HEALTHY: program(COMPILING)}) as host:
        host.check("systemctl", "start", "discoagent")
        serve(
            host,
            "--verify",
            "--check",
            f"exec:{HEALTHY}",
            "--check",
            "exec:id -u",
            "--check",
            powers,
        )
        until(lambda: host.ctl("list", "web").returncode == 0, "web to be passing")
        web = host.told("get", "web-8080")
        _, user, status = (check["output"] for check in web["checks"] if check["kind"] == "exec")

        assert exposure(host) <= 2.7
        assert web["owner"]["exe"] == python()
        assert user == host.check("id", "-u", "app").strip()
        assert status.split()[0] == "0000000000000000"


def test_a_reload_returns_when_it_is_in_force() -> None:
    """Refused, it fails, says why in the journal, and changes nothing."""
    with installed(config='labels = { zone = "a" }\n') as host:
        host.check("systemctl", "start", "discoagent")
        host.write("/etc/discoagent/agent.toml", 'labels = { zone = "b" }\n')
        host.write("/etc/discoagent/services.d/db.toml", '[[service]]\nname = "db"\nport = 5432\n')
        host.check("systemctl", "reload", "discoagent")
        assert host.told("members")[0]["labels"] == {"zone": "b"}
        assert [it["service"] for it in host.told("list")] == ["db"]

        host.write("/etc/discoagent/agent.toml", 'labels = { zone = "c" }\nnonsense = 1\n')
        host.write("/etc/discoagent/services.d/db.toml", "")
        refused = host.run("systemctl", "reload", "discoagent")

        assert refused.returncode != 0
        until(lambda: "unknown key 'nonsense'" in journal(host), "the reason in the journal")
        assert host.told("members")[0]["labels"] == {"zone": "b"}
        assert [it["service"] for it in host.told("list")] == ["db"]
        assert host.property("ActiveState") == "active"


def test_a_reload_over_another_socket() -> None:
    """Of which the unit is told."""
    place = "/run/discoagent/other.sock"
    drop_in = {f"{DROP_INS}/socket.conf": f"[Service]\nEnvironment=DISCO_SOCKET={place}\n"}
    with installed(config=f'socket = "{place}"\n', tree=drop_in) as host:
        host.check("systemctl", "start", "discoagent")
        host.check("systemctl", "reload", "discoagent")


def test_the_journal_has_priorities_and_fields() -> None:
    """A warning is one to systemd, and says of whom it is."""
    with installed(config=LONELY) as host:
        host.check("systemctl", "start", "discoagent")
        other = [f"{BIN}/discoagent", "--node", "b", "--socket", "/run/b.sock"]
        other += ["--bind", "127.0.0.3:7800", "--join", "127.0.0.2:7800", "--state-dir", "/run/b"]
        host.check("systemd-run", "-q", "--unit=b", *other)
        until(lambda: len(host.told("members")) == 2, "the other agent to be known")
        ours: dict[str, dict[str, str]] = {}

        def is_told() -> bool:  # the journal lags behind
            lines = host.lines(host.run("journalctl", "-u", "discoagent", "-o", "json"))
            ours.update({it["MESSAGE"].split()[0]: it for it in lines if "CODE_LINE" in it})
            return ours.keys() >= {"no", "node", "ready"}

        until(is_told, "what the agent says")

        assert ours["ready"]["PRIORITY"] == "6"
        assert ours["no"]["PRIORITY"] == "4"  # no peer was reached
        assert ours["ready"]["SYSLOG_IDENTIFIER"] == "discoagent"
        assert int(ours["ready"]["CODE_LINE"]) > 0
        assert ours["node"]["MESSAGE"] == "node b: unknown -> alive"
        assert ours["node"]["DISCOAGENT_PEER"] == "b"
        assert ours["node"]["DISCOAGENT_STATE"] == "alive"
