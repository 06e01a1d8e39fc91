"""The socket path rules: what the daemon takes, what a client tries, what the errors name."""

import os
import socket
from pathlib import Path

import pytest

from discoagent import sockets
from discoagent.errors import AgentUnavailable, InvalidRequest, Refused, TimeoutExpired


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the system's directory and the private one under `tmp_path`."""
    monkeypatch.setattr(sockets, "SYSTEM_DIRECTORY", str(tmp_path / "run" / "discoagent"))
    monkeypatch.setattr(sockets, "private_directory", lambda: str(tmp_path / "private"))
    return tmp_path


def test_there_are_three_default_paths_best_first() -> None:
    paths = sockets.candidate_paths({"XDG_RUNTIME_DIR": "/run/user/7/"})

    assert paths == [
        "/run/discoagent/agent.sock",
        "/run/user/7/discoagent/agent.sock",
        f"/tmp/discoagent-{os.geteuid()}/agent.sock",
    ]


def test_without_a_runtime_directory_there_are_two() -> None:
    assert len(sockets.candidate_paths({})) == 2


def test_the_daemon_takes_the_system_directory_where_it_can_be_made(system: Path) -> None:
    (system / "run").mkdir()

    assert sockets.daemon_path(None, {}) == str(system / "run" / "discoagent" / "agent.sock")


def test_the_daemon_takes_the_users_runtime_directory_next(system: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(system)}

    assert sockets.daemon_path(None, environ) == str(system / "discoagent" / "agent.sock")


def test_the_daemon_makes_a_private_directory_last(system: Path) -> None:
    assert sockets.daemon_path(None, {}) == str(system / "private" / "agent.sock")
    assert (system / "private").stat().st_mode & 0o777 == 0o700


def test_a_private_directory_that_others_may_use_is_refused(system: Path) -> None:
    (system / "private").mkdir()
    (system / "private").chmod(0o777)

    with pytest.raises(Refused, match="mode 0777"):
        sockets.daemon_path(None, {})


def test_a_private_name_that_is_no_directory_is_refused(system: Path) -> None:
    (system / "private").symlink_to(system)

    with pytest.raises(Refused, match="not a directory"):
        sockets.daemon_path(None, {})


def test_a_path_that_was_said_is_taken_as_it_is() -> None:
    assert sockets.daemon_path("/nowhere/x.sock") == "/nowhere/x.sock"


@pytest.mark.parametrize("path", ["/" + "x" * 107, "/" + "é" * 54])
def test_a_path_over_107_bytes_is_refused_by_name(path: str) -> None:
    with pytest.raises(InvalidRequest, match="107") as caught:
        sockets.check_path(path)

    assert caught.value.field == "socket"


def test_a_path_of_107_bytes_is_fine() -> None:
    assert sockets.check_path("/" + "x" * 106)


def test_a_client_tries_what_was_said_then_the_variable_then_the_defaults() -> None:
    environ = {"DISCO_SOCKET": "/b"}

    assert sockets.client_paths("/a", environ) == ["/a"]
    assert sockets.client_paths(None, environ) == ["/b"]
    assert sockets.client_paths(None, {}) == sockets.candidate_paths({})
    assert sockets.client_paths(None, {"DISCO_SOCKET": ""}) == sockets.candidate_paths({})
    with pytest.raises(InvalidRequest, match="empty"):
        sockets.client_paths("", environ)


def test_nobody_listening_names_every_path_and_why(tmp_path: Path) -> None:
    stale = str(tmp_path / "stale")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(stale)
    paths = [str(tmp_path / "none"), stale, "/" + "x" * 200]

    with pytest.raises(AgentUnavailable) as caught:
        sockets.listening_path(paths, 1)

    assert all(path in caught.value.message for path in paths)
    assert "no such file" in caught.value.message
    assert "connection refused" in caught.value.message


def test_the_first_path_with_a_listener_is_taken(tmp_path: Path) -> None:
    stale, live = str(tmp_path / "stale"), str(tmp_path / "live")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(stale)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(live)
        listener.listen()

        assert sockets.listening_path([stale, live], 1) == live


def test_a_private_directory_of_others_is_not_trusted(system: Path) -> None:
    (system / "private").mkdir()
    (system / "private").chmod(0o777)
    path = str(system / "private" / "agent.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        with pytest.raises(AgentUnavailable, match="not trusted"):
            sockets.listening_path([path], 1)


def test_a_listener_with_a_full_backlog_is_a_timeout(tmp_path: Path) -> None:
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)

        with pytest.raises(TimeoutExpired, match="accepts nothing"):
            sockets.listening_path([path], 0.05)
