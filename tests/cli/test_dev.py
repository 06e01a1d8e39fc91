"""`dev`: a cluster to try things in, and nothing of it left."""

import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from discoagent.client import Disco
from tests.cli.ctl import ANSWER_SECONDS, ctl, ended, line, started, talk
from tests.processes import command_line


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the scratch directory be made where the test can look."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def socket_of(exported: str) -> str:
    """Return the path that the first line exports."""
    word, _, assignment = exported.partition(" ")
    name, _, path = assignment.partition("=")
    assert (word, name) == ("export", "DISCO_SOCKET")
    return shlex.split(path)[0]


def processes(dev: "subprocess.Popen[str]") -> list[int]:
    """Return the pids of all children of a `dev`."""
    listed = Path(f"/proc/{dev.pid}/task/{dev.pid}/children").read_text().split()
    return list(map(int, listed))


def agents(dev: "subprocess.Popen[str]") -> list[int]:
    """Return the pids of the agents of a `dev`."""
    return [pid for pid in processes(dev) if "discoagent.daemon" in command_line(pid)]


def test_three_agents_and_live_services(scratch: Path) -> None:
    """First the line for a shell, then `ready`, then events; SIGINT ends all, with 0."""
    with started("dev") as dev:
        socket = socket_of(line(dev))
        assert line(dev) == "ready"
        with Disco(socket, timeout=ANSWER_SECONDS) as disco:
            status = disco.status()
            members = disco.members()
            instances = disco.list()
        answers = [
            urllib.request.urlopen(f"http://{it.address}:{it.port}/").read().decode()
            for it in instances
        ]
        present = [json.loads(line(dev)) for _ in range(4)]
        everyone = processes(dev)
        dev.send_signal(signal.SIGINT)
        _, err = dev.communicate(timeout=ANSWER_SECONDS)

        assert (dev.returncode, err) == (0, "")
    assert [it.node for it in members] == ["dev-1", "dev-2", "dev-3"]
    assert {it.state for it in members} == {"alive"}
    assert status["node"] == "dev-1"
    assert status["cluster"].startswith("dev-")
    assert {it.service for it in instances} == {"web", "api"}
    assert answers == [f"{it.service} {it.tags[0]} on {it.node}\n" for it in instances]
    assert [it["kind"] for it in present] == ["added", "added", "added", "synced"]
    assert all(ended(pid) for pid in everyone)
    assert list(scratch.iterdir()) == []


def test_events_as_they_happen(scratch: Path) -> None:
    """A killed service is gone with its cause; a killed agent is said."""
    with started("dev", "2", "-o", "table") as dev:
        socket = socket_of(line(dev))
        assert line(dev) == "ready"
        with Disco(socket, timeout=ANSWER_SECONDS) as disco:
            (api,) = disco.list("api")
        assert api.lifetime.pid is not None
        assert [line(dev).split()[1] for _ in range(4)] == ["added", "added", "added", "synced"]
        os.kill(api.lifetime.pid, signal.SIGKILL)
        *gone, cause = line(dev).split()[1:]
        assert gone == ["removed", api.name, f"127.0.0.1:{api.port}"]
        # `dev` is its wrapper, and has 25 ms to tell the signal: too little on a busy machine.
        assert cause in ("cause=exit:SIGKILL", "cause=exit")
        os.kill(agents(dev)[1], signal.SIGKILL)
        assert talk(dev) == "discoctl: the agent dev-2 ended: exit:SIGKILL"
        dev.terminate()

        assert dev.wait(ANSWER_SECONDS) == 0
    assert list(scratch.iterdir()) == []


def test_kill_9_leaves_no_agent() -> None:
    """The kernel sees to it."""
    with started("dev", "1") as dev:
        line(dev)
        assert line(dev) == "ready"
        everyone = processes(dev)
        dev.kill()

        assert len(everyone) == 4
        assert all(ended(pid) for pid in everyone)


def test_a_signal_before_it_is_ready(scratch: Path) -> None:
    """All is stopped as well."""
    with started("dev") as dev:
        line(dev)
        dev.terminate()
        out, err = dev.communicate(timeout=ANSWER_SECONDS)

        assert (dev.returncode, err) == (0, "")
        assert "added" not in out
    assert list(scratch.iterdir()) == []


def test_with_a_command(scratch: Path) -> None:
    """It has DISCO_SOCKET, and stdout to itself; its code is ours."""
    script = "discoctl() { " + sys.executable + ' -m discoagent.cli "$@"; }; '
    answer = ctl("dev", "2", "--", "sh", "-c", script + "discoctl members -o name; exit 7")

    assert (answer.code, answer.out, answer.err) == (7, "dev-1\ndev-2\n", "")
    assert ctl("dev", "1", "--", "/no/such/command").code == 127
    assert ctl("dev", "1", "--", "sh", "-c", "kill -KILL $$").code == 128 + signal.SIGKILL
    assert list(scratch.iterdir()) == []


def test_signals_are_the_command_s(scratch: Path) -> None:
    """It ends as it likes, and everything with it."""
    script = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.01; done"
    with started("dev", "1", "--", "sh", "-c", script) as dev:
        assert line(dev) == "up"
        dev.terminate()
        assert line(dev) == "bye"

        assert dev.wait(ANSWER_SECONDS) == 5
    assert list(scratch.iterdir()) == []


def test_the_developer_s_own_settings_do_not_count() -> None:
    """Neither the environment's nor the system's: a cluster of its own."""
    env = {"DISCOAGENT_NODE": "x", "DISCOAGENT_BIND": "nonsense", "DISCO_SOCKET": "/nowhere"}
    script = f"{sys.executable} -m discoagent.cli members -o name"

    assert ctl("dev", "1", "--", "sh", "-c", script, env=env).out == "dev-1\n"


def test_a_long_scratch_path_is_avoided(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path has 107 bytes."""
    deep = scratch / ("x" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    with started("dev", "1") as dev:
        socket = Path(socket_of(line(dev)))
        assert line(dev) == "ready"
        dev.terminate()

        assert dev.wait(ANSWER_SECONDS) == 0
    assert socket.is_relative_to("/tmp")
    assert not socket.parent.exists()


def test_a_reader_that_went_away_ends_it(scratch: Path) -> None:
    """As soon as there is something to say; nothing is left."""
    with started("dev", "1") as dev:
        line(dev)
        assert dev.stdout is not None
        dev.stdout.close()

        assert dev.wait(ANSWER_SECONDS) == 141
        assert talk(dev) == ""
    assert list(scratch.iterdir()) == []
