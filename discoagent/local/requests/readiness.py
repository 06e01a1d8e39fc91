"""When the agent is ready, and who waits for it: queries for as long as their askers said."""

import asyncio
from collections.abc import Callable

ALONE_AFTER = 2.0  # seconds without any peer reached until an agent with seeds serves alone
WAITING_MAX = 10_000


class Readiness:
    """Open or not yet. `alone`: it was opened for lack of peers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self.ready = False
        self.alone = False

    def open(self) -> None:
        """Be ready from now on, and let all go on that wait."""
        self.ready = True
        waiting, self._waiting = self._waiting, {}
        for then, timer in waiting.items():
            timer.cancel()
            then()

    def wait(self, wait_ms: int, then: Callable[[], None]) -> None:
        """Call `then` once: at once if ready, else when ready or when the time is over.

        Beyond WAITING_MAX nobody waits any more: the answer is what there is, as after the time.
        """
        if self.ready or wait_ms <= 0 or len(self._waiting) >= WAITING_MAX:
            then()
        else:
            self._waiting[then] = self._loop.call_later(wait_ms / 1000, self._over, then)

    def close(self) -> None:
        """Drop all that wait."""
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    def _over(self, then: Callable[[], None]) -> None:
        del self._waiting[then]
        then()
