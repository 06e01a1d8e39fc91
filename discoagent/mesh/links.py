"""One link: the DEALER to one peer's ROUTER, and the SUB socket's connection to its PUB.

libzmq itself dials again for ever. Names are done here: a look-up would hold up its I/O thread, and
a name may have more addresses than one, or others than before.
"""

import asyncio
import contextlib
from collections.abc import Callable

import zmq

from discoagent.endpoints import Endpoint, is_literal, resolve
from discoagent.mesh.sockets import (
    DIAL_FAILED,
    FAREWELL_LINGER_MS,
    HANDSHAKE_FAILED,
    LINK_DOWN,
    LINK_UP,
    RECONNECT_INTERVAL_MS,
    Drain,
    Monitor,
    new_dealer,
    tcp,
)

WAITING_MAX = 64  # messages for a name that is not reached yet
LOOKUP_INTERVAL = 2.0  # seconds between two look-ups of a name that cannot be reached


class Link:
    """A connection to one peer that is made again until it is closed."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        context: "zmq.Context[zmq.Socket[bytes]]",
        subscriber: "zmq.Socket[bytes]",
        name: bytes,
        take: Callable[["zmq.Socket[bytes]"], int],
        on_state: Callable[[bool], None],
        count: Callable[[str], None],
    ) -> None:
        """Dial at once, or as soon as the host's name is looked up.

        `take` reads one message of the DEALER given; `on_state` hears of up and down, `count` of
        the reasons why dialling fails. Raises zmq.ZMQError when descriptors run out.
        """
        self.endpoint = endpoint
        self.up = False
        self._is_name = not is_literal(endpoint.host)
        # Until a name's right address is found there is no queue of libzmq's to wait in.
        self._waiting: list[bytes | zmq.Frame] = []
        self._context = context
        self._subscriber = subscriber
        self._on_state = on_state
        self._count = count
        self._publisher: str | None = None
        self._untried: list[Endpoint] = []
        self._lookup: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._current: Endpoint | None = None
        self._dealer = new_dealer(context, name)
        self._monitor = self._watch()
        self._drain = Drain(self._dealer, lambda: take(self._dealer))
        try:
            self._begin()
        except zmq.ZMQError:
            self.close(linger=False)
            raise

    def send(self, frame: "bytes | zmq.Frame") -> None:
        """Queue one message; raises zmq.Again when the queue is full."""
        if not self.up and self._is_name:
            if len(self._waiting) == WAITING_MAX:
                raise zmq.Again
            self._waiting.append(frame)
            return
        try:
            self._dealer.send(frame, zmq.NOBLOCK, copy=isinstance(frame, bytes))
        finally:  # also when it is full: the call may have eaten the signal of an answer
            self._drain.look()

    def close(self, *, linger: bool) -> None:
        """Close both connections; `linger`: what is queued for a peer that is there goes out."""
        if self._retry is not None:
            self._retry.cancel()
        if self._lookup is not None:
            self._lookup.cancel()
        self._monitor.close()
        self._drain.close()
        self._dealer.close(FAREWELL_LINGER_MS if linger and self.up else 0)
        self._unsubscribe()

    def _begin(self) -> None:
        if self._is_name:
            self._try_next()
        else:
            self._dial(self.endpoint)

    def _watch(self) -> Monitor:
        watched = LINK_UP | LINK_DOWN | HANDSHAKE_FAILED
        if self._is_name:
            watched |= DIAL_FAILED  # of no use for the others, and three wake-ups a second each
        try:
            return Monitor(self._context, self._dealer, watched, self._on_event)
        except zmq.ZMQError:  # out of descriptors
            self._dealer.close(0)
            raise

    def _dial(self, address: Endpoint) -> None:
        self._current = address
        self._dealer.connect(tcp(self._dealer, *address))
        self._publisher = tcp(self._subscriber, address.host, address.port + 1)
        self._subscriber.connect(self._publisher)
        self._drain.arm()

    def _hang_up(self) -> None:
        if self._current is not None:
            with contextlib.suppress(zmq.ZMQError):  # ENOENT: the I/O thread was quicker
                self._dealer.disconnect(tcp(self._dealer, *self._current))
            self._unsubscribe()
            self._current = None

    def _unsubscribe(self) -> None:
        if self._publisher is not None:
            with contextlib.suppress(zmq.ZMQError):
                self._subscriber.disconnect(self._publisher)
            self._publisher = None

    def _on_event(self, event: int) -> None:
        if event & LINK_UP:
            self._set_up(up=True)
        elif event & LINK_DOWN:
            self._set_up(up=False)
        elif event & HANDSHAKE_FAILED:
            self._count("handshake")
        if event & (LINK_DOWN | DIAL_FAILED) and self._is_name:
            self._retry_later()

    def _set_up(self, *, up: bool) -> None:
        if up == self.up:
            return
        self.up = up
        waiting, self._waiting = self._waiting, []
        for frame in waiting if up else ():
            self.send(frame)
        self._on_state(up)

    def _retry_later(self) -> None:
        """Try the name's next address soon, or look it up again a little later."""
        if self._retry is None and self._lookup is None:
            delay = RECONNECT_INTERVAL_MS / 1000 if self._untried else LOOKUP_INTERVAL
            self._retry = asyncio.get_running_loop().call_later(delay, self._try_next)

    def _try_next(self) -> None:
        self._retry = None
        if self.up:
            return
        if not self._untried:
            self._lookup = asyncio.get_running_loop().create_task(self._look_up())
            return
        address = self._untried.pop(0)
        if address != self._current:
            self._hang_up()
            self._dial(address)

    async def _look_up(self) -> None:
        try:
            self._untried = await resolve(self.endpoint)
        except OSError:
            self._count("lookup")
        self._lookup = None
        if self._untried:
            self._try_next()
        else:
            self._retry_later()
