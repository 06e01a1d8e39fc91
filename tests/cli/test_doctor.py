"""`discoctl doctor`: each set-up that is broken is named by its own line, with what to do."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.harness import Cluster, scratch_directory, start_agent, wait_until
from tests.agent.users import as_user
from tests.cli.agents import Agent
from tests.cli.ctl import Ask

NOBODY = 65_534
Found = dict[str, tuple[str, str]]  # subject -> text, advice
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return a directory for sockets and states."""
    with scratch_directory() as directory:
        yield directory


def problems(ask: Ask, socket: str) -> Found:
    """Let it be examined, which has to find problems; return them."""
    ran = ask("doctor", "-o", "json", "--socket", socket)
    rows = json.loads(ran.out)
    assert ran.code == 1, rows
    assert "warning" not in {row["state"] for row in rows}
    found = [row for row in rows if row["state"] == "problem"]
    assert all(row["advice"] for row in found)
    assert len({row["subject"] for row in found}) == len(found)
    return {row["subject"]: (row["text"], row["advice"]) for row in found}


def test_a_healthy_agent(ask: Ask, agent: Agent) -> None:
    """0, and a line for each subject."""
    ran = ask("doctor", "--socket", agent.socket)
    assert ran.code == 0
    assert ran.out.splitlines()[0].split() == ["STATE", "SUBJECT", "FINDING"]
    assert all(line.startswith("ok ") for line in ran.out.splitlines()[1:])
    subjects = ask("doctor", "-o", "name", "--socket", agent.socket).out.split()
    assert subjects == [
        *("socket", "ready", "advertise", "key", "limits", "state", "disk", "services", "version")
    ]


def test_a_healthy_pair(ask: Ask, pair: tuple[Agent, Agent]) -> None:
    """Each reaches the other and is heard by it, and their clocks agree."""
    for here, there in (pair, pair[::-1]):
        ran = ask("doctor", "-o", "json", "--socket", here.socket)
        rows = json.loads(ran.out)
        assert (ran.code, {row["state"] for row in rows}) == (0, {"ok"})
        assert {f"peer {there.node}", "clock"} <= {row["subject"] for row in rows}


def test_nobody_listens(ask: Ask, nobody: str) -> None:
    """1, with the path and what to do."""
    ran = ask("doctor", "--socket", nobody)
    assert ran.code == 1
    assert nobody in ran.out
    assert "systemctl start discoagent" in ran.out


@as_root
@pytest.mark.parametrize(("mode", "advice"), [("0660", "usermod -aG"), ("0600", "socket_mode")])
def test_a_socket_that_is_not_for_us(ask: Ask, directory: Path, mode: str, advice: str) -> None:
    """What to do is said: be in its group, or open it to one."""
    with start_agent(directory, settings={"socket_mode": f'"{mode}"'}) as agent:
        found = as_user(NOBODY, lambda: problems(ask, agent.socket))
        assert found.keys() == {"socket"}
        assert "permission denied" in found["socket"][0]
        assert advice in found["socket"][1]


def test_a_socket_that_is_for_nobody_else(ask: Ask, directory: Path) -> None:
    """Whoever may speak to it himself is told that the others may not."""
    with start_agent(directory, settings={"socket_mode": '"0600"'}) as agent:
        ((subject, (text, advice)),) = problems(ask, agent.socket).items()
        assert subject == "socket"
        assert f"0600: only uid {os.geteuid()} and root" in text
        assert 'socket_mode = "0660"' in advice


def test_an_address_that_is_nobody_s(ask: Ask, directory: Path) -> None:
    """It is not where the agent listens."""
    with start_agent(directory, arguments=["--advertise", "127.0.0.1:1"]) as agent:
        ((subject, (text, advice)),) = problems(ask, agent.socket).items()
        assert (subject, text) == (
            "advertise",
            "nobody listens at 127.0.0.1:1, which it advertises",
        )
        assert "set `advertise`" in advice


