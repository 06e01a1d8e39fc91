"""The client library: `Disco`, for threads and scripts.

    with Disco() as disco:
        web = disco.register("web", port=8080, tags=["v2"])
        for instance in disco.list("db"): ...

Whatever asks the agent raises a `DiscoError` (see `errors.py`): AgentUnavailable at once if nobody
listens, TimeoutExpired if somebody listens and does not answer.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace as replaced
from types import TracebackType
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

from discoagent.client import calls
from discoagent.client.calls import Greeting, Row, Spec, milliseconds, words
from discoagent.client.connection import Connection, Outcome
from discoagent.client.pool import Pool
from discoagent.client.session import Call
from discoagent.errors import AgentUnavailable, DiscoError, NoInstance, TimeoutExpired
from discoagent.instance import NO_META, Instance, Json, Member
from discoagent.sockets import client_paths

if TYPE_CHECKING:  # loaded when used: half of what would be loaded for `discoctl list`
    from discoagent.client.held import Held
    from discoagent.client.keeper import Keeper
    from discoagent.client.registration import Registration
    from discoagent.client.watch import Watch

__all__ = ["Disco", "Greeting", "Spec"]

READY_CHUNK_SECONDS = 1.0
WAIT_SHARE = 0.9  # of the timeout for a query to wait until the agent is ready
STATES_BY_WORTH = ("passing", "warning")

# `Disco.list` hides the type's name from the annotations below it.
Instances = list[Instance]
Members = list[Member]
Jsons = list[Json]
Registered = list["Registration | DiscoError"]


class Disco:
    """The agent on this host, to ask and to register with. Safe over threads, not over fork.

    `socket`: the path of the agent's socket; None: DISCO_SOCKET, else the first default path where
    an agent listens. `timeout`: seconds that one answer may take. It connects when first used.
    """

    def __init__(self, socket: str | None = None, *, timeout: str | float = 2.0) -> None:
        path = client_paths(socket)[0] if socket else None
        self.timeout = milliseconds(timeout, "timeout") / 1000
        self._pool = Pool(path, self.timeout)
        self._kept: Keeper | None = None
        self._over = False
        self._lock = threading.Lock()
        self._watches: WeakSet[Watch] = WeakSet()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the registrations held by this client and its watches, and give everything back.

        Static registrations and those of other processes stay. The agent away: nothing is said.
        """
        if self._pool.closed or not self._pool.ours:
            return
        with self._lock:
            self._over, kept = True, self._kept
        left = kept.close() if kept is not None else ()
        if left:
            with suppress(DiscoError), self._pool.connection() as connection:
                endings = (calls.deregister(held.name) for held in left)
                for _ in connection.exchange(endings, self.timeout):
                    pass
        self._pool.close()
        for watch in list(self._watches):
            watch.close()

    # -- queries -----------------------------------------------------------------------------------

    @property
    def partial(self) -> bool:
        """Was the last answer to this thread partial: was the agent not ready yet?"""
        return self._pool.partial

    def hello(self) -> Greeting:
        """Return who the agent is: node, incarnation, cluster, version, api, wire, pid."""
        return self._pool.ask(calls.hello())

    def list(
        self,
        *services: str,
        tag: str | Iterable[str] | None = None,
        node: str | None = None,
        all: bool = False,  # noqa: A002 - the contract's word
    ) -> Instances:
        """Return the usable instances (`all`: every visible one), sorted by service, id, node.

        `services`: none named means of all. `tag`: with all of these tags.
        """
        return self._pool.ask(
            calls.list_instances(
                services,
                tags=words(tag, "tag"),
                node=node,
                usable=not all,
                wait_ms=self._wait_ms(),
            )
        )

    def get(self, id: str) -> Instance:  # noqa: A002 - the contract's word
        """Return one instance by `SERVICE/INSTANCE@NODE`, or a part of it that fits exactly one.

        Raises NoInstance; InvalidRequest if it fits several.
        """
        return self._pool.ask(calls.get(id, wait_ms=self._wait_ms()))

    def resolve(self, service: str, *, tag: str | Iterable[str] | None = None) -> Instance:
        """Return a usable instance that has a port: any one, of the best state there is.

        Raises NoInstance if there is none.
        """
        usable = [found for found in self.list(service, tag=tag) if found.port is not None]
        if not usable:
            raise NoInstance(f"{service}: no usable instance with a port")
        best = min(_rank(found) for found in usable)
        import random

        return random.choice([it for it in usable if _rank(it) == best])  # noqa: S311 - no secret

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

    def watch(
        self,
        *services: str,
        timeout: float | None = None,
        on_link: Callable[[bool], None] | None = None,
    ) -> "Watch":
        """Return events as they happen, of some services or all: the present, `synced`, changes.

        `timeout`: after so many seconds in all, TimeoutExpired is raised. `on_link`: called in the
        thread that iterates, with False when the agent went away and True when it is back; the
        watch goes on by itself. Raises AgentUnavailable, TimeoutExpired if the agent cannot be
        asked now.
        """
        from discoagent.client.watch import Watch

        self._pool.check()
        watch = Watch(
            self._pool.path,
            services,
            answer_timeout=self.timeout,
            timeout=timeout,
            on_link=on_link,
        )
        self._watches.add(watch)
        return watch

    # -- registrations -----------------------------------------------------------------------------

    def register(
        self,
        name: str,
        *,
        port: int | None = None,
        address: str | None = None,
        id: str | None = None,  # noqa: A002 - the contract's word
        tags: Iterable[str] = (),
        meta: Mapping[str, str] = NO_META,
        pid: int | None = None,
        ttl: str | float | None = None,
        static: bool = False,
        replace: bool = False,
        wrapper: int | None = None,
        hold: bool = True,
    ) -> "Registration":
        """Register an instance of the service `name`, which lives as long as this process.

        `pid`: as long as that process. `ttl`: a lease ("10s"), renewed in the background. `static`:
        until it is deregistered. `replace`: take the id from another owner of the same user.
        `wrapper`: this process's own pid, if it will tell how `pid` ended.

        `hold`: say it again when the agent was restarted, renew its lease, and deregister it with
        `close` of this client (but for `static` and the `pid` of another). False: all that is left
        to the caller.

        Raises Conflict if somebody else who lives has the id; Refused; InvalidRequest, which names
        the field.
        """
        spec = Spec(
            name, port, address, id, words(tags, "tags"), meta, pid, ttl, static, replace, wrapper
        )
        (registered,) = self._register([spec], hold=hold)
        if isinstance(registered, DiscoError):
            raise registered
        return registered

    def register_many(self, specs: Iterable[Spec], *, hold: bool = True) -> Registered:
        """Register many at once, with a window of requests under way; results come in their order.

        In place of each that was refused stands its error. If the agent goes away or falls silent,
        that error stands for all that it did not answer; it is raised if that is the first one.
        """
        return self._register(specs, hold=hold)

    def update(
        self,
        id: str,  # noqa: A002 - the contract's word
        *,
        port: int | None = None,
        address: str | None = None,
        tag: str | Iterable[str] = (),
        untag: str | Iterable[str] = (),
        set: Mapping[str, str] | None = None,  # noqa: A002 - the contract's word
        unset: str | Iterable[str] = (),
    ) -> Instance:
        """Change what is named of an instance of this node; return it as it is then."""
        row = self._pool.ask(
            calls.update(id, port=port, address=address, tag=tag, untag=untag, set=set, unset=unset)
        )
        self._note(row)
        return Instance.from_row(row)

    def renew(self, id: str) -> Instance:  # noqa: A002 - the contract's word
        """Give a lease of this node its whole time anew."""
        return Instance.from_row(self._pool.ask(calls.renew(id)))

    def deregister(self, id: str, cause: str | None = None) -> Instance:  # noqa: A002
        """End an instance of this node; return it as it was. Raises NoInstance, Refused.

        `cause`: `exit:CODE` or `exit:SIGNAL`, from the wrapper of its process alone.
        """
        row = self._pool.ask(calls.deregister(id, cause=cause))
        if self._kept is not None and (held := self._kept.find((row[0], row[1]))) is not None:
            self._kept.drop(held)
        return Instance.from_row(row)

    # -- the mesh ----------------------------------------------------------------------------------

    def join(self, addresses: Iterable[str]) -> Jsons:
        """Let the agent greet other agents; return `{"address", "ok", "error", "code"}` of each."""
        return self._pool.ask(calls.join(words(addresses, "addresses"), wait_ms=self._wait_ms()))

    def leave(self) -> None:
        """Let this node leave the cluster, with all its instances, and its agent end."""
        self._pool.ask(calls.leave())

    # -- for handles -------------------------------------------------------------------------------

    @property
    def _keeper(self) -> "Keeper":
        """Return what holds the registrations; made with the first one."""
        from discoagent.client.keeper import Keeper

        with self._lock:
            if self._kept is None:
                self._kept = Keeper(self._pool.path, self.timeout)
                if self._over:
                    self._kept.close()
            return self._kept

    def change(self, held: "Held", call: Call[Row]) -> None:
        """Say `update` or `renew` for a registration; used by `Registration`."""
        self._pool.check()
        if held.ended is not None:
            raise held.ended
        if held.closing:
            raise NoInstance(f"{held.name} was closed")
        with self._keeper.speaking_for(held, self.timeout), self._pool.connection() as connection:
            asked = time.monotonic()
            outcome = self._told(connection, held) or connection.ask(call, self.timeout)
        held.row = outcome.result()
        if call.operation == "renew":
            held.renewed = asked
        elif address := call.arguments.get("address"):
            held.spec = replaced(held.spec, address=address)

    def end(self, held: "Held") -> None:
        """Deregister a registration; used by `Registration`."""
        if held.over or held.closing or self._pool.closed or not self._pool.ours:
            return
        with self._keeper.speaking_for(held, self.timeout):
            try:
                self._pool.ask(calls.deregister(held.name))
            except NoInstance:
                pass
            except (AgentUnavailable, TimeoutExpired):
                if self._keeper.close_later(held):
                    return
                raise
            self._keeper.drop(held)

    def _told(self, connection: Connection, held: "Held") -> Outcome | None:
        """Tell an agent that was just restarted of a registration; return its failure, if any."""
        incarnation = connection.greeting(self.timeout).incarnation
        if held.said_to != incarnation:
            outcome = connection.ask(held.again(), self.timeout)
            if outcome.error is not None:
                return outcome
            held.row, held.said_to = outcome.value, incarnation
        return None

    def _register(self, specs: Iterable[Spec], *, hold: bool) -> Registered:
        from discoagent.client.held import Held
        from discoagent.client.keeper import succeed
        from discoagent.client.registration import Registration

        specs = list(specs)
        results: Registered = []
        made: list[Held] = []
        with self._pool.connection() as connection:
            asked = time.monotonic()
            said_to = connection.greeting(self.timeout).incarnation
            outcomes = connection.exchange(map(_call, specs), self.timeout)
            for spec, outcome in zip(specs, outcomes, strict=True):
                if outcome.error is not None:
                    results.append(outcome.error)
                else:
                    made.append(Held(spec, outcome.value, said_to, asked))
                    results.append(Registration(self, made[-1]))
            if hold and made:
                self._keeper.hold(connection.path, made)
            else:
                for held in made:
                    succeed(connection.path, held)
        if results and results[0] is connection.broken:
            raise results[0]
        return results

    def _note(self, row: Row) -> None:
        """Keep a change that was asked for by id, to say it again with the registration."""
        if self._kept is not None and (held := self._kept.find((row[0], row[1]))) is not None:
            held.row = row

    def _wait_ms(self) -> int:
        return int(self.timeout * WAIT_SHARE * 1000)


def _call(spec: Spec) -> Call[Row] | DiscoError:
    try:
        return calls.register(spec)
    except DiscoError as error:
        return error


def _rank(instance: Instance) -> int:
    state = instance.state
    return STATES_BY_WORTH.index(state) if state in STATES_BY_WORTH else len(STATES_BY_WORTH)
