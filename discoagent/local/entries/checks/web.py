"""The check `http`: a GET that is answered well.

2xx passes, 429 warns, all else fails; with `match` the first 64 KiB of the answer must hold that
text. The library is loaded in a thread when it is first needed: it takes longer than anybody may
wait for the loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.util import find_spec

from discoagent import tls
from discoagent.checks.spec import CRITICAL, Check
from discoagent.local.entries.checks.health import Outcome
from discoagent.local.entries.checks.workers import Workers

MISSING = "http checks need aiohttp: pip install 'discoagent[http]' where the agent runs"

Done = Callable[[Outcome], None]
Get = Callable[[Check, str, Workers], Awaitable[Outcome]]


@cache
def available() -> bool:
    """Is the library there that http checks need?"""
    return find_spec("aiohttp") is not None


class Web:
    """Asks over HTTP."""

    def __init__(self, loop: asyncio.AbstractEventLoop, workers: Workers) -> None:
        self._loop = loop
        self._workers = workers
        self._loading: asyncio.Future[Get] | None = None
        self._asking: set[asyncio.Task[None]] = set()

    def ask(self, check: Check, url: str, done: Done) -> Callable[[], object]:
        """GET a URL; `done` is called once, unless what is returned is called before."""
        if self._loading is None:
            self._loading = self._workers.do(_load)
        task = self._loop.create_task(self._ask(self._loading, check, url, done))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return task.cancel

    async def _ask(
        self, loading: "asyncio.Future[Get]", check: Check, url: str, done: Done
    ) -> None:
        get = await asyncio.shield(loading)
        timeout = check.timeout_ms / 1000
        try:
            async with asyncio.timeout(timeout):
                outcome = await get(check, url, self._workers)
        except TimeoutError:
            outcome = Outcome(CRITICAL, f"no answer within {timeout:g} s")
        done(outcome)


def _load() -> Get:
    tls.enable()
    from discoagent.local.entries.checks.http_client import get

    return get
