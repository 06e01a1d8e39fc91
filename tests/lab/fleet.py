"""Hosts of a lab that run systemd, the installed agent, and services of every kind beside it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from discoagent import Disco
from tests.house.project import ROOT
from tests.lab.installed import BIN, Installed, installed, program
from tests.lab.netlab import NetLab
from tests.lab.waiting import until

SOCKET = "/run/discoagent/agent.sock"
FLEET = "/opt/discoagent/bin/fleet"
# What an application does: it registers itself, so many times, with the client library.
APPLICATION = """
import signal
from discoagent import Disco
each = int(sys.argv[1])
disco = Disco(timeout=20)
held = [disco.register("app", id=f"app-{n}", port=n + 1) for n in range(each)]
held += [disco.register("lease", id=f"lease-{n}", ttl="30s") for n in range(each)]
held += [disco.register("static", id=f"static-{n}", static=True) for n in range(each)]
signal.pause()
"""


class Fleet:
    """So many hosts, each with its agent."""

    def __init__(self, hosts: list[Installed], discos: list[Disco]) -> None:
        self.hosts = hosts
        self.discos = discos

    def start_services(self, each: int, wrapped: int) -> int:
        """Start an application on each host that registers `each` of three kinds, and `wrapped`
        commands under `run`; wait until all hosts know all, and return how many that is."""
        for host in self.hosts:
            host.check("systemd-run", "-q", "--unit=app", "--uid=app", FLEET, str(each))
            for number in range(wrapped):
                words = ["run", "wrapped", "--id", f"wrapped-{number}", "--", "sleep", "infinity"]
                unit = f"--unit=wrapped-{number}"
                host.check("systemd-run", "-q", unit, "--uid=app", f"{BIN}/discoctl", *words)
        total = len(self.hosts) * (3 * each + wrapped)
        until(
            lambda: all(len(disco.list()) == total for disco in self.discos),
            f"{total} services on all hosts",
        )
        return total


@contextlib.contextmanager
def fleet(size: int, *, package: Path = ROOT / "discoagent") -> Iterator[Fleet]:
    """Boot so many hosts that know each other."""
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(NetLab(size))
        hosts, discos = [], []
        for number in lab.hosts:
            config = f'node = "h{number}"\nbind = "{lab.ipv4(number)}:7800"\ninsecure = true\n'
            if number > 1:
                config += f'join = ["{lab.ipv4(1)}:7800"]\n'
            host = stack.enter_context(
                installed(
                    config=config,
                    tree={FLEET: program(APPLICATION)},
                    package=package,
                    within=lab.command(number, []),
                )
            )
            host.check("systemctl", "start", "discoagent")
            hosts.append(host)
            discos.append(stack.enter_context(Disco(str(host.path(SOCKET)), timeout=20)))
        until(
            lambda: all(len(disco.members()) == size for disco in discos),
            "all hosts to know each other",
        )
        yield Fleet(hosts, discos)
