"""What a client asks its agent: queries, watches and the mesh."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from discoagent.client import calls
from discoagent.client.base import Base
from discoagent.client.calls import FOR_EVER_MS, Greeting, Since, words
from discoagent.client.lasting import milliseconds
from discoagent.client.session import Call
from discoagent.instance import NO_META, Instance, Json, Member

if TYPE_CHECKING:  # loaded when used: half of what would be loaded for `discoctl list`
    from discoagent.client.watch import Following, Watch

F = TypeVar("F", bound="Following[Any]")
READY_CHUNK_SECONDS = 1.0
CONVERGE_SECONDS = 1.0
ANSWER_SECONDS = 0.25  # left of the timeout for an answer to come that was waited for

# `Asking.list` hides the type's name from the annotations below it.
Instances = list[Instance]
Members = list[Member]
Jsons = list[Json]


class Asking(Base):
    """All that changes no registration. Every method may raise what `disco.py` names."""

    @property
    def partial(self) -> bool:
        """Was the last answer to this thread partial: was the agent not ready yet?"""
        return self._pool.quality.partial

    @property
    def stale(self) -> float | None:
        """Was the last answer to this thread stale: may the agent be cut off from most others?

        Seconds since it last heard some of those that it should hear; None if all is well. Of
        `list` and `resolve`.
        """
        ms = self._pool.quality.stale_ms
        return None if ms is None else ms / 1000

    def hello(self) -> Greeting:
        """Return who the agent is: node, incarnation, cluster, version, api, wire, pid."""
        return self._pool.ask(calls.hello())

    def list(
        self,
        *services: str,
        tag: str | Iterable[str] | None = None,
        node: str | None = None,
        all: bool = False,  # noqa: A002 - the contract's word
        filter: str | None = None,  # noqa: A002 - the contract's word
    ) -> Instances:
        """Return the usable instances (`all`: every visible one), sorted by service, id, node.

        `services`: none named means of all. `tag`: with all of these tags. `filter`: an expression
        as in `filters.py`, such as `port > 8000 and meta.zone != "a"`; FilterError if it is none.
        """
        return self._pool.ask(
            calls.list_instances(
                services,
                tag=tag,
                node=node,
                all=all,
                filter=filter,
                wait_ms=self._wait_ms(),
            )
        )

    def get(self, id: str) -> Instance:  # noqa: A002 - the contract's word
        """Return one instance by `SERVICE/INSTANCE@NODE`, or a part of it that fits exactly one.

        Raises NoInstance; InvalidRequest if it fits several.
        """
        return self._pool.ask(calls.get(id, wait_ms=self._wait_ms()))

    def resolve(
        self,
        service: str,
        *,
        tag: str | Iterable[str] | None = None,
        prefer: Mapping[str, str] = NO_META,
    ) -> Instance:
        """Return a usable instance that has a port: any one, of the best state there is.

        `prefer`: of these rather one with such pairs in its meta or among its node's labels; the
        more fit the better. Raises NoInstance if there is none.
        """
        from discoagent.client import choice

        pairs = tuple(prefer.items())
        members = self.members() if pairs else ()
        return choice.resolved(service, self.list(service, tag=tag), pairs, members)

    def services(self) -> Jsons:
        """Return `{"service", "total", "usable", "states"}` of each service, sorted."""
        return self._pool.ask(calls.services(wait_ms=self._wait_ms()))

    def members(self) -> Members:
        """Return the nodes, sorted, this one included."""
        return self._pool.ask(calls.members(wait_ms=self._wait_ms()))

    def status(self, ready: float | None = None) -> Json:
        """Return the agent's status; `ready`: once it is ready, at most after so many seconds.

        Whether it is ready then, `["ready"]` says. `math.inf` waits as long as it takes.
        """
        end = time.monotonic() + (ready or 0)
        while True:
            left = max(end - time.monotonic(), 0)
            chunk = min(left, READY_CHUNK_SECONDS)
            found = self._pool.ask(
                calls.status(ready_ms=math.ceil(chunk * 1000)), chunk + self.timeout
            )
            if found.get("ready") or left <= chunk:
                return found

    def ping(self) -> Json:
        """Return `{"node", "ms"}`: who answered, and how long it took."""
        start = time.monotonic()
        node = self._pool.ask(calls.ping())
        return {"node": node, "ms": round((time.monotonic() - start) * 1000, 3)}

    def converged(self, wait: float | None = None) -> Json:
        """Return `{"converged", "nodes"}`: have all other nodes what the agent shows now?

        Each node with its "state" (same, behind, silent) and how many steps of which nodes are
        "missing" there. `wait`: seconds that they have to reach it; None: as long as what is on its
        way should take. `math.inf` waits as long as it takes.
        """
        wait_ms, bound = converging(wait, self.timeout)
        return self._pool.ask(calls.converged(wait_ms=wait_ms), bound)

    def watch(
        self,
        *services: str,
        from_token: str | None = None,
        filter: str | None = None,  # noqa: A002 - the contract's word
        timeout: float | None = None,
        on_link: Callable[[bool], None] | None = None,
    ) -> "Watch":
        """Return events as they happen, of some services or all: the present, `synced`, changes.

        `from_token`: the token of an event seen before; what was missed since then takes the place
        of the present. Where that is not known of a node (None: of all), there is a `reset` of it
        and its present. `filter`: as of `list`; what comes to fit is `added`, what ceases to is
        `removed`, with the cause of the change that made it so. `timeout`: after so many seconds in
        all, TimeoutExpired is raised. `on_link`: called in the thread that iterates, with False
        when the agent went away and True when it is back; the watch goes on by itself. Raises
        AgentUnavailable, TimeoutExpired if the agent cannot be asked now.
        """
        from discoagent.client.watch import Watch

        sifted = None if filter is None else calls.checked_filter(filter)
        asking = partial(calls.watch, services, filter=sifted)
        return self._follow(Watch, asking, from_token, timeout=timeout, on_link=on_link)

    def _follow(
        self,
        kind: type[F],
        asking: Callable[[Since | None], Call[None]],
        from_token: str | None,
        *,
        timeout: float | None,
        on_link: Callable[[bool], None] | None,
    ) -> F:
        self._pool.check()
        watch = kind(
            self._pool.path,
            asking,
            answer_timeout=self.timeout,
            from_token=from_token,
            timeout=timeout,
            on_link=on_link,
        )
        self._watches.add(watch)
        return watch

    # -- the mesh ----------------------------------------------------------------------------------

    def join(self, addresses: Iterable[str]) -> Jsons:
        """Let the agent greet other agents; return `{"address", "ok", "error", "code"}` of each."""
        return self._pool.ask(calls.join(words(addresses, "addresses"), wait_ms=self._wait_ms()))

    def leave(self) -> None:
        """Let this node leave the cluster, with all its instances, and its agent end."""
        self._pool.ask(calls.leave())

    def _wait_ms(self) -> int:
        return query_wait_ms(self.timeout)


def query_wait_ms(timeout: float) -> int:
    """Return how long the agent may wait with an answer, so that it still comes in time."""
    return min(int((timeout - min(ANSWER_SECONDS, timeout / 2)) * 1000), FOR_EVER_MS)


def converging(wait: float | None, timeout: float) -> tuple[int, float]:
    """Return how long the nodes have, in milliseconds, and how long the answer may take."""
    seconds = min(CONVERGE_SECONDS, timeout / 2) if wait is None else wait
    wait_ms = milliseconds(min(seconds, FOR_EVER_MS / 1000), "wait")
    return wait_ms, timeout if wait is None else wait_ms / 1000 + timeout
