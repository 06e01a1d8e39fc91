"""What the kernel says of a process: its memory and the time it had."""

import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.kit.load import pause

ROOT = Path(__file__).parents[3]


def resident(pid: int) -> int:
    """Return the resident memory in bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} has no resident memory")


def ran(pid: int) -> float:
    """Return for how many seconds all threads of a process ran together."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def load_of(pids: Sequence[int], seconds: float) -> float:
    """Return the share of one core, in percent, that processes together take for so long."""
    before, began = sum(map(ran, pids)), time.monotonic()
    pause(seconds)
    return 100 * (sum(map(ran, pids)) - before) / (time.monotonic() - began)
