"""Real agents for tests: started on free loopback ports in a scratch directory, and spoken to raw.

    with Cluster("a", "b", "c") as cluster:          # one seed; everybody knows everybody
        with cluster["a"].raw() as asker:
            asker.ask("register", service="web")

Nothing here sleeps: a wait ends with what is waited for, or with an error after `DEADLINE`.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgpack
import zmq

from discoagent.client.session import error_of
from discoagent.errors import DiscoError
from discoagent.instance import Event, Instance

DEADLINE = 15.0  # seconds: whatever takes longer than this does not happen
LOOK_AGAIN = 0.02
DAEMON = "discoagent.daemon"

T = TypeVar("T")


class Raw:
    """A bare DEALER that speaks the local protocol, also wrongly."""

    def __init__(self, path: str, *, window: int = 0) -> None:
        """`window`: how many unread answers the connection holds; 0: any number."""
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.set_hwm(window)
        self.socket.connect(f"ipc://{path}")
        self._numbers = itertools.count(1)
        self._early: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self.socket.close()
        self._context.term()

    def send(self, operation: str, /, **arguments: Any) -> int:
        """Send a request and return its number."""
        number = next(self._numbers)
        self.socket.send(msgpack.packb([1, number, operation, arguments]))
        return number

    def receive(self, timeout: float = DEADLINE) -> Any:
        """Return the next answer as it came, [number, status, body]."""
        if not self.socket.poll(round(timeout * 1000)):
            raise TimeoutError(f"no answer in {timeout:g} s")
        return msgpack.unpackb(self.socket.recv())

    def answer_to(self, number: int) -> Any:
        """Return the next answer of that number; others are kept for whoever asks for them."""
        deadline = time.monotonic() + DEADLINE
        for place, answer in enumerate(self._early):
            if answer[0] == number:
                return self._early.pop(place)
        while True:
            answer = self.receive(max(0.0, deadline - time.monotonic()))
            if answer[0] == number:
                return answer
            self._early.append(answer)

    def ask(self, operation: str, /, **arguments: Any) -> Any:
        """Ask, and return the body of the last answer; raise what the agent refuses with."""
        number = self.send(operation, **arguments)
        while True:
            _, status, body = self.answer_to(number)
            if status == 1:
                raise error_of(body)
            if status == 0:
                return body

    def refusal(self, operation: str, /, **arguments: Any) -> DiscoError:
        """Ask, and return the error that must come of it."""
        try:
            body = self.ask(operation, **arguments)
        except DiscoError as error:
            return error
        raise AssertionError(f"{operation} {arguments} was not refused: {body}")

    def register(self, service: str, **arguments: Any) -> Instance:
        """Register, and return the instance."""
        return Instance.from_row(self.ask("register", service=service, **arguments)["row"])

    def list(self, *services: str, **arguments: Any) -> list[Instance]:
        """Return the instances."""
        number = self.send("list", services=services, **arguments)
        found: list[Instance] = []
        while True:
            _, status, body = self.answer_to(number)
            if status == 1:
                raise error_of(body)
            if status == 0:
                return found
            found += [Instance.from_row(row) for row in body]

    def watch(self, *services: str, wait_ms: int = 10_000, **arguments: Any) -> "Events":
        """Begin a watch."""
        return Events(self, self.send("watch", services=services, wait_ms=wait_ms, **arguments))


class Events:
    """The events of one watch, in order; room is given for each batch as it is taken."""

    def __init__(self, raw: Raw, number: int) -> None:
        self.raw = raw
        self.number = number
        self._batch: list[Event] = []

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        while not self._batch:
            _, status, body = self.raw.answer_to(self.number)
            if status == 1:
                raise error_of(body)
            if status == 0:
                raise StopIteration
            self._batch = [Event.from_row(row) for row in body]
            if self._batch:
                self.raw.send("more", watch=self.number, batches=1)
        return self._batch.pop(0)

    def present(self) -> list[Event]:
        """Return the events up to `synced`, without it."""
        found = []
        for event in self:
            if event.kind == "synced":
                break
            found.append(event)
        return found

    def until(self, fits: Callable[[Event], bool]) -> Event:
        """Return the next event that fits; what comes before it is passed by."""
        return next(event for event in self if fits(event))


class AgentProcess:
    """One `python -m discoagent.daemon` (or another `program`), with all that it has logged."""

    def __init__(
        self, directory: Path, node: str, arguments: Sequence[str], program: str = DAEMON
    ) -> None:
        self.node = node
        self.socket = str(directory / f"{node}.sock")
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self.state = directory / f"{node}.state"
        command = [sys.executable, "-m", program, "--node", node]
        command += ["--state-dir", str(self.state)]
        self.process = subprocess.Popen(
            [*command, "--socket", self.socket, *arguments],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=_environment(),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self.lines.append("")  # the end: whoever waits looks at the process
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The agent's process."""
        return self.process.pid

    @property
    def resident_kb(self) -> int:
        """The memory that its process holds."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0])

    @property
    def bind(self) -> str:
        """Where its ROUTER listens; it was ready by then."""
        line = next(line for line in self.lines if line.startswith("ready "))
        return line.rpartition("bind=")[2]

    def logged(self, text: str) -> str:
        """Wait for a line of the log that holds this text."""

        def found() -> str | None:
            return next((line for line in self.lines if text in line), None)

        def ended() -> bool:
            return bool(self.lines) and not self.lines[-1]

        with self._changed:
            self._changed.wait_for(lambda: found() is not None or ended(), DEADLINE)
        line = found()
        if line is None:
            raise AssertionError(f"{self.node} did not log {text!r}:\n" + "\n".join(self.lines))
        return line

    def raw(self, **options: Any) -> Raw:
        """Connect to its local socket."""
        return Raw(self.socket, **options)

    def status(self) -> Any:
        """Return its status."""
        with self.raw() as asker:
            return asker.ask("status")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        try:
            code = self.process.wait(DEADLINE)
        finally:
            self._finish()
        return code

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._finish()

    def _finish(self) -> None:
        if self.process.poll() is not None:
            self._reader.join(DEADLINE)
            assert self.process.stderr is not None
            self.process.stderr.close()


def _environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("DISCO", "COVERAGE"))
    }
    return kept | {"PYTHONPATH": root}


def start_agent(
    directory: Path,
    node: str = "a",
    *,
    bind: str = "127.0.0.1:0",
    join: Sequence[str] = (),
    cluster: str = "test",
    settings: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    ready: bool = True,
    program: str = DAEMON,
) -> AgentProcess:
    """Start an agent and wait until it says that it is ready, unless `ready` is False.

    `settings` are `--set` values, such as {"timing.down_after": "6s"}.
    """
    options = ["--bind", bind, "--cluster", cluster]
    for seed in join:
        options += ["--join", seed]
    for key, value in (settings or {}).items():
        options += ["--set", f"{key}={value}"]
    agent = AgentProcess(directory, node, [*options, *arguments], program)
    if ready:
        try:
            agent.logged("ready ")
        except BaseException:
            agent.kill()
            raise
    return agent


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Make a directory with a path short enough for sockets, which other users may look into."""
    directory = Path(tempfile.mkdtemp(prefix="disco-"))
    try:
        directory.chmod(0o755)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Cluster:
    """Some agents that know each other; the first is everybody's seed."""

    def __init__(self, *nodes: str, cluster: str = "test", settings: Any = None) -> None:
        self._nodes = nodes
        self._cluster = cluster
        self._settings = settings
        self._scratch = scratch_directory()
        self.agents: dict[str, AgentProcess] = {}

    def __enter__(self) -> Self:
        self.directory = self._scratch.__enter__()
        try:
            for node in self._nodes:
                self.start(node)
            self.wait_acquainted()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            for agent in self.agents.values():
                print(f"--- log of {agent.node}", *agent.lines, sep="\n")
        for agent in self.agents.values():
            agent.kill()
        self._scratch.__exit__(kind, error, trace)

    def __getitem__(self, node: str) -> AgentProcess:
        return self.agents[node]

    def start(self, node: str, **options: Any) -> AgentProcess:
        """Start one more agent, or one anew at its former address."""
        former = self.agents.get(node)
        others = [each.bind for each in self.agents.values() if each.node != node]
        options.setdefault("join", others[:1])
        options.setdefault("bind", former.bind if former else "127.0.0.1:0")
        options.setdefault("cluster", self._cluster)
        options.setdefault("settings", self._settings)
        agent = self.agents[node] = start_agent(self.directory, node, **options)
        return agent

    def wait_acquainted(self) -> None:
        """Wait until every running agent sees every other one alive."""
        running = [each for each in self.agents.values() if each.process.poll() is None]
        nodes = {each.node for each in running}
        for agent in running:
            with agent.raw() as asker:
                wait_until(partial(_sees, asker, nodes))


def _sees(asker: Raw, nodes: set[str]) -> bool:
    """Does this agent see all these alive?"""
    members = asker.ask("members")["members"]
    return nodes <= {member["node"] for member in members if member["state"] == "alive"}


def wait_until(holds: Callable[[], T], deadline: float = DEADLINE) -> T:
    """Ask again and again until the answer is true, and return it; for what makes no event."""
    until = time.monotonic() + deadline
    pause = threading.Event()
    while not (answer := holds()):
        if time.monotonic() > until:
            raise AssertionError(f"did not become true in {deadline:g} s")
        pause.wait(LOOK_AGAIN)
    return answer
