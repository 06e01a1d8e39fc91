"""Three hosts under three systemds: what restarts, upgrades and shutdowns look like elsewhere."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from discoagent import __version__
from tests.agent.restarting import Witness, mark_by, told
from tests.lab.fleet import SOCKET, Fleet, fleet
from tests.lab.installed import another_build
from tests.lab.waiting import until

RESTART = ("systemctl", "restart", "discoagent")
NEWER = "99.0"
CHANGES = (  # of a build that knows more: a feature, and an extension of every message
    ("__init__.py", f'__version__ = "{__version__}"', f'__version__ = "{NEWER}"'),
    ("core/entry.py", "features: tuple[str, ...] = ()", 'features: tuple[str, ...] = ("later",)'),
    (
        "core/messages.py",
        "features: tuple[str, ...] = ()",
        'features: tuple[str, ...] = ("later",)',
    ),
    ("wire/__init__.py", "*fields, dict(ext", '*fields, dict({99: b"later"} | ext'),
)
KILL = ("systemctl", "kill", "--signal=KILL", "discoagent")


def make_newer(package: Path) -> None:
    """Make a later build of the package."""
    for file, before, after in CHANGES:
        text = (package / file).read_text(encoding="utf-8")
        assert text.count(before) == 1, file
        (package / file).write_text(text.replace(before, after), encoding="utf-8")


@contextlib.contextmanager
def witnesses(hosts: Fleet) -> Iterator[list[Witness]]:
    """Watch everything on every host."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Witness(str(it.path(SOCKET)))) for it in hosts.hosts]


def restart(hosts: Fleet, number: int, *command: str) -> None:
    """End an agent by a command, and wait until systemd has another one that is ready."""
    host = hosts.hosts[number]
    before = host.property("MainPID")
    host.check(*command)
    until(lambda: host.property("MainPID") not in (before, "0"), "another agent")
    until(lambda: host.property("ActiveState") == "active", "it to be ready")


def nothing_was_seen(hosts: Fleet, seen: list[Witness], mark: str) -> None:
    """Demand that no host saw an event since the last mark, but this one."""
    mark_by(hosts.discos[0], mark)
    for witness in seen:
        assert told(witness.until("added", mark)) == []
        witness.events.clear()


def restarts_are_no_event(rounds: int, *, each: int, wrapped: int) -> None:
    """Restart and kill the agents in turn; nobody sees anything of it."""
    with fleet(3) as hosts:
        total = hosts.start_services(each, wrapped)
        with witnesses(hosts) as seen:
            for round_ in range(rounds):
                for number in range(3):
                    restart(hosts, number, *RESTART)
                    restart(hosts, number, *KILL)
                nothing_was_seen(hosts, seen, f"round-{round_}")
        assert [len(disco.list()) for disco in hosts.discos] == [total + rounds] * 3


@pytest.mark.lab
def test_restarts_are_no_event() -> None:
    """Services of every kind."""
    restarts_are_no_event(1, each=3, wrapped=1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_twenty_restarts_each_way_are_no_event() -> None:
    """200 services."""
    restarts_are_no_event(20, each=20, wrapped=7)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_hang_and_deaths_at_once_are_no_event() -> None:
    """As long as the watchdog of the unit takes; all agents together; and one again and again."""
    with fleet(3) as hosts, ThreadPoolExecutor(3) as pool:
        hosts.start_services(each=10, wrapped=3)
        with witnesses(hosts) as seen:
            restart(hosts, 1, "systemctl", "kill", "--signal=STOP", "discoagent")
            nothing_was_seen(hosts, seen, "hung")
            for again in range(3):
                list(pool.map(lambda number: restart(hosts, number, *KILL), range(3)))
                nothing_was_seen(hosts, seen, f"at-once-{again}")
            for _ in range(6):
                restart(hosts, 2, *KILL)
            nothing_was_seen(hosts, seen, "again")


@pytest.mark.lab
def test_an_upgrade_is_no_event(tmp_path: Path) -> None:
    """To a build whose wire knows one feature more, host by host."""
    package = another_build(tmp_path)
    with fleet(3, package=package) as hosts:
        hosts.start_services(each=2, wrapped=1)
        make_newer(package)
        with witnesses(hosts) as seen:
            for number in range(3):
                restart(hosts, number, *RESTART)
            nothing_was_seen(hosts, seen, "over")

        def versions() -> set[str]:
            return {member.version for disco in hosts.discos for member in disco.members()}

        until(lambda: versions() == {NEWER}, "all to know what the others are")


@pytest.mark.lab
def test_a_host_that_is_shut_down_leaves() -> None:
    """Nothing of it stays listed, though a mere stop of its agent keeps all."""
    with fleet(3) as hosts:
        hosts.start_services(each=2, wrapped=1)
        with Witness(str(hosts.hosts[0].path(SOCKET))) as seen:
            hosts.hosts[2].halt()
            gone = [f"app-{n}" for n in range(2)]
            for name in gone:
                seen.until("removed", name)
            causes = {event.cause for event in seen.events}
        nodes = {it.node: it.state for it in hosts.discos[1].members()}

        assert causes <= {"node-left", "exit", "exit:SIGTERM"}
        assert nodes["h3"] == "left"
        assert {it.node for it in hosts.discos[1].list(all=True)} == {"h1", "h2"}
