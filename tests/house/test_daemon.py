"""`discoagent` as a process: what it says, how it ends, what signals do."""

import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from tests.agent.harness import wait_until
from tests.house.processes import DEADLINE, Running, agent, clean_environment

READY = r"^ready node=(\S+) socket=(\S+) bind=(\S+)$"


def ran(*flags: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return subprocess.run(
        agent(*flags),
        env={**clean_environment(), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def flags(directory: Path, *more: str) -> list[str]:
    """Return flags for an agent of the test's own."""
    directory.mkdir(exist_ok=True)
    where = ["--socket", f"{directory}/agent.sock", "--state-dir", f"{directory}/state"]
    return ["--node", "n", "--bind", "127.0.0.1:0", *where, *more]


# --- the configuration ---


def test_check_config_of_a_good_one(tmp_path: Path) -> None:
    """Says so, exits 0, starts nothing; warnings are said."""
    checked = ran(*flags(tmp_path), "--check-config", DISCOAGENT_FOO="1")

    assert (checked.returncode, checked.stdout) == (0, "the configuration is valid\n")
    assert checked.stderr.startswith("warning: DISCOAGENT_FOO in the environment names no")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("check", [("--check-config",), ()])
def test_every_problem_in_a_line_of_its_own(tmp_path: Path, check: tuple[str, ...]) -> None:
    """With and without `--check-config`: all of them, exit 2."""
    file = tmp_path / "agent.toml"
    file.write_text('colour = "red"\nnode = "a b"\n')
    checked = ran("--config", str(file), "--bind", "0.0.0.0:1", "--log-level", "loud", *check)

    assert (checked.returncode, checked.stdout) == (2, "")
    assert checked.stderr.splitlines() == [
        f"discoagent: {file}: unknown key 'colour'",
        (f"discoagent: {file}: node must be 1 to 128 characters of A-Z a-z 0-9 . _ -, not 'a b'"),
        "discoagent: --log-level must be one of debug, info, warning, error, not 'loud'",
        (
            "discoagent: bind 0.0.0.0:1 is open to other hosts, and without a key whoever "
            "reaches it can read and write; give --insecure to accept that"
        ),
    ]


@pytest.mark.parametrize("flag", ["--key-file", "--http", "--dns", "--nonsense"])
def test_a_flag_that_is_not_there(flag: str) -> None:
    """Exit 2, and the help does not name it."""
    assert ran(flag, "x").returncode == 2
    assert flag not in ran("--help").stdout


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--nod", "no such option: --nod; did you mean --node?"),
        ("--zzz", "no such option: --zzz"),
        ("extra", "got unexpected extra argument (extra)"),
        ("--config", "option '--config' requires an argument"),
    ],
)
def test_wrong_use_is_one_line(flag: str, sentence: str) -> None:
    """It says what is wrong, and names what was probably meant."""
    wrong = ran(flag)

    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == f"discoagent: {sentence} (see discoagent --help)\n"


def test_help_and_version() -> None:
    """Both answer on stdout."""
    assert "--check-config" in ran("-h").stdout
    assert ran("--version").stdout.startswith("discoagent ")


# --- running and ending ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_runs_until_it_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    """One ready line with what is needed to reach it; stopped: exit 0 and the socket is gone."""
    with Running(agent(*flags(tmp_path))) as running:
        node, path, bind = running.line(READY).groups()
        assert (node, path) == ("n", f"{tmp_path}/agent.sock")
        assert Path(path).is_socket()
        assert bind.startswith("127.0.0.1:")
        assert not bind.endswith(":0")
        running.signal(number)

        assert running.code() == 0


def test_without_standard_streams(tmp_path: Path) -> None:
    """None of its files takes the place of one that was closed."""
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *agent(*flags(tmp_path))]
    with Running(closed) as running:
        wait_until(Path(f"{tmp_path}/agent.sock").is_socket)
        streams = [os.readlink(f"/proc/{running.process.pid}/fd/{number}") for number in range(3)]
        running.signal(signal.SIGTERM)

        assert streams == ["/dev/null"] * 3
        assert running.code() == 0


