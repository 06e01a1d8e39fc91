"""Checks of real agents: through restarts, seen from elsewhere, and between users."""

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from discoagent.checks import Check
from discoagent.client import Disco
from tests.agent.harness import DEADLINE, AgentProcess, Cluster, Raw, wait_until
from tests.agent.restarting import Witness, mark, restarted, told
from tests.agent.users import OWNER, asked, root_only
from tests.checks.test_commands import processes_with


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two agents."""
    with Cluster("a", "b") as running:
        yield running


def settled(disco: Disco, *states: str) -> bool:
    """Do the instances have these states, in the order of their names?"""
    return tuple(it.state for it in disco.list(all=True)) == states


def test_a_restart_is_no_event_for_checks(cluster: Cluster) -> None:
    """Passing, critical and pending stay that, whoever holds them; then all is checked on."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Disco(cluster["a"].socket, timeout=DEADLINE) as here,
        Disco(cluster["b"].socket, timeout=DEADLINE) as there,
    ):
        port = listener.getsockname()[1]
        tcp = Check.tcp(f"127.0.0.1:{port}", interval=0.1, timeout=5, fall=1)
        gone = Check.exec(["sh", "-c", "exit 2"], interval=0.2)
        here.register("a-held", check=[tcp, Check.ttl("1h")]).ttl("pass")
        here.register("b-static", check=tcp, static=True)
        here.register("c-pending", check=gone, ttl="30s")
        here.register("d-failed", id="d-failed", check=Check.ttl("1h")).ttl("pass")
        here.ttl("d-failed", "fail", "out of order")
        wait_until(lambda: settled(there, "passing", "passing", "pending", "critical"))
        with Witness(cluster["b"].socket) as witness:
            for number in (signal.SIGTERM, signal.SIGKILL):
                restarted(cluster, "a", number)
                wait_until(lambda: len(here.list(all=True)) == 4)
            mark(cluster, "a", "restarted")
            assert told(witness.until("added", "restarted")) == []
            listener.close()
            wait_until(
                lambda: settled(there, "critical", "critical", "pending", "critical", "passing")
            )
            mark(cluster, "a", "failed")
            events = witness.until("added", "failed")

    failed = [(event.instance.service, event.cause) for event in events[1:] if event.instance]
    assert sorted(failed) == [("a-held", "check"), ("b-static", "check")]


def test_a_killed_agent_leaves_no_command(cluster: Cluster) -> None:
    """One that hangs ends with it, and so does what it has begun."""
    mark_of_ours = f"33.{os.getpid()}"
    script = f"sleep {mark_of_ours} & sleep {mark_of_ours}; true"
    hangs = Check.exec(["sh", "-c", script], timeout=300)
    well = Check.exec(["true"], interval=0.1)
    with Disco(cluster["a"].socket, timeout=DEADLINE) as here:
        here.register("hangs", check=hangs, static=True)
        wait_until(lambda: len(processes_with(mark_of_ours)) == 3)
        here.register("well", check=well, static=True)
        wait_until(lambda: here.list("well"))  # by then the former one is known to be under way
        cluster["a"].stop(signal.SIGKILL)

    wait_until(lambda: not processes_with(mark_of_ours))


def test_output_stays_at_home(cluster: Cluster) -> None:
    """Its own node shows it, others do not; and only changes of state travel."""
    with (
        Disco(cluster["a"].socket, timeout=DEADLINE) as here,
        Disco(cluster["b"].socket, timeout=DEADLINE) as there,
        Witness(cluster["b"].socket) as witness,
    ):
        clock = Check.exec(["date", "+%s %N"], interval=0.1, timeout=5)
        here.register("clock", id="clock", check=clock, static=True)
        seen: set[str] = set()

        def many() -> bool:
            seen.add(here.get("clock").checks[0]["output"])
            return len(seen - {""}) >= 3

        wait_until(many)
        mark(cluster, "a", "over")

        assert [kind for kind, *_ in told(witness.until("added", "over"))] == ["added", "updated"]
        assert "output" not in there.get("clock").checks[0]


@root_only
def test_commands_run_as_their_owner(agent: AgentProcess, asker: Raw) -> None:
    """Not as the agent, which is root here; not even where root has changed the check."""
    identity = Check.exec(["sh", "-c", "id -u; id -g; id -G"], interval=0.2, timeout=5).packed()
    lifetime = ["lease", 60_000]
    assert asked(agent, OWNER, "register", service="x", lifetime=lifetime, checks=[identity]) == 0

    def output() -> str:
        body = asker.ask("get", id="x")
        return str(body["checks"][0]["output"])

    wait_until(output)
    assert output().split() == [str(OWNER), "65534", "65534"]
    other = Check.exec(["sh", "-c", "echo changed; id -u"], interval=0.2, timeout=5).packed()
    asker.ask("update", id="x", checks=[other])
    wait_until(lambda: output().startswith("changed"))
    assert output().split() == ["changed", str(OWNER)]
