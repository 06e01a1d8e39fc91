"""How a client registers, and what its handles say for it."""

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from discoagent.checks import Check
from discoagent.client import calls
from discoagent.client.base import Base
from discoagent.client.calls import FOR_EVER_MS, Spec, words
from discoagent.client.connection import Connection, Outcome
from discoagent.client.lasting import Lasting, Row, milliseconds
from discoagent.client.session import Call
from discoagent.errors import (
    AgentUnavailable,
    DiscoError,
    InvalidRequest,
    NoInstance,
    TimeoutExpired,
)
from discoagent.instance import NO_META, Instance, Json

if TYPE_CHECKING:  # loaded when used
    from discoagent.client.held import Held
    from discoagent.client.keeper import Keeper
    from discoagent.client.registration import Registration

Registered = list["Registration | DiscoError"]
RENEWING = frozenset({"renew", "retrack"})  # operations that give a lease its whole time


class Registering(Base):
    """All that changes registrations of this node."""

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
        check: Check | Iterable[Check] | None = None,
        verify: bool = False,
        wrapper: int | None = None,
        hold: bool = True,
        wait_seen: str | int | None = None,
        wait_timeout: float | None = None,
    ) -> "Registration":
        """Register an instance of the service `name`, which lives as long as this process.

        `pid`: as long as that process. `ttl`: a lease ("10s"), renewed in the background. `static`:
        until it is deregistered. `replace`: take the id from another owner of the same user.
        `check`: what the agent checks of it; it is `pending` until all have passed. `verify`: only
        if the process listens on `port`; it is `pending` while it listens on nothing yet.
        `wrapper`: this process's own pid, if it will tell how `pid` ended.

        `hold`: say it again when the agent was restarted, renew its lease, and deregister it with
        `close` of this client (but for `static` and the `pid` of another). False: all that is left
        to the caller.

        `wait_seen`: return once "all" other nodes, or so many, have seen it, but after at most
        `wait_timeout` seconds; who has is in the registration's `seen`, which see.

        Raises Conflict if somebody else who lives has the id; Refused; InvalidRequest, which names
        the field.
        """
        spec = Spec(
            name,
            port,
            address,
            id,
            words(tags, "tags"),
            meta,
            replace,
            calls.checks(check),
            verify,
            pid=pid,
            ttl=ttl,
            static=static,
            wrapper=wrapper,
        )
        if wait_seen is not None:
            how_many(wait_seen)
        (registered,) = self._register([spec], hold=hold)
        if isinstance(registered, DiscoError):
            raise registered
        if wait_seen is not None:
            registered.seen = self.wait_seen(wait_seen, wait_timeout)
        return registered

    def may_register(self, spec: Spec) -> None:
        """Raise what `register` would raise, and register nothing.

        For a process that is still to begin: as if it were this one.
        """
        self._pool.ask(calls.may_register(spec))

    def wait_seen(self, nodes: str | int = "all", timeout: float | None = None) -> Json:
        """Wait until other nodes have seen all that this one has changed until now.

        Returns `{"seen": [{"node", "ms"}], "missing": [node], "slowest": {"node", "ms"} or None}`.
        `nodes`: "all" that are there, or how many; if there are fewer, it returns at once.
        `timeout`: seconds; what was seen until then is returned. None: as long as it takes.
        """
        wait_ms = seeing_ms(timeout)
        call = calls.seen(how_many(nodes), wait_ms=wait_ms)
        return self._pool.ask(call, wait_ms / 1000 + self.timeout)

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
        check: Check | Iterable[Check] | None = None,
    ) -> Instance:
        """Change what is named of an instance of this node; return it as it is then.

        `check`: all that is checked from now on; none of it with [].
        """
        call = calls.update(
            id,
            port=port,
            address=address,
            tag=tag,
            untag=untag,
            set=set,
            unset=unset,
            check=check,
        )
        row = self._pool.ask(call)
        self._note((row[0], row[1]), row)
        return Instance.from_row(row)

    def renew(self, id: str) -> Instance:  # noqa: A002 - the contract's word
        """Give a lease of this node its whole time anew."""
        return Instance.from_row(self._pool.ask(calls.renew(id)))

    def deregister(self, id: str, cause: str | None = None) -> Instance:  # noqa: A002
        """End an instance of this node; return it as it was. Raises NoInstance, Refused.

        `cause`: `exit:CODE` or `exit:SIGNAL`, from the wrapper of its process alone. If the agent
        is away, AgentUnavailable is raised; what this client holds is ended when it is back.
        """
        try:
            row = self._pool.ask(calls.deregister(id, cause=cause))
        except (AgentUnavailable, TimeoutExpired):
            self._end_later(id)
            raise
        self._forget((row[0], row[1]))
        return Instance.from_row(row)

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
        held.spec = held.spec.changed(call)
        if call.operation in RENEWING:
            held.renewed = asked

    def end(self, held: "Held") -> None:
        """Deregister a registration; used by `Registration`."""
        if held.over or held.closing or self._pool.closed or not self._pool.ours:
            return
        try:
            with self._keeper.speaking_for(held, self.timeout):
                self._pool.ask(held.ending())
        except NoInstance:
            pass
        except (AgentUnavailable, TimeoutExpired):
            if self._keeper.close_later(held):
                return
            raise
        self._keeper.drop(held)

    def _end_later(self, name: str) -> None:
        """End what is held under this name once the agent is back."""
        from discoagent import rules

        target = rules.target(name, "id")
        if self._kept is not None:
            held = self._kept.instance(target.service, target.id)
            if held is not None:
                self._kept.close_later(held)

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
        from discoagent.client.registration import Registration

        return [
            made if isinstance(made, DiscoError) else Registration(self, made)
            for made in self._make(specs, hold=hold)
        ]

    def _make(self, specs: Iterable[Lasting], *, hold: bool) -> "list[Held | DiscoError]":
        """Have all these made; return each, or its error, in their order."""
        from discoagent.client.held import Held
        from discoagent.client.keeper import succeed

        specs = list(specs)
        results: list[Held | DiscoError] = []
        made: list[Held] = []
        with self._pool.connection() as connection:
            asked = time.monotonic()
            said_to = connection.greeting(self.timeout).incarnation
            outcomes = connection.exchange(map(making, specs), self.timeout)
            for spec, outcome in zip(specs, outcomes, strict=True):
                if outcome.error is not None:
                    results.append(outcome.error)
                else:
                    made.append(Held(spec, outcome.value, said_to, asked))
                    results.append(made[-1])
            if hold and made:
                self._keeper.hold(connection.path, made)
            else:
                for held in made:
                    succeed(connection.path, held)
        if results and results[0] is connection.broken:
            raise connection.broken
        return results

    def _note(self, key: tuple[str, ...], row: Row) -> None:
        """Keep a change that was asked for by name, to say it again with what is held."""
        if self._kept is not None and (held := self._kept.find(key)) is not None:
            held.row = row

    def _forget(self, key: tuple[str, ...]) -> None:
        """Hold what was ended by name no longer."""
        if self._kept is not None and (held := self._kept.find(key)) is not None:
            self._kept.drop(held)


def seeing_ms(timeout: float | None) -> int:
    """Return how long the nodes have to see it, in milliseconds."""
    seconds = FOR_EVER_MS / 1000 if timeout is None else min(timeout, FOR_EVER_MS / 1000)
    return milliseconds(max(seconds, 0.0), "timeout")


def how_many(nodes: str | int) -> int | None:
    """Return how many nodes must have seen it; None: all."""
    if nodes == "all":
        return None
    if type(nodes) is not int or nodes < 1:
        raise InvalidRequest(
            f'wait_seen: must be "all" or a number of nodes, not {nodes!r}', field="wait_seen"
        )
    return nodes


def making(spec: Lasting) -> Call[Row] | DiscoError:
    """Return what makes it, or what speaks against it."""
    try:
        return spec.making()
    except DiscoError as error:
        return error