def test_an_interrupt_from_a_terminal_leaves(tmp_path: Path) -> None:
    """On a terminal SIGINT takes the entries back; the log says which of the two it was."""
    leader, terminal = pty.openpty()
    try:
        with Running(agent(*flags(tmp_path)), stdin=terminal) as running:
            running.line(READY)
            running.signal(signal.SIGINT)

            assert running.code() == 0
            running.line("leav|left")
    finally:
        os.close(leader)
        os.close(terminal)


def test_an_open_bind_is_said_aloud(tmp_path: Path) -> None:
    """Allowed by `--insecure`, and never in silence."""
    with Running(agent(*flags(tmp_path, "--bind", "0.0.0.0:0", "--insecure"))) as running:
        running.line("^warning: insecure: whoever reaches 0.0.0.0:0 can read and write")
        running.line(READY)


def test_the_socket_is_taken(tmp_path: Path) -> None:
    """A second agent on one socket ends with 6, and the first runs on."""
    with Running(agent(*flags(tmp_path))) as first:
        first.line(READY)
        second = ran(*flags(tmp_path, "--node", "m", "--state-dir", f"{tmp_path}/other"))

        assert second.returncode == 6
        assert "agent.sock" in second.stderr
        assert "Traceback" not in second.stderr
        assert first.process.poll() is None


def test_the_state_directory_is_taken(tmp_path: Path) -> None:
    """A second agent on one state directory ends with 6, and the first runs on."""
    with Running(agent(*flags(tmp_path))) as first:
        first.line(READY)
        second = ran(*flags(tmp_path, "--node", "m", "--socket", f"{tmp_path}/other.sock"))

        assert second.returncode == 6
        assert f"(pid {first.process.pid}) uses {tmp_path}/state" in second.stderr
        assert "Traceback" not in second.stderr
        assert first.process.poll() is None


def test_the_port_is_taken(tmp_path: Path) -> None:
    """A second agent on one port ends with 6, in one line that names it."""
    with Running(agent(*flags(tmp_path))) as first:
        bind = first.line(READY)[3]
        second = ran(*flags(tmp_path / "other"), "--node", "m", "--bind", bind)

        assert second.returncode == 6
        assert bind in second.stderr
        assert "Traceback" not in second.stderr


def test_an_address_that_this_host_lacks(tmp_path: Path) -> None:
    """That is a mistake in the configuration, not a conflict."""
    found = ran(*flags(tmp_path), "--insecure", "--bind", "192.0.2.77:7800")

    assert found.returncode == 2
    assert "bind: cannot listen on 192.0.2.77:7800 (ROUTER)" in found.stderr
    assert "Traceback" not in found.stderr


def test_json_is_one_object_a_line(tmp_path: Path) -> None:
    """For programs: time, level, message."""
    with Running(agent(*flags(tmp_path, "--log-format", "json"))) as running:
        running.line('"message": "ready node=n ')
        running.signal(signal.SIGTERM)
        running.code()
        records = [json.loads(line) for line in running.lines]

    assert {"at", "level", "message"} == set.intersection(*(set(record) for record in records))
    assert all(record["at"].endswith("Z") for record in records)


def test_hangup_reads_the_configuration_again(tmp_path: Path) -> None:
    """What can change does, what cannot is said, and a bad file changes nothing."""
    file = tmp_path / "agent.toml"
    file.write_text('log_level = "info"\n')
    with Running(agent("--config", str(file), *flags(tmp_path))) as running:
        running.line(READY)
        file.write_text('log_level = "loud"\n')
        running.signal(signal.SIGHUP)
        running.line("^error: not reloaded: .*log_level must be one of")

        file.write_text('labels = { zone = "b" }\n[timing]\ndown_after = "5s"\n')
        running.signal(signal.SIGHUP)
        running.line("^warning: timing.down_after has changed, which needs a restart$")
        running.line("^configuration read again; changed: labels$")

        running.signal(signal.SIGTERM)
        assert running.code() == 0
