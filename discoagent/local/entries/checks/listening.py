"""The check `port`: the instance's process, or a child of it, listens on the port that was said."""

from asyncio import Future
from collections.abc import Callable

from discoagent.checks.spec import CRITICAL, PASSING
from discoagent.local.entries.checks.health import Outcome
from discoagent.local.entries.checks.shown import reason
from discoagent.local.entries.checks.workers import Workers
from discoagent.local.host import ports


class Listening:
    """One look, in a thread. `done` is called once, unless it is cancelled before."""

    def __init__(
        self, workers: Workers, pid: int, port: int, done: Callable[[Outcome], None]
    ) -> None:
        self._port = port
        self._done = done
        self._look = workers.do(lambda: ports.look(pid, port))
        self._look.add_done_callback(self._seen)

    def cancel(self) -> None:
        """Say nothing of it."""
        self._look.cancel()

    def _seen(self, look: "Future[ports.Listening]") -> None:
        if look.cancelled():
            return
        error = look.exception()
        if error is not None:
            self._done(Outcome(CRITICAL, reason(error)))
        elif look.result().on(self._port):
            self._done(Outcome(PASSING, "listens"))
        else:
            others = ", ".join(map(str, sorted(look.result().tcp))) or "nothing"
            self._done(Outcome(CRITICAL, f"listens on {others} yet, not on {self._port}"))
