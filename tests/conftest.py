"""What every test shares: Hypothesis profiles, and a guard against processes that are left."""

import compileall
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.processes import command_line

# Shared machines pause: no example is judged by the time that it takes.
settings.register_profile(
    "dev", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("dev"), max_examples=300, derandomize=True)
settings.register_profile("soak", settings.get_profile("dev"), max_examples=10_000, print_blob=True)
WORKERS_MAX = 4  # processes that share the tests

# A shell has what it runs in the background ignore SIGINT, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

_DEFAULT_PROFILE = "ci" if os.environ.get("CI") else "dev"
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", _DEFAULT_PROFILE))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the package as an installer does, for each of many processes would do it anew."""
    if not hasattr(session.config, "workerinput"):  # once, and not by each worker
        compileall.compile_dir(Path(__file__).parents[1] / "discoagent", quiet=2)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Say how many processes share the tests (`-n auto`): none where figures are taken.

    Else one more than there are cores, for a third of the time a test waits for real processes; in
    the lab a host waits for another one two thirds of it, but needs all of a core when it does not.
    """
    wanted = str(config.option.markexpr)
    cores = os.cpu_count() or 1
    if "soak" in wanted.replace("not soak", "") or any("::" in it for it in config.args):
        return 0
    lab = "lab" in wanted.replace("not lab", "")
    return min(cores if lab else cores + 1, WORKERS_MAX)


def _children() -> set[int]:
    """Return the pids of this process's children, ended ones that nobody waited for included."""
    pids: set[int] = set()
    for listed in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):  # a thread that ended since
            pids.update(map(int, listed.read_text().split()))
    return pids


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    """Fail a test that leaves a child process behind, and end that process."""
    before = _children()
    yield
    left = {pid: command_line(pid) or "ended, not waited for" for pid in _children() - before}
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    assert left == {}
