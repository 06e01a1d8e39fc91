"""A replica with its registrar, lifetimes and watches on a real loop, without sockets."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgpack
import pytest

from discoagent.core.effects import Effect, Emit, Event
from discoagent.core.entry import MemberRecord
from discoagent.core.replica import Replica
from discoagent.core.timing import Timing
from discoagent.errors import DiscoError
from discoagent.instance import Event as UserEvent
from discoagent.instance import Instance
from discoagent.local.entries.own import Own
from discoagent.local.events.history import History
from discoagent.local.events.past import Past
from discoagent.local.events.resuming import Resuming
from discoagent.local.events.watches import Watches
from discoagent.local.host import owners
from discoagent.local.host.owners import Asker
from discoagent.local.host.policy import Policy
from discoagent.local.host.privileges import Privileges
from discoagent.local.requests.parsing import parse_call
from discoagent.local.requests.queries import Queries
from discoagent.presence import Tracked
from discoagent.store import Identity, Store, StoredLife

T = TypeVar("T")
ME = Asker(os.getuid(), os.getgid(), os.getpid())
DEADLINE = 10.0
STRANGER = Asker(4_001, 4_001, 0)
ROOT = Asker(0, 0, 0)
EXECUTABLE = os.path.realpath(sys.executable)


class World:
    """One agent's local half. `events` are those of the replica, `sent` the frames of watches."""

    def __init__(
        self,
        *,
        services_dir: str | None = None,
        incarnation: int = 5_000,
        endpoint: str = "10.0.0.5:7800",
        settled: bool = True,
    ) -> None:
        """`settled`: nobody goes on with a former life's entries."""
        loop = asyncio.get_running_loop()
        self.wall_ms = 1_790_000_000_000
        self.events: list[Event] = []
        self.sent: list[tuple[bytes, Any]] = []
        self.gone: set[bytes] = set()
        self.changed = asyncio.Event()
        self.replica = Replica(
            node="a",
            incarnation=incarnation,
            cluster="test",
            record=MemberRecord(endpoint, "1", settled=settled),
            timing=Timing(),
            now=0.0,
        )
        self.queries = Queries(self.replica)
        self.history = History(self.replica, self.tick_ms)
        self.store = Store(None, Identity("a", "test"), wall_ms=self.tick_ms)
        self.past = Past(
            life=StoredLife(incarnation, self.wall_ms),
            history=self.history,
            store=self.store,
            former=(),
            shown=self.replica.everything,
            secure=lambda: None,
            wall_ms=self.tick_ms,
            loop=loop,
        )
        self.past.begin()
        self.watches = Watches(
            loop=loop,
            send=self._send,
            shown=self.queries.shown,
            history=self.history,
            resuming=Resuming(
                self.replica, self.history, self.past, self.queries.shown, self.tick_ms
            ),
            wall_ms=self.tick_ms,
        )
        self.privileges = Privileges(os.getuid(), Policy())
        self.own = Own(
            loop=loop,
            replica=self.replica,
            queries=self.queries,
            perform=self.perform,
            now=loop.time,
            wall_ms=self.tick_ms,
            uid=os.getuid(),
            privileges=self.privileges,
            boot=owners.boot_id(),
            socket="",
            services_dir=services_dir,
            reload=lambda **_: {},
        )
        self.lifetimes = self.own.lifetimes
        self.registrar = self.own.registrar
        self.tracker = self.own.tracker

    def tick_ms(self) -> int:
        """Return a wall clock that never gives a time twice."""
        self.wall_ms += 1
        return self.wall_ms

    def perform(self, effects: Iterable[Effect]) -> None:
        """Tell events on, as the agent does."""
        events = [effect.event for effect in effects if isinstance(effect, Emit)]
        for logged in self.history.follow(events):
            self.events.append(logged.event)
            self.watches.publish(logged)
            self.changed.set()
        self.replica.check()

    def _send(self, name: bytes, frame: bytes) -> bool:
        self.sent.append((name, msgpack.unpackb(frame)))
        return name not in self.gone

    def ask(self, operation: str, asker: Asker = ME, /, **arguments: Any) -> Any:
        """Do a changing operation as the door does; return its instance or meta."""
        call = parse_call(operation, arguments)
        tracks = operation in ("track", "retrack", "untrack")
        done = getattr(self.tracker if tracks else self.registrar, operation)(call, asker)
        row = done[0] if operation in ("register", "track") else done
        return Tracked.from_row(row) if tracks else Instance.from_row(row)

    def story(self) -> list[tuple[str, str]]:
        """Return (kind, cause) of each event so far."""
        return [(str(event.kind), event.cause.word) for event in self.events]

    async def event(self, number: int) -> Event:
        """Wait for the replica's event of that number, counted from 1."""
        async with asyncio.timeout(DEADLINE):
            while len(self.events) < number:
                self.changed.clear()
                await self.changed.wait()
        return self.events[number - 1]

    def rows(self, name: bytes = b"w") -> list[Any]:
        """Return all events that were sent to this connection's watches, as they came."""
        return [
            row for to, (_, status, body) in self.sent if to == name and status == 2 for row in body
        ]

    def told(self, name: bytes = b"w") -> list[UserEvent]:
        """Return all events that were sent to this connection's watches of services."""
        return list(map(UserEvent.from_row, self.rows(name)))

    def close(self) -> None:
        """Stop watching processes and leases."""
        self.watches.close()
        self.own.close()
        self.store.close()


def in_world(story: Callable[[World], Coroutine[Any, Any, T]], **options: Any) -> T:
    """Run a story in a new world."""

    async def run() -> T:
        world = World(**options)
        try:
            return await story(world)
        finally:
            world.close()

    return asyncio.run(run())


async def turn() -> None:
    """Let everything that is due in this turn of the loop happen."""
    loop = asyncio.get_running_loop()
    for _ in range(2):
        passed: asyncio.Future[None] = loop.create_future()
        loop.call_soon(passed.set_result, None)
        await passed


@contextmanager
def a_process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    with subprocess.Popen(command or ("cat",), stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, and return when the kernel says that it has ended."""
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def refusal(world: World, operation: str, asker: Asker = ME, /, **arguments: Any) -> DiscoError:
    """Ask for what must be refused, and see that nothing happened."""
    before, held = list(world.events), list(world.replica.own)
    with pytest.raises(DiscoError) as caught:
        world.ask(operation, asker, **arguments)

    assert world.events == before
    assert list(world.replica.own) == held
    return caught.value
