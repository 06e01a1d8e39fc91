"""What an entry costs in memory, on its owner and on a replica, and what an idle agent takes.

All by resident memory. An entry is beside the plain tuple: the same records as Python tuples of
their fields in a dictionary. An idle agent is beside bare Python with the libraries it needs.
"""

import subprocess
import sys

from tests.agent.harness import Cluster
from tests.benchmarks.kit import load
from tests.benchmarks.kit.processes import ROOT, load_of, resident
from tests.benchmarks.kit.report import at_most, row, title

ENTRIES = 100_000
IDLE_SECONDS = 30.0
SETTLE_SECONDS = 1.0
TUPLES = """
import os
from tests.benchmarks.kit.load import record
from tests.benchmarks.kit.processes import resident
before = resident(os.getpid())
kept = {}
for number in range(%d):
    it = record(number)
    kept[it["service"], it["id"]] = (it["address"], it["port"], tuple(it["tags"]), it["meta"])
print(resident(os.getpid()) - before)
"""
LIBRARIES = """
import asyncio, logging, os
import click, msgpack, zmq
from pathlib import Path
socket = zmq.Context().socket(zmq.ROUTER)
loop = asyncio.new_event_loop()
rollup = Path("/proc/self/smaps_rollup").read_text().split("Rss:")[1]
print(int(rollup.split()[0]) * 1024)
os._exit(0)
"""


def main(*, entries: int = ENTRIES, idle_seconds: float = IDLE_SECONDS) -> None:
    """Measure, and print each figure beside its floor."""
    title(f"memory: {entries:,} entries, registered by one process on one agent of two")
    tuples, libraries = _bytes(TUPLES % entries), _bytes(LIBRARIES)
    with Cluster("a", "b") as cluster:
        pids = {name: cluster[name].pid for name in ("a", "b")}
        _idle(pids["b"], libraries, idle_seconds)
        before = {name: resident(pid) for name, pid in pids.items()}
        with load.fill(cluster["a"], entries):
            load.until_held(list(cluster.agents.values()), entries)
            load.pause(SETTLE_SECONDS)
            for name, what, bound in (("a", "its owner", 700), ("b", "a replica", 500)):
                each = (resident(pids[name]) - before[name]) / entries
                row(
                    f"an entry on {what}",
                    f"{each:.0f} B",
                    f"{tuples / entries:.0f} B",
                    at_most("bytes", each, bound),
                    ratio=each * entries / tuples,
                )


def _idle(pid: int, floor: int, seconds: float) -> None:
    busy = load_of([pid], seconds)
    memory = resident(pid)
    row(
        "an idle agent, memory",
        f"{memory / 2**20:.1f} MiB",
        f"{floor / 2**20:.1f} MiB",
        at_most("RSS", memory / 2**20, 32, " MiB"),
        ratio=memory / floor,
    )
    row("an idle agent, share of a core", f"{busy:.2f} %", "-", at_most("CPU", busy, 0.5, " %"))


def _bytes(script: str) -> int:
    """Run a script that prints a number of bytes."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
    return int(done.stdout)
