"""Port truth: what a process listens on, and registrations that say something else."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from discoagent.errors import DiscoError
from discoagent.local.host import ports
from discoagent.local.host.policy import Policy
from tests.agent.harness import AgentProcess, Raw
from tests.agent.local_world import World, a_process, end, in_world, refusal
from tests.agent.users import as_user

LISTENS = """
import os, socket, sys
kind, where = sys.argv[1:3]
family = socket.AF_INET6 if ":" in where else socket.AF_INET
if kind == "later":
    sys.stdin.readline()
if kind == "child" and os.fork():
    os.wait()
it = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
it.bind((where, int(sys.argv[3])))
if kind != "udp":
    it.listen()
print(it.getsockname()[1], flush=True)
sys.stdin.readline()
"""


@contextmanager
def listener(
    kind: str = "tcp", where: str = "127.0.0.1", port: int = 0
) -> Iterator[subprocess.Popen[str]]:
    """A process that listens on a port, which is the line that it writes."""
    with subprocess.Popen(
        [sys.executable, "-c", LISTENS, kind, where, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def port_of(process: "subprocess.Popen[str]") -> int:
    """Wait until it listens; return the port."""
    assert process.stdout is not None
    return int(process.stdout.readline())


@pytest.mark.parametrize(
    ("kind", "where"),
    [("tcp", "127.0.0.1"), ("tcp", "::1"), ("udp", "127.0.0.1"), ("child", "::1")],
)
def test_what_a_process_listens_on(kind: str, where: str) -> None:
    """Either family, TCP or UDP, itself or a child of it."""
    with listener(kind, where) as process:
        port = port_of(process)
        found = ports.look(process.pid, port)
        all_there_is = ports.look(process.pid, 0)

    assert found.on(port)
    assert not all_there_is.on(0)
    for each in (found, all_there_is):
        assert each.tcp == (frozenset() if kind == "udp" else {port})


def test_a_connection_is_no_port() -> None:
    """Neither to somebody nor from somebody; and who is gone listens on nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server, a_process() as process:
        with socket.create_connection(server.getsockname()) as client:
            found = ports.look(os.getpid(), 0)
            assert found.on(server.getsockname()[1])
            assert not found.on(client.getsockname()[1])
        assert ports.look(process.pid, 0).tcp == frozenset()
        end(process)
    assert ports.look(process.pid, 0).tcp == frozenset()


def registered(world: World, process: "subprocess.Popen[str]", port: int, **more: Any) -> Any:
    """Register a process with a port."""
    lifetime = ["process", process.pid]
    return world.ask("register", service="x", id="x", port=port, lifetime=lifetime, **more)


def test_the_port_is_true() -> None:
    """Passing at once."""

    async def story(world: World) -> None:
        with listener() as process:
            it = registered(world, process, port_of(process), verify=True)
            again = registered(world, process, it.port, verify=True)

        assert (it.state, it.checks[0]["kind"]) == ("passing", "port")
        assert again == it
        assert world.story() == [("added", "registered")]
        assert world.own.checking._schedule.deadline() is None

    in_world(story)


def test_it_listens_elsewhere() -> None:
    """6, with both facts, and nothing is registered."""

    async def story(world: World) -> None:
        with listener() as process:
            port = port_of(process)
            what = {"service": "x", "port": 1, "lifetime": ["process", process.pid]}
            error = refusal(world, "register", **what, verify=True)

        assert (error.code, error.field) == (6, "port")
        assert str(process.pid) in error.message
        assert f"listens on {port}" in error.message

    in_world(story)


def test_it_does_not_listen_yet() -> None:
    """Pending until it does; then it is asked no more."""

    async def story(world: World) -> None:
        with listener("later") as process:
            assert process.stdin is not None
            it = registered(world, process, 1, verify=True)
            assert it.state == "pending"
            assert world.ask("update", id="x", checks=[]).state == "pending"
            process.stdin.write("\n")
            process.stdin.flush()
            port = port_of(process)
            assert world.ask("update", id="x", port=port).state == "passing"
            world.ask("deregister", id="x")
        assert world.own.checking._entries == {}

    in_world(story)


def test_it_listens_at_last() -> None:
    """The agent sees it by itself."""

    async def story(world: World) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with listener("later", port=port) as process:
            assert registered(world, process, port, verify=True).state == "pending"
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            event = await world.event(2)

        assert event.cause.word == "check"
        assert len(world.own.checking._schedule) == 0

    in_world(story)


def test_what_cannot_be_verified() -> None:
    """No port, no process."""

    async def story(world: World) -> None:
        assert refusal(world, "register", service="x", verify=True).field == "verify"
        lease = {"service": "x", "port": 1, "lifetime": ["lease", 1_000]}
        assert refusal(world, "register", **lease, verify=True).field == "verify"

    in_world(story)


def test_by_policy() -> None:
    """Each process with a port; who has none, or is none, is left alone."""

    async def story(world: World) -> None:
        world.privileges.policy = Policy(verify_ports=True)
        with listener() as process:
            port = port_of(process)
            assert registered(world, process, port).state == "passing"
            what = {"service": "y", "port": 1, "lifetime": ["process", process.pid]}
            assert refusal(world, "register", **what).code == 6
        assert world.ask("register", service="free").checks == ()
        assert world.ask("register", service="s", port=1, lifetime=["static"]).checks == ()

    in_world(story)


def test_where_the_agent_may_not_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused, 4, with the reason."""

    def look(_pid: int, _port: int) -> ports.Listening:
        raise PermissionError(13, "Permission denied")

    async def story(world: World) -> None:
        monkeypatch.setattr(ports, "look", look)
        error = refusal(world, "register", service="x", port=1, verify=True)
        assert (error.code, error.field) == (4, "verify")
        assert "may not look" in error.message

    in_world(story)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_another_user_s_process_cannot_be_looked_at() -> None:
    """By one who is not root: the kernel says so."""
    with a_process() as process:

        def look() -> str:
            try:
                ports.look(process.pid, 0)
            except PermissionError:
                return "refused"
            return "seen"

        assert as_user(4_001, look) == "refused"


def test_of_a_real_agent(agent: AgentProcess, asker: Raw) -> None:
    """Over the local socket."""
    with listener() as process:
        port = port_of(process)
        lifetime = ["process", process.pid]
        it = asker.register("x", port=port, lifetime=lifetime, verify=True)
        assert it.state == "passing"
        with pytest.raises(DiscoError) as caught:
            asker.register("y", port=port % 65_535 + 1, lifetime=lifetime, verify=True)
        assert caught.value.code == 6
