"""What an entry costs in memory, on its owner and on a replica, and what an idle agent takes.

The floor is the plain tuple: the same records as Python tuples of their fields in a dictionary.
"""

import subprocess
import sys

from tests.agent.harness import Cluster
from tests.benchmarks.kit import load
from tests.benchmarks.kit.processes import load_of, resident
from tests.benchmarks.kit.report import at_most, row, title

ENTRIES = 100_000
IDLE_SECONDS = 10.0
TUPLES = """
import os
from pathlib import Path
from tests.benchmarks.kit.load import record
from tests.benchmarks.kit.processes import resident
before = resident(os.getpid())
kept = {}
for number in range(%d):
    it = record(number)
    kept[it["service"], it["id"]] = (it["address"], it["port"], tuple(it["tags"]), it["meta"])
print(resident(os.getpid()) - before)
"""


def main(*, entries: int = ENTRIES, idle_seconds: float = IDLE_SECONDS) -> None:
    """Measure, and print each figure beside its floor."""
    title(f"memory: {entries} entries, registered by one process on one agent of two")
    floor = int(
        subprocess.run(
            [sys.executable, "-c", TUPLES % entries], capture_output=True, text=True, check=True
        ).stdout
    )
    with Cluster("a", "b") as cluster:
        pids = {name: cluster[name].pid for name in ("a", "b")}
        idle = resident(pids["b"])
        busy = load_of(pids["b"], idle_seconds)
        row(
            "an idle agent",
            f"{idle / 2**20:.1f} MiB",
            "-",
            at_most("RSS", idle / 2**20, 32, " MiB"),
        )
        row("its share of a core", f"{busy:.2f} %", "-", at_most("CPU", busy, 0.5, " %"))
        before = {name: resident(pid) for name, pid in pids.items()}
        with load.fill(cluster["a"], entries):
            load.until_held(list(cluster.agents.values()), entries)
            load.pause(1)
            for name, what, bound in (("a", "owner", 700), ("b", "replica", 500)):
                each = (resident(pids[name]) - before[name]) / entries
                row(
                    f"an entry on its {what}" if what == "owner" else "an entry on a replica",
                    f"{each:.0f} B",
                    f"{floor / entries:.0f} B",
                    at_most("bytes", each, bound),
                    ratio=each * entries / floor,
                )
