"""Services of every kind on each of three agents, and watchers who note whatever they see."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from discoagent.aio import AsyncDisco
from discoagent.client import Disco
from discoagent.client.disco import Spec
from discoagent.instance import Event
from tests.agent.harness import DEADLINE, Cluster, wait_until

NODES = ("a", "b", "c")
SIGNALS = (signal.SIGTERM, signal.SIGKILL)


class Witness:
    """Watches one service (or all) at one agent, through its restarts."""

    def __init__(self, socket: str, *services: str) -> None:
        self.events: list[Event] = []
        self._disco = Disco(socket, timeout=DEADLINE)
        self._watch = self._disco.watch(*services)
        self._changed = threading.Condition()
        self._synced = False
        self._thread = threading.Thread(target=self._note, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        with self._changed:
            assert self._changed.wait_for(lambda: self._synced, DEADLINE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.close()
        self._thread.join(DEADLINE)
        self._disco.close()

    def _note(self) -> None:
        for event in self._watch:
            with self._changed:
                if self._synced:
                    self.events.append(event)
                self._synced = self._synced or event.kind == "synced"
                self._changed.notify_all()

    def until(self, kind: str, instance: str) -> list[Event]:
        """Wait for this event; return all that came up to it, itself left out."""

        def place() -> int | None:
            told = [(event.kind, _id(event)) for event in self.events]
            return told.index((kind, instance)) if (kind, instance) in told else None

        with self._changed:
            found = self._changed.wait_for(lambda: place() is not None, DEADLINE)
            assert found, f"no {kind} {instance}, but {told(self.events)}"
            return self.events[: place()]


def _id(event: Event) -> str:
    instance = event.instance or event.before
    return instance.id if instance else ""


def told(events: list[Event]) -> list[tuple[str, str, str | None]]:
    """Return kind, id and cause of events."""
    return [(event.kind, _id(event), event.cause) for event in events]


@contextlib.contextmanager
def services(cluster: Cluster, *, each: int, run: int) -> Iterator[int]:
    """Register on every agent: `each` of the client library, blocking and in an event loop, of
    leases and static, and `run` by `discoctl run`; yield how many there are."""
    with contextlib.ExitStack() as stack:
        for node in NODES:
            socket = cluster[node].socket
            disco = stack.enter_context(Disco(socket, timeout=DEADLINE))
            specs = [Spec("app", id=f"{node}-{n}", port=n + 1) for n in range(each)]
            specs += [Spec("lease", id=f"{node}-{n}", ttl="5s") for n in range(each)]
            specs += [Spec("static", id=f"{node}-{n}", static=True) for n in range(each)]
            assert not [it for it in disco.register_many(specs) if isinstance(it, Exception)]
            stack.enter_context(_in_a_loop(socket, [f"{node}-{n}" for n in range(each)]))
            for number in range(run):
                stack.enter_context(_run(socket, f"{node}-{number}"))
        total = len(NODES) * (4 * each + run)
        with Disco(cluster[NODES[0]].socket, timeout=DEADLINE) as disco:
            wait_until(lambda: len(disco.list()) == total, 60.0)
        yield total


@contextlib.contextmanager
def _in_a_loop(socket: str, instances: list[str]) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> AsyncDisco:
        disco = AsyncDisco(socket, timeout=DEADLINE)
        await disco.register_many([Spec("loop", id=instance) for instance in instances])
        return disco

    try:
        disco = asyncio.run_coroutine_threadsafe(begin(), loop).result(DEADLINE)
        yield
        asyncio.run_coroutine_threadsafe(disco.close(), loop).result(DEADLINE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def _run(socket: str, instance: str) -> Iterator[None]:
    argv = [sys.executable, "-m", "discoagent.cli", "--socket", socket, "run", "wrapped"]
    with subprocess.Popen(
        [*argv, "--id", instance, "--", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def witnesses(cluster: Cluster) -> Iterator[dict[str, Witness]]:
    """Watch everything at each agent."""
    with contextlib.ExitStack() as stack:
        yield {node: stack.enter_context(Witness(cluster[node].socket)) for node in NODES}


def mark(cluster: Cluster, node: str, name: str) -> None:
    """Register something that ends what a test looks at."""
    with Disco(cluster[node].socket, timeout=DEADLINE) as disco:
        mark_by(disco, name)


def mark_by(disco: Disco, name: str) -> None:
    """Register by this client what ends what a test looks at."""
    disco.register("mark", id=name, static=True)


def restarted(cluster: Cluster, node: str, number: int) -> None:
    """End an agent by a signal, and start it again at once."""
    cluster[node].stop(number)
    cluster.start(node)