def test_a_clock_that_is_ten_minutes_late(ask: Ask) -> None:
    """One host sees that its own is wrong, by the others; they see whose it is."""
    with Cluster("a", "b") as pair:
        pair.start("c", program="tests.agent.late_clock")
        pair.wait_acquainted()
        ((subject, (text, advice)),) = problems(ask, pair["a"].socket).items()
        assert (subject, text) == ("clock", "the clock of c is 600 s behind ours")
        assert "synchronise the clocks" in advice
        ((subject, (text, advice)),) = problems(ask, pair["c"].socket).items()
        assert (subject, text) == ("clock", "this host's clock is 600 s behind those of a, b")
        assert "synchronise the clock of this host" in advice


def test_few_files_may_be_open(ask: Ask, directory: Path) -> None:
    """It starts all the same."""
    with start_agent(directory, program="tests.agent.few_files") as agent:
        ((subject, (text, advice)),) = problems(ask, agent.socket).items()
        assert subject == "limits"
        assert "only 64 files" in text
        assert "LimitNOFILE" in advice


@as_root
@pytest.mark.parametrize("program", ["discoagent.daemon", "tests.agent.without_capabilities"])
def test_a_state_directory_of_another_user(ask: Ask, directory: Path, program: str) -> None:
    """That may be written, as root may, or not."""
    state = directory / "a.state"
    state.mkdir(mode=0o700)
    os.chown(state, NOBODY, NOBODY)
    with start_agent(directory, program=program) as agent:
        ((subject, (text, advice)),) = problems(ask, agent.socket).items()
        assert subject == "state"
        assert f"{state} belongs to " in text
        assert ("Permission denied" in text) == (program != "discoagent.daemon")
        assert "chown" in advice


def test_a_state_directory_that_cannot_be_made(ask: Ask, directory: Path) -> None:
    """A file is in its way."""
    (directory / "file").write_text("")
    state = ["--state-dir", str(directory / "file" / "state")]
    with start_agent(directory, arguments=state) as agent:
        ((subject, (text, _)),) = problems(ask, agent.socket).items()
        assert subject == "state"
        assert "cannot be written" in text


def test_an_agent_of_another_cluster(ask: Ask, directory: Path) -> None:
    """It is whom we were to join."""
    with (
        start_agent(directory, "x", cluster="other") as x,
        start_agent(directory, "a", join=[x.bind]) as a,
    ):
        found = problems(ask, a.socket)
        assert found.keys() == {"ready", "cluster"}
        text, advice = found["cluster"]
        assert "'other'" in text
        assert "'test'" in text
        assert "give both the same `cluster`" in advice


@pytest.mark.parametrize("program", ["tests.agent.next_hello", "tests.agent.next_frames"])
def test_an_agent_of_another_version(ask: Ask, directory: Path, program: str) -> None:
    """Whether it says so when it greets, or nothing that it says can be read: both sides see it."""
    with (
        start_agent(directory, "x", program=program) as x,
        start_agent(directory, "a", join=[x.bind]) as a,
    ):
        for agent, others in ((a, {"ready"}), (x, set[str]())):
            wait_until(lambda agent=agent: "version" in problems(ask, agent.socket))  # type: ignore[misc]
            found = problems(ask, agent.socket)
            assert found.keys() == {"version"} | others
            assert "version" in found["version"][0]
            assert "upgrade the older one" in found["version"][1]


@as_root
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare, for a disk of its own")
def test_a_full_disk(ask: Ask, directory: Path) -> None:
    """A real one. It serves all the same."""
    with start_agent(directory, program="tests.agent.full_disk") as agent:
        ((subject, (text, advice)),) = problems(ask, agent.socket).items()
        assert subject == "disk"
        assert f"the disk of {agent.state} has only 0 KiB left" in text
        assert "make room" in advice


def test_a_service_file_that_cannot_be_used(ask: Ask, directory: Path) -> None:
    """By file, line and field, until it is mended and read again."""
    (directory / "agent.toml").write_text("")
    services = directory / "services.d"
    services.mkdir()
    (services / "web.toml").write_text('[[service]]\nname = "web"\nport = 70000\n')
    with start_agent(directory, arguments=["--config", str(directory / "agent.toml")]) as agent:
        ((subject, (text, advice)),) = problems(ask, agent.socket).items()
        assert subject == "services"
        assert "web.toml:3: port" in text
        assert "discoctl reload" in advice

        (services / "web.toml").write_text('[[service]]\nname = "web"\nport = 7000\n')
        assert ask("reload", "--socket", agent.socket).code == 0
        assert ask("doctor", "--socket", agent.socket).code == 0
