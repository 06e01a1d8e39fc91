"""What a client asks its agent: queries, watches and the mesh. As `discoagent.client.asking`."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from discoagent.aio.base import Base
from discoagent.aio.watch import AsyncFollowing, AsyncWatch
from discoagent.client import calls, choice
from discoagent.client.asking import (
    READY_CHUNK_SECONDS,
    Instances,
    Jsons,
    Members,
    converging,
    query_wait_ms,
)
from discoagent.client.calls import Greeting, Since, words
from discoagent.client.session import Call
from discoagent.instance import NO_META, Instance, Json

F = TypeVar("F", bound=AsyncFollowing[Any])


class Asking(Base):
    """All that changes no registration; see `Disco` for each."""

    @property
    def partial(self) -> bool:
        """Was the last answer to this task partial: was the agent not ready yet?"""
        return self._line.quality.partial

    @property
    def stale(self) -> float | None:
        """Was the last answer to this task stale: may the agent be cut off? See `Disco.stale`."""
        ms = self._line.quality.stale_ms
        return None if ms is None else ms / 1000

    async def hello(self) -> Greeting:
        """Return who the agent is: node, incarnation, cluster, version, api, wire, pid."""
        return await self._ask(calls.hello())

    async def list(
        self,
        *services: str,
        tag: str | Iterable[str] | None = None,
        node: str | None = None,
        all: bool = False,  # noqa: A002 - the contract's word
        filter: str | None = None,  # noqa: A002 - the contract's word
    ) -> Instances:
        """Return the usable instances, sorted; see `Disco.list`."""
        return await self._ask(
            calls.list_instances(
                services,
                tag=tag,
                node=node,
                all=all,
                filter=filter,
                wait_ms=self._wait_ms(),
            )
        )

    async def get(self, id: str) -> Instance:  # noqa: A002 - the contract's word
        """Return one instance; see `Disco.get`."""
        return await self._ask(calls.get(id, wait_ms=self._wait_ms()))

    async def resolve(
        self,
        service: str,
        *,
        tag: str | Iterable[str] | None = None,
        prefer: Mapping[str, str] = NO_META,
    ) -> Instance:
        """Return a usable instance that has a port; see `Disco.resolve`."""
        pairs = tuple(prefer.items())
        members = await self.members() if pairs else ()
        return choice.resolved(service, await self.list(service, tag=tag), pairs, members)

    async def services(self) -> Jsons:
        """Return `{"service", "total", "usable", "states"}` of each service, sorted."""
        return await self._ask(calls.services(wait_ms=self._wait_ms()))

    async def members(self) -> Members:
        """Return the nodes, sorted, this one included."""
        return await self._ask(calls.members(wait_ms=self._wait_ms()))

    async def status(self, ready: float | None = None) -> Json:
        """Return the agent's status, once it is ready; see `Disco.status`."""
        end = time.monotonic() + (ready or 0)
        while True:
            left = max(end - time.monotonic(), 0)
            chunk = min(left, READY_CHUNK_SECONDS)
            call = calls.status(ready_ms=math.ceil(chunk * 1000))
            found = await self._ask(call, chunk + self.timeout)
            if found.get("ready") or left <= chunk:
                return found

    async def ping(self) -> Json:
        """Return `{"node", "ms"}`: who answered, and how long it took."""
        start = time.monotonic()
        node = await self._ask(calls.ping())
        return {"node": node, "ms": round((time.monotonic() - start) * 1000, 3)}

    async def converged(self, wait: float | None = None) -> Json:
        """Return whether all other nodes have what the agent shows; see `Disco.converged`."""
        wait_ms, bound = converging(wait, self.timeout)
        return await self._ask(calls.converged(wait_ms=wait_ms), bound)

    def watch(
        self,
        *services: str,
        from_token: str | None = None,
        filter: str | None = None,  # noqa: A002 - the contract's word
        timeout: float | None = None,
        on_link: Callable[[bool], None] | None = None,
    ) -> AsyncWatch:
        """Return events as they happen, of some services or all; see `Disco.watch`.

        Iterate over it with `async for`. It asks the agent when it is first iterated over, or
        awaited: `watch = await disco.watch()`.
        """
        sifted = None if filter is None else calls.checked_filter(filter)
        asking = partial(calls.watch, services, filter=sifted)
        return self._follow(AsyncWatch, asking, from_token, timeout=timeout, on_link=on_link)

    def _follow(
        self,
        kind: type[F],
        asking: Callable[[Since | None], Call[None]],
        from_token: str | None,
        *,
        timeout: float | None,
        on_link: Callable[[bool], None] | None,
    ) -> F:
        self._line.check()
        watch = kind(self._line, asking, from_token=from_token, timeout=timeout, on_link=on_link)
        self._watches.add(watch)
        return watch

    # -- the mesh ----------------------------------------------------------------------------------

    async def join(self, addresses: Iterable[str]) -> Jsons:
        """Let the agent greet other agents; see `Disco.join`."""
        call = calls.join(words(addresses, "addresses"), wait_ms=self._wait_ms())
        return await self._ask(call)

    async def leave(self) -> None:
        """Let this node leave the cluster, with all its instances, and its agent end."""
        await self._ask(calls.leave())

    def _wait_ms(self) -> int:
        return query_wait_ms(self.timeout)
