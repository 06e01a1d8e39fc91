"""`completion`, in real shells: what TAB makes of a line, with an agent and without one."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from discoagent.cli import COMMANDS
from discoagent.client import Disco
from tests.agent.harness import scratch_directory, wait_until
from tests.cli.agents import Agent
from tests.cli.ctl import ANSWER_SECONDS, Ask, ctl, environment

ROOT = str(Path(__file__).parents[2])
START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], ". ./script"),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit && compinit -u -D && . ./script"),
    "fish": (["fish", "--no-config", "-i"], "source ./script"),
}
# Asked for words it is discoctl; run by the line that TAB made it shows its arguments.
DISCOCTL = f"""\
#!/bin/sh
[ -z "$_DISCOCTL_COMPLETE" ] || exec {sys.executable} -m discoagent.cli
printf '<%s>' "$@"
echo " end"
"""
SHELLS = [
    pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"no {name} here"))
    for name in START
]


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """Run one agent with two services for all tests of this file."""
    with scratch_directory() as directory, Agent("node-a", directory) as agent:
        agent.start()
        with Disco(agent.socket, timeout=ANSWER_SECONDS) as disco:
            disco.register("web", id="web-80", port=80, static=True)
            disco.register("worker", static=True)
        yield agent


class Shell:
    """A shell at a terminal, typed to by a test."""

    def __init__(self, name: str, directory: Path, socket: str) -> None:
        command = directory / "discoctl"
        command.write_text(DISCOCTL)
        command.chmod(0o755)
        (directory / "script").write_text(ctl("completion", name).out)
        variables = {
            "PATH": f"{directory}:{os.environ['PATH']}",
            "PYTHONPATH": ROOT,
            "DISCO_SOCKET": socket,
            "HOME": str(directory),
            "TERM": "dumb",
            "PS1": "",
        }
        argv, setup = START[name]
        self.seen = ""  # not looked at yet
        self._terminal, end = pty.openpty()
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            stdin=end,
            stdout=end,
            stderr=end,
            env=environment(**variables),
            cwd=directory,
        )
        os.close(end)
        self.type(f"{setup}; discoctl ready\r")

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._terminal, text.encode())

    def wait_for(self, text: str) -> str:
        """Wait until the terminal shows this; return what it showed before."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while text not in self.seen:
            left = max(deadline - time.monotonic(), 0)
            if not select.select([self._terminal], [], [], left)[0]:
                raise AssertionError(f"no {text!r} in {self.seen!r}")
            self.seen += os.read(self._terminal, 65536).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def completed(self, typed: str) -> list[str]:
        """Return the arguments of the line that TAB makes of what was typed."""
        self.type(f"discoctl {typed}\t\r")
        return re.findall("<([^<>]*)>", self.wait_for(" end").rpartition("\n")[2])

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, agent: Agent, tmp_path: Path) -> Iterator[Shell]:
    """Run each shell that is here."""
    shell = Shell(request.param, tmp_path, agent.socket)
    try:
        shell.wait_for("<ready> end")
        yield shell
    finally:
        shell.close()


def test_words_and_names(shell: Shell) -> None:
    """Commands, flags and their values; services, nodes and whole instances, also behind an `@`.

    The agent's names come only if it answers at once, so they are asked for until they do.
    """
    assert shell.completed("li") == ["list"]
    assert shell.completed("list --lim") == ["list", "--limit"]
    assert shell.completed("completion ba") == ["completion", "bash"]
    for typed, completed in (
        ("list -o jsonl wo", "worker"),
        ("list --node n", "node-a"),
        ("get web/", "web/web-80@node-a"),
        ("get web/web-80@no", "web/web-80@node-a"),
    ):
        expected = [*typed.split()[:-1], completed]
        wait_until(lambda: shell.completed(typed) == expected)  # noqa: B023 - called at once


def test_files_where_files_are_meant(shell: Shell, tmp_path: Path) -> None:
    """As the value of a flag that takes a path, and in the command that `run` runs."""
    (tmp_path / "some-file").touch()

    assert shell.completed("--socket some-f") == ["--socket", "some-file"]
    assert shell.completed("run web -- some-f") == ["run", "web", "--", "some-file"]


def test_without_an_agent_words_alone(tmp_path: Path) -> None:
    """Nothing is said of it in the user's line."""

    def completed(line: str) -> list[str]:
        variables = {"COMP_LINE": f"discoctl {line}", "COMP_WORDBREAKS": " @=:"}
        nobody = {"DISCO_SOCKET": f"{tmp_path}/nobody.sock", "_DISCOCTL_COMPLETE": "bash_complete"}
        answer = ctl(env={**variables, **nobody})
        assert (answer.code, answer.err) == (0, "")
        return answer.out.split()

    assert completed("list ") == []
    assert set(completed("")) == {f"plain,{name}" for name in COMMANDS}
    assert completed("list --output=j") == ["plain,json", "plain,jsonl"]
    assert completed("nonsense --bogus=1 list --lim") == []


@pytest.mark.parametrize("shell", START)
def test_the_script(shell: str, ask: Ask) -> None:
    """On stdout, without an agent; other shells are refused with those there are."""
    answer = ask("completion", shell)

    assert (answer.code, answer.err) == (0, "")
    assert "_DISCOCTL_COMPLETE" in answer.out
    wrong = ask("completion", "csh")
    assert (wrong.code, wrong.out) == (2, "")
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in wrong.err
