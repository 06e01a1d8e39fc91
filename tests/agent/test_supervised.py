"""A real agent tells its service manager when it serves, how it is, and that it ends."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.harness import Cluster, scratch_directory, start_agent, wait_until
from tests.house.notified import Listener


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """What an agent takes for its service manager; its watchdog waits for 1.5 s."""
    listener = Listener(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", listener.path)
    monkeypatch.setenv("WATCHDOG_USEC", "1500000")
    yield listener
    listener.close()


def test_a_life_under_a_manager(manager: Listener) -> None:
    """Not before it is ready, then again and again, and at its end; a stopped one is silent."""
    with (
        scratch_directory() as directory,
        start_agent(directory, join=["127.0.0.1:1"], ready=False) as agent,
        agent.raw() as asker,
    ):
        assert asker.ask("status")["ready"] is False
        assert not [each for each in manager.heard() if "READY" in each]
        agent.logged("ready ")
        asker.register("web")
        told = ""

        def knows_of_it() -> bool:
            nonlocal told
            told += "\n".join([*manager.heard(), ""])
            return "STATUS=alone, nodes: 1 alive; instances: 1, 1 of them here" in told

        wait_until(knows_of_it)
        assert told.count("READY=1") == 1
        wait_until(lambda: "WATCHDOG=1" in manager.heard())
        assert agent.stop() == 0

        assert manager.heard()[-1] == "STOPPING=1\nSTATUS=stopping"


def test_a_second_life_in_one_process_is_no_end(manager: Listener) -> None:
    """The manager would end whoever says that it stops."""
    with Cluster("b", "a") as cluster:
        assert cluster["a"].stop(signal.SIGKILL) == -signal.SIGKILL
        shutil.rmtree(cluster["a"].state)
        manager.heard()
        cluster.start("a", program="tests.agent.year_ago")
        cluster.wait_acquainted()
        assert any("beginning again above it" in line for line in cluster["a"].lines)
        told = "\n".join(manager.heard())

        assert "READY=1" in told
        assert "STOPPING" not in told
