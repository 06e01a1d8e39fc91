"""Runs `discoctl` for the tests: in a process of its own, as a user does."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

ANSWER_SECONDS = 30  # only a hang takes so long

ARGV = (sys.executable, "-m", "discoagent.cli")


class Answer(NamedTuple):
    """What one command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON values on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Any:
        """The JSON error on stderr."""
        return json.loads(self.err)["error"]


Ask = Callable[..., Answer]
"""Runs one command in the test's own process; the fixture `ask`."""


def environment(**variables: str) -> dict[str, str]:
    """Return an environment in which no setting of the developer's own counts, and an answer has
    as long as it may take on a busy machine."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("DISCO_", "DISCOAGENT_"))}
    own.pop("NO_COLOR", None)
    return {**own, "DISCO_TIMEOUT": f"{ANSWER_SECONDS}s", **variables}


def ctl(*args: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> Answer:
    """Run one command to its end."""
    ran = subprocess.run(
        [*ARGV, *args],
        env=environment(**(env or {})),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=ANSWER_SECONDS,
        check=False,
    )
    return Answer(ran.returncode, ran.stdout, ran.stderr)


@contextmanager
def started(*args: str, stdin: bool = False) -> Iterator["subprocess.Popen[str]"]:
    """Start one command, and end it when the block ends if it still runs."""
    with subprocess.Popen(
        [*ARGV, *args],
        env=environment(),
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: "subprocess.Popen[str]") -> str:
    """Wait for the next line on a command's stdout."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def talk(process: "subprocess.Popen[str]") -> str:
    """Wait for the next line on a command's stderr."""
    assert process.stderr is not None
    return process.stderr.readline().rstrip("\n")


def ended(pid: int) -> bool:
    """Wait until a process has ended, whosever child it is; False if it does not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], ANSWER_SECONDS)[0])
    finally:
        os.close(descriptor)
