"""Keeps a client's registrations alive: one background thread with its own connection.

It says them again to every new life of the agent, renews leases, and deregisters what was closed
while the agent was away, also after its `Disco` was closed. What is to be said is decided by
`held.py`; here are the thread, the clock and the connection.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from discoagent.client.bell import Bell
from discoagent.client.connection import Connection, dial
from discoagent.client.held import Errand, Held, HeldKey, Holdings
from discoagent.errors import DiscoError, TimeoutExpired

# Between looks for an agent that is away; the last one repeats.
RETRY_SECONDS = (0.05, 0.1, 0.25)
BUSY_RETRY_SECONDS = 0.1

_logger = logging.getLogger("discoagent.client")

# Over all clients of this process: the newest registration of an id, which alone may end it.
_newest: WeakValueDictionary[tuple[str, HeldKey], Held] = WeakValueDictionary()
_newest_lock = threading.Lock()


class Keeper:
    """The held registrations of one `Disco`, and their thread, which starts with the first."""

    def __init__(self, path: str | None, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._holdings = Holdings()
        self._state = threading.Condition()  # guards all that follows, and `busy`
        self._thread: threading.Thread | None = None
        self._bell: Bell | None = None
        self._closed = False
        self._helpless = False  # the thread could say nothing, or has ended

    def hold(self, path: str, registrations: Iterable[Held]) -> None:
        """Hold what was registered with the agent on `path`, in place of earlier ones of its id."""
        with self._state:
            for held in registrations:
                succeed(path, held)
                self._holdings.add(held)
            if self._closed:  # by another thread, while this one registered
                self._holdings.close_all()
            if self._holdings.idle:
                return
            bell = self._start()
        bell.ring()

    def _start(self) -> Bell:
        """Have the thread run, and return what wakes it."""
        if self._bell is None:
            self._bell = Bell()
            self._thread = threading.Thread(
                target=self._run, args=(self._bell,), name="discoagent-keeper", daemon=True
            )
            self._thread.start()
        return self._bell

    @contextmanager
    def speaking_for(self, held: Held, timeout: float) -> Iterator[None]:
        """Let nobody else speak for a registration meanwhile. Raises TimeoutExpired."""
        with self._state:
            if not self._state.wait_for(lambda: not held.busy, timeout):
                raise TimeoutExpired(f"{held.name}: another request for it is still under way")
            held.busy = True
        try:
            yield
        finally:
            with self._state:
                held.busy = False
                self._state.notify_all()

    def find(self, key: HeldKey) -> Held | None:
        """Return the held registration of this id."""
        with self._state:
            return self._holdings.find(key)

    def instance(self, service: str | None, name: str) -> Held | None:
        """Return the held instance of this id, if it is just one."""
        with self._state:
            return self._holdings.instance(service, name)

    def drop(self, held: Held) -> None:
        """Hold a registration no longer; it has ended."""
        with self._state:
            held.closing = held.closed = True
            self._holdings.remove(held)

    def close_later(self, held: Held) -> bool:
        """Have a registration deregistered once the agent answers; False if it is not held."""
        with self._state:
            if self._bell is None or self._holdings.find(held.key) is not held:
                return False
            self._holdings.close(held)
        self._bell.ring()
        return True

    def close(self) -> None:
        """End all that ends with this client.

        Returns once that is done, or the agent cannot be asked: the thread goes on trying then, as
        long as this process lives, and ends when there is nothing left to say.
        """
        with self._state:
            self._closed, self._helpless = True, False
            self._holdings.close_all()
            bell, thread = self._bell, self._thread
        if bell is None or thread is None:
            return
        bell.ring()
        if thread is not threading.current_thread():
            with self._state:
                self._state.wait_for(lambda: self._holdings.idle or self._helpless)
                idle = self._holdings.idle
            if idle:
                thread.join()

    def finish(self, holdings: Holdings) -> None:
        """Say what is left of what somebody else held, and nothing more."""
        with self._state:
            self._holdings, self._closed = holdings, True
            if holdings.idle:
                return
            bell = self._start()
        bell.ring()

    # -- the thread --------------------------------------------------------------------------------

    def _run(self, bell: Bell) -> None:
        connection: Connection | None = None
        tries = 0
        try:
            while not self._done(bell):
                try:
                    connection = connection or self._connect(bell)
                    self._serve(connection)
                    tries = 0
                except DiscoError:
                    if connection is not None:
                        connection.close()
                    connection = None
                    self._give_up()
                    bell.wait(pause_before(tries))
                    tries += 1
        finally:
            if connection is not None:
                connection.close()
            self._give_up()

    def _done(self, bell: Bell) -> bool:
        """Is there nothing left for the thread to do? Then another is started when there is."""
        bell.hush()  # before the look at what it rings for, which is never missed then
        with self._state:
            self._holdings.forget(time.monotonic())
            if not (self._closed and self._holdings.idle):
                return False
            self._bell = self._thread = None
            self._state.notify_all()
        bell.close()
        return True

    def _give_up(self) -> None:
        """Let nobody wait for what cannot be said now."""
        with self._state:
            self._helpless = True
            self._state.notify_all()

    def _connect(self, bell: Bell) -> Connection:
        connection = dial(self._path, self._timeout)
        try:
            connection.greeting(self._timeout)
        except BaseException:
            connection.close()
            raise
        connection.wait_on(bell.descriptor)
        return connection

    def _serve(self, connection: Connection) -> None:
        """Say what is to be said, then wait for more. Raises if the agent went away."""
        incarnation = connection.greeting(self._timeout).incarnation
        while errands := self._errands(incarnation):
            self._say(connection, errands, incarnation)
        if self._closed and self._holdings.idle:
            return
        if connection.lost:
            raise connection.gone()
        connection.wait(self._pause())
        while connection.receive() is not None:
            pass  # late answers

    def _errands(self, incarnation: int) -> list[Errand]:
        with self._state:
            return self._holdings.errands(incarnation, time.monotonic())

    def _say(self, connection: Connection, errands: list[Errand], incarnation: int) -> None:
        asked = time.monotonic()
        left = list(reversed(errands))
        try:
            for outcome in connection.exchange((errand.call for errand in errands), self._timeout):
                if connection.broken is not None and outcome.error is connection.broken:
                    raise connection.broken
                errand = left.pop()
                with self._state:
                    self._holdings.done(errand, outcome.value, outcome.error, incarnation, asked)
                    self._state.notify_all()
                if errand.held.ended is not None:
                    _logger.warning("%s is lost: %s", errand.held.name, errand.held.ended)
        finally:
            with self._state:
                self._holdings.undone(left)
                self._state.notify_all()

    def _pause(self) -> float | None:
        """Return how long nothing is to be said, as far as is known."""
        with self._state:
            if self._holdings.unsettled:
                return BUSY_RETRY_SECONDS
            due = self._holdings.next_renewal()
        return None if due is None else due - time.monotonic()


def succeed(path: str, held: Held) -> None:
    """Make `held` the newest registration of its id in this process."""
    with _newest_lock:
        former = _newest.get((path, held.key))
        if former is not None and former is not held:
            former.successor = held
            if former.closing and not former.closed:
                held.said_to = 0  # the former's end may have come after this beginning
        _newest[path, held.key] = held


def pause_before(again: int) -> float:
    """Return how many seconds to wait before an agent is looked for again; the first time is 0."""
    return RETRY_SECONDS[min(again, len(RETRY_SECONDS) - 1)]
