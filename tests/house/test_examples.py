"""The examples and the README's own lines, run against a real agent."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from discoagent import Disco, Event
from discoagent.cli import COMMANDS
from tests.agent.harness import wait_until
from tests.house.processes import DEADLINE, Running, agent, clean_environment
from tests.house.project import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Run an agent; return the environment in which `discoctl` is found, and finds the agent."""
    command = tmp_path / "bin" / "discoctl"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m discoagent.cli "$@"\n')
    command.chmod(0o755)
    path = f"{tmp_path}/agent.sock"
    where = ["--socket", path, "--state-dir", f"{tmp_path}/state"]
    with Running(agent("--node", "n", "--bind", "127.0.0.1:0", *where)) as running:
        bind = running.line("^ready .* bind=(.*)$")[1]
        yield {
            "BIND": bind,
            "DISCO_SOCKET": path,
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_shell_service_is_listed_as_long_as_it_runs(environ: dict[str, str]) -> None:
    """Added once its server runs; stopped, it is removed with the true cause."""
    port = free_port()
    script = [str(ROOT / "examples" / "shell-service.sh"), "hello", str(port)]
    with Disco(environ["DISCO_SOCKET"]) as disco:
        events: Iterator[Event] = iter(disco.watch("hello", timeout=DEADLINE))
        assert next(events).kind == "synced"
        with Running(script, environ) as running:
            added = next(events)
            assert added.instance is not None
            assert (added.kind, added.instance.name) == ("added", f"hello/hello-{port}@n")
            assert added.instance.tags == ("example",)
            assert disco.resolve("hello").port == port

            running.signal(signal.SIGTERM)
            removed = next(events)
            assert (removed.kind, removed.cause) == ("removed", "exit:SIGTERM")
            assert running.code() == 128 + signal.SIGTERM


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_container_ends_with_the_code_of_its_command(environ: dict[str, str], shell: str) -> None:
    """Told to stop, whoever is first: the shell that waits, or the command that ends."""
    script = str(ROOT / "examples" / "container" / "entrypoint.sh")
    command = ["sh", "-c", "trap 'exit 7' TERM; echo trapped; while :; do sleep 0.1 & wait; done"]
    with Disco(environ["DISCO_SOCKET"]) as disco, contextlib.ExitStack() as stack:
        boxes = [
            stack.enter_context(
                Running([shell, script, *command], {**environ, "SERVICE": "web", "ID": f"box-{n}"})
            )
            for n in range(5)
        ]
        for box in boxes:
            box.line("^trapped$")
        wait_until(lambda: len(disco.list("web")) == len(boxes))
        for box in boxes:
            box.signal(signal.SIGTERM)
        assert [box.code() for box in boxes] == [7] * len(boxes)
        assert disco.list("web") == []


def test_an_application_registers_and_follows(environ: dict[str, str]) -> None:
    """It sees the service that it needs come and go; killed, it is gone itself."""
    argv = [sys.executable, str(ROOT / "examples" / "app.py"), "--port", "9000", "--needs", "db"]
    with Disco(environ["DISCO_SOCKET"]) as disco, Running(argv, environ) as running:
        running.line("^registered shop/shop-9000@n$")
        running.line("^db is at no address$")

        with disco.register("db", port=5432, address="10.0.0.9"):
            running.line("^db is at 10.0.0.9:5432$")
        running.line("^db is at no address$", after=3)

        events = iter(disco.watch("shop", timeout=DEADLINE))
        assert [next(events).kind, next(events).kind] == ["added", "synced"]
        running.signal(signal.SIGKILL)
        assert next(events).kind == "removed"


def test_who_is_online_in_a_chat_room(environ: dict[str, str], tmp_path: Path) -> None:
    """Over two agents: one name on two devices, another killed; what is said reaches the rest."""
    other = f"{tmp_path}/other.sock"
    where = ["--socket", other, "--state-dir", f"{tmp_path}/other", "--bind", "127.0.0.1:0"]
    with Running(agent("--node", "o", "--join", environ["BIND"], *where)) as second:
        second.line("^ready ")
        with (
            chat(environ, "alice", "tv") as tv,
            chat({**environ, "DISCO_SOCKET": other}, "alice", "phone") as phone,
            chat({**environ, "DISCO_SOCKET": other}, "bob", "web") as bob,
        ):
            for each in (tv, phone, bob):
                each.line("^[*] alice is here$")
                each.line("^[*] bob is here$")
                online(each, "alice (phone, tv), bob (web)")

            say(tv, "hello")
            for each in (phone, bob):
                each.line("^alice: hello$")
            say(phone, "/on radio")
            tv.line("^[*] alice is on radio now$")
            bob.signal(signal.SIGKILL)
            tv.line("^[*] bob left [(]exit(:SIGKILL)?[)]$")
            assert tv.process.stdin is not None
            tv.process.stdin.close()
            assert tv.code() == 0
            online(phone, "alice (radio)")
            assert not any("alice left" in line for line in phone.lines)


def chat(environ: dict[str, str], name: str, device: str) -> Running:
    """Join the room."""
    argv = [sys.executable, str(ROOT / "examples" / "chat" / "chat.py"), name, "--device", device]
    return Running(argv, environ, stdin=subprocess.PIPE)


def say(running: Running, line: str) -> None:
    """Type a line."""
    assert running.process.stdin is not None
    running.process.stdin.write(f"{line}\n")
    running.process.stdin.flush()


def online(running: Running, names: str) -> None:
    """Ask again and again until these are online."""

    def asked() -> bool:
        before = len(running.lines)
        say(running, "/who")
        return running.line("^online: ", after=before).string == f"online: {names}"

    wait_until(asked)


def readme_python(number: int, environ: dict[str, str]) -> list[str]:
    """Run one of the README's programs, word for word; return what it printed."""
    programs = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-c", programs[number]],
        env={**clean_environment(), **environ},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert len(programs) == 3
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def test_the_readme_registers(environ: dict[str, str]) -> None:
    """What it registers is what it finds."""
    lines = readme_python(0, environ)

    assert lines[0] == "web/web-8080@n 127.0.0.1 8080"
    assert [line.split()[0] for line in lines[1:]] == ["added", "synced"]


def test_the_readme_registers_from_a_loop(environ: dict[str, str]) -> None:
    """It follows what it registers."""
    lines = readme_python(1, environ)

    assert [line.split()[0] for line in lines] == ["added", "synced"]


def test_the_readme_tracks(environ: dict[str, str]) -> None:
    """Who is there is what it tracks."""
    lines = readme_python(2, environ)

    assert re.fullmatch(r"{'alice': \[{'ref': 'n[.][0-9.]+', 'device': 'tv'}\]}", lines[0])
    assert [line.split()[:2] for line in lines[1:]] == [["added", "alice"], ["synced", "None"]]


def test_the_readme_s_commands_exist() -> None:
    """Every `discoctl WORD` that it shows is a command."""
    shown = set(re.findall(r"\bdiscoctl ([a-z][a-z-]*)", README))

    assert shown
    assert shown - set(COMMANDS) == set()


def test_the_readme_s_configuration_is_valid(tmp_path: Path) -> None:
    """As it stands there."""
    text, service = re.findall(r"^```toml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    file = tmp_path / "agent.toml"
    file.write_text(text)
    (tmp_path / "services.d").mkdir()
    (tmp_path / "services.d" / "web.toml").write_text(service)
    ran = subprocess.run(
        agent("--config", str(file), "--check-config"),
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
