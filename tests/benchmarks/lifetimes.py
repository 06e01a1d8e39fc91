"""How soon what ended is gone at a watcher of another agent, from just before each kill -9.

A registered process is killed; beside it the kernel's word (a pidfd that polls readable), passed on
over the bare ZeroMQ chain. The child of `discoctl run`, and the wrapper of another one, whose child
the kernel then ends. Last a process again, with 10,000 entries resident on every agent.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from discoagent.instance import Instance
from tests.agent.harness import Cluster
from tests.benchmarks.kit import bare, load
from tests.benchmarks.kit.report import Pair, Rounds, at_most, in_turns, times, title

ROUNDS = 5
DEATHS = 100  # of each kind, in each round
AT_ONCE = 10  # commands that run under `discoctl run` at a time: each is a Python of its own
RESIDENT = 10_000
QUIET = 0.02  # seconds before each kill
PATIENCE_MS = 10_000
SERVICE = "job"
CHILD = ("sleep", "600")
ROOT = Path(__file__).parents[2]


def main(*, rounds: int = ROUNDS, deaths: int = DEATHS, resident: int = RESIDENT) -> None:
    """Measure, and print each figure beside its floor."""
    title("lifetimes: kill -9 on agent a's host -> removed at a raw watcher on agent b")
    with (
        Cluster("a", "b", "c") as cluster,
        bare.chain(cluster.directory) as (near, far),
        load.Bare(near) as speaker,
        load.Bare(far) as listener,
        load.Watcher(cluster["b"], SERVICE) as watcher,
    ):
        listener.send(b"watch")
        deathbed = _Deathbed(cluster["a"].socket, watcher)

        def floor() -> float:
            return _word_of_the_kernel(speaker, listener)

        _print("a registered process", in_turns(rounds, deaths, deathbed.process, floor))
        for name, wrapper in (("the child of `run`", False), ("the wrapper of `run`", True)):
            pair = Pair(Rounds(), Rounds())
            for _ in range(rounds):
                pair.figure.begin()
                pair.floor.begin()
                for taken in deathbed.runs(deaths, wrapper=wrapper):
                    pair.figure.add(taken)
                    pair.floor.add(floor())
            _print(name, pair)
        with load.fill(cluster["a"], resident):
            load.until_held(list(cluster.agents.values()), resident)
            pair = in_turns(rounds, deaths, deathbed.process, floor)
            _print(f"a process, {resident} entries resident", pair)


def _print(figure: str, pair: Pair) -> None:
    p50, p99 = pair.figure.p50, pair.figure.p99
    goals = at_most("p50", p50, 5, " ms"), at_most("p99", p99, 20, " ms")
    times(figure, pair, *goals, at_most("gate: p99", p99, 50, " ms"))


class _Deathbed:
    """Ends what is registered with one agent, and waits for another agent's word of it."""

    def __init__(self, socket: str, watcher: load.Watcher) -> None:
        self._socket = socket
        self._watcher = watcher
        self._count = 0

    def process(self) -> float:
        """End a process that was registered; return the milliseconds until that was seen."""
        with _child() as child, load.Bare(self._socket) as asker:
            name = self._name()
            asker.question("register", service=SERVICE, id=name, lifetime=["process", child.pid])
            self._seen("added", {name})
            return self._ended(child.pid, name)

    def runs(self, count: int, *, wrapper: bool) -> Iterator[float]:
        """End so many commands that run under `discoctl run`, one after the other."""
        for first in range(0, count, AT_ONCE):
            yield from self._runs_at_once(min(AT_ONCE, count - first), wrapper=wrapper)

    def _runs_at_once(self, count: int, *, wrapper: bool) -> Iterator[float]:
        with ExitStack() as stack:
            wrappers = {}
            for _ in range(count):
                name = self._name()
                wrappers[name] = stack.enter_context(_run(self._socket, name)).pid
            children = {
                name: it.owner.pid or 0 for name, it in self._seen("added", set(wrappers)).items()
            }
            for name, pid in (wrappers if wrapper else children).items():
                yield self._ended(pid, name)

    def _name(self) -> str:
        self._count += 1
        return f"{SERVICE}-{self._count}"

    def _ended(self, pid: int, name: str) -> float:
        load.pause(QUIET)
        began = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        self._seen("removed", {name})
        return (time.perf_counter() - began) * 1000

    def _seen(self, kind: str, names: set[str]) -> dict[str, Instance]:
        """Wait until the watcher was told that of all these."""
        seen: dict[str, Instance] = {}
        while not names <= seen.keys():
            for event in self._watcher.batch():
                if event[0] == kind:
                    instance = Instance.from_row(event[2] or event[3])
                    seen[instance.id] = instance
        return seen


def _word_of_the_kernel(speaker: load.Bare, listener: load.Bare) -> float:
    """Return how many milliseconds it takes to hear of an end and to tell it, without any logic."""
    with _child() as child:
        descriptor = os.pidfd_open(child.pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            load.pause(QUIET)
            began = time.perf_counter()
            child.kill()
            poll.poll(PATIENCE_MS)
            speaker.send(b"removed")
            listener.receive()
            return (time.perf_counter() - began) * 1000
        finally:
            os.close(descriptor)


@contextmanager
def _child() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(CHILD) as child:
        try:
            yield child
        finally:
            child.kill()


@contextmanager
def _run(socket: str, name: str) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-c", "from discoagent.cli import main; main()", "--socket", socket]
    command += ["run", SERVICE, "--id", name, "--", *CHILD]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DISCO")}
    with subprocess.Popen(command, env=kept | {"PYTHONPATH": str(ROOT)}) as wrapper:
        try:
            yield wrapper
        finally:
            wrapper.terminate()
