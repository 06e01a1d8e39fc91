"""How many registrations one agent takes, and how soon all others hold them.

One at a time and in a pipeline, each beside a bare ZeroMQ echo of the same frames over ipc; then
how long after the last answer every peer holds all, and how long a newcomer takes to hold them.
"""

import time

from tests.agent.harness import Cluster
from tests.benchmarks.kit import bare, load
from tests.benchmarks.kit.report import at_least, at_most, row, title

ONE_BY_ONE = 3_000
BULK = 100_000


def main(*, one_by_one: int = ONE_BY_ONE, bulk: int = BULK) -> None:
    """Measure, and print each figure beside its floor."""
    title("pipelined: registrations through one agent of three")
    with Cluster("a", "b", "c") as cluster:
        echo = f"ipc://{cluster.directory}/echo"
        with bare.running("echo", echo), load.Bare(echo) as floor:
            _one_by_one(cluster, floor, one_by_one)
            _bulk(cluster, floor, bulk)
        began = time.monotonic()
        newcomer = cluster.start("d")
        load.until_held([newcomer], bulk)
        seconds = time.monotonic() - began
        row(
            f"newcomer holds {bulk} entries, from its process's start",
            f"{seconds:.2f} s",
            "-",
            at_most("ready", seconds, 1, " s"),
        )


def _one_by_one(cluster: Cluster, floor: load.Bare, count: int) -> None:
    frames = load.registrations(count, 50_000_000, "single")
    with load.Bare(cluster["a"].socket) as asker:
        figure = _rate(frames, asker)
        bare_rate = _rate(frames, floor)
    ratio = figure / bare_rate
    row(
        "one at a time",
        f"{figure:,.0f}/s",
        f"{bare_rate:,.0f}/s",
        at_least("of the echo", ratio, 0.5),
        ratio=ratio,
    )


def _rate(frames: list[bytes], asker: load.Bare) -> float:
    began = time.perf_counter()
    for frame in frames:
        asker.ask(frame)
    return len(frames) / (time.perf_counter() - began)


def _bulk(cluster: Cluster, floor: load.Bare, count: int) -> None:
    frames = load.registrations(count)
    began = time.perf_counter()
    floor.pipeline(frames)
    bare_rate = count / (time.perf_counter() - began)
    before = count_of(cluster)
    with load.Bare(cluster["a"].socket) as asker:
        began = time.perf_counter()
        answers = asker.pipeline(frames)
        rate = count / (time.perf_counter() - began)
    late = load.until_held(list(cluster.agents.values()), before + count)
    for answer in answers:
        load.done(answer)
    row(
        f"pipelined, {count} of them",
        f"{rate:,.0f}/s",
        f"{bare_rate:,.0f}/s",
        at_least("rate", rate, 25_000, "/s"),
        ratio=rate / bare_rate,
    )
    row(
        f"all {count} on every peer after the last answer",
        f"{late:.2f} s",
        "-",
        at_most("late", late, 1, " s"),
    )


def count_of(cluster: Cluster) -> int:
    """Return how many instances the cluster's first agent shows."""
    with load.Bare(cluster["a"].socket) as asker:
        return int(asker.question("status")["instances"]["total"])
