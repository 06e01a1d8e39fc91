"""SIGHUP and `reload` of a real agent, seen by a watcher elsewhere."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from discoagent.client import Disco
from tests.agent.harness import DEADLINE, Cluster, wait_until
from tests.agent.restarting import Witness, mark, told

SERVICES = 100


def service(number: int, tag: str = "v1") -> str:
    """Return the text of one service's file."""
    named = f"[[service]]\nname = 'web'\nid = 'web-{number:02}'\n"
    return f"{named}port = {number + 1}\ntags = ['{tag}']\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory of a hundred service files."""
    directory = tmp_path / "services.d"
    directory.mkdir()
    for number in range(SERVICES):
        (directory / f"{number}.toml").write_text(service(number))
    (tmp_path / "agent.toml").write_text("")
    return directory


@pytest.fixture
def cluster(files: Path) -> Iterator[Cluster]:
    """Two agents, the second of which has these files."""
    with Cluster("a") as running:
        configured = ("--config", str(files.with_name("agent.toml")))
        running.start("b", arguments=configured)
        running.wait_acquainted()
        with Disco(running["a"].socket, timeout=DEADLINE) as there:
            wait_until(lambda: len(there.list("web")) == SERVICES)
        yield running


def test_only_what_has_changed_is_an_event(cluster: Cluster, files: Path) -> None:
    """Nothing: none. One of a hundred: one."""
    agent = cluster["b"]
    with Witness(cluster["a"].socket) as witness:
        agent.process.send_signal(signal.SIGHUP)
        agent.logged("configuration read again")
        mark(cluster, "b", "first")
        assert told(witness.until("added", "first")) == []
        witness.events.clear()

        (files / "17.toml").write_text(service(17, "v2"))
        agent.process.send_signal(signal.SIGHUP)
        agent.logged("web/web-17 updated")
        mark(cluster, "b", "second")
        assert told(witness.until("added", "second")) == [("updated", "web-17", "reload")]


def test_reload(cluster: Cluster, files: Path) -> None:
    """Says what it did, or would; for those who run the node; and what is wrong."""
    with Disco(cluster["b"].socket, timeout=DEADLINE) as here:
        (files / "5.toml").unlink()
        (files / "6.toml").write_text("[[service]]\nname = 'web'\nport = 'six'\n")
        planned = here.reload(dry_run=True)
        assert len(here.list("web")) == SERVICES
        done = here.reload()

        assert {**planned, "dry_run": False} == done
        assert [(it["change"], it["id"]) for it in done["services"]] == [("removed", "web-05")]
        (problem,) = done["problems"]
        assert (problem["line"], problem["field"]) == (3, "port")
        assert len(here.list("web")) == SERVICES - 1


def test_a_restart_reads_them_again(cluster: Cluster, files: Path) -> None:
    """What changed meanwhile is told, with its cause; the rest is no event."""
    with Witness(cluster["a"].socket, "web") as witness:
        cluster["b"].stop(signal.SIGKILL)
        (files / "3.toml").unlink()
        (files / "4.toml").write_text(service(4, "v2"))
        configured = ("--config", str(files.with_name("agent.toml")))
        cluster.start("b", arguments=configured)
        with Disco(cluster["a"].socket, timeout=DEADLINE) as there:
            wait_until(lambda: len(there.list("web")) == SERVICES - 1)
        with Disco(cluster["b"].socket, timeout=DEADLINE) as here:
            here.register("web", id="last", static=True)
            events = told(witness.until("added", "last"))

    assert sorted(events) == [("removed", "web-03", "reload"), ("updated", "web-04", "reload")]
