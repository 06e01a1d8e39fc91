"""The door of the local socket: each request is read, done or refused, and answered."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol

from discoagent import api
from discoagent.errors import DiscoError
from discoagent.local.entries.registrar import Registrar
from discoagent.local.entries.tracker import Tracker
from discoagent.local.events.resuming import Wish
from discoagent.local.events.watches import Watches
from discoagent.local.host.owners import Asker
from discoagent.local.host.privileges import Privileges
from discoagent.local.operator.about import About
from discoagent.local.operator.monitors import Monitors
from discoagent.local.peers.seeds import JoinOutcome
from discoagent.local.peers.seeing import Question, Seeing
from discoagent.local.requests import operations, presence_operations
from discoagent.local.requests.desk import Caller
from discoagent.local.requests.parsing import parse_call
from discoagent.local.requests.queries import Queries, Row, Scope, paged, pages_of, row_of
from discoagent.local.requests.readiness import Readiness

ASKERS_KEPT = 4_096

_log = logging.getLogger("discoagent")


class House(Protocol):
    """What the door asks of the agent itself."""

    privileges: Privileges
    about: About
    now: Callable[[], float]

    def join(self, call: operations.Join, answer: Callable[[JoinOutcome], None]) -> None:
        """Greet these nodes and answer once it is known what came of it."""

    def leave(self) -> None:
        """Depart; the agent ends after this turn."""


class Door:
    """Takes requests from the local socket and sends their answers."""

    def __init__(
        self,
        *,
        house: House,
        answer: Callable[[bytes, bytes], None],
        answer_change: Callable[[bytes, bytes], None],
        send: Callable[[bytes, bytes], bool],
        later: Callable[[Callable[[], None]], object],
        readiness: Readiness,
        queries: Queries,
        registrar: Registrar,
        tracker: Tracker,
        watches: Watches,
        monitors: Monitors,
        seeing: Seeing,
    ) -> None:
        """`answer` sends with the others of this turn; `send` at once, and says whether to anybody.

        `answer_change` sends once it is sure that the change is not forgotten; `later` calls back
        in another turn.
        """
        self._house = house
        self._last = answer
        self._last_of_change = answer_change
        self._send = send
        self._later = later
        self._readiness = readiness
        self._queries = queries
        self._registrar = registrar
        self._tracker = tracker
        self._watches = watches
        self._monitors = monitors
        self._seeing = seeing
        self._askers: dict[str, Asker] = {}
        self._done: dict[type, Callable[[Caller, Any], None]] = {
            operations.Hello: self._hello,
            operations.List: self._list,
            operations.Get: self._get,
            operations.Services: self._services,
            operations.Members: self._members,
            operations.StatusOf: self._status,
            operations.Ping: self._ping,
            operations.Register: self._register,
            operations.Update: self._update,
            operations.Renew: self._renew,
            operations.Ttl: self._ttl,
            operations.Deregister: self._deregister,
            presence_operations.Presence: self._presence,
            presence_operations.Topics: self._topics,
            presence_operations.Track: self._track,
            presence_operations.Retrack: self._retrack,
            presence_operations.Untrack: self._untrack,
            operations.Watch: self._watch,
            operations.Seen: self._seen,
            operations.Converged: self._converged,
            operations.Cancel: self._cancel,
            operations.More: self._more,
            operations.Join: self._join,
            operations.Leave: self._leave,
        }

    def add(self, handlers: Mapping[type, Callable[[Caller, Any], None]]) -> None:
        """Do more operations, by who knows how."""
        self._done.update(handlers)

    def take(self, name: bytes, peer: str, frame: "bytes | memoryview") -> None:
        """Read one request, do what it asks, answer it or say why not."""
        try:
            request = api.read_request(frame)
        except api.Malformed as error:
            self._last(name, api.failed(error.number, error))
            return
        caller = Caller(name, request.number, self._asker(peer))
        try:
            call = parse_call(request.operation, request.arguments)
            self._done[type(call)](caller, call)
        except Exception as error:  # noqa: BLE001 - one request must not end the agent
            self.fail(caller, error)

    def _asker(self, peer: str) -> Asker:
        asker = self._askers.get(peer)
        if asker is None:
            if len(self._askers) >= ASKERS_KEPT:
                self._askers.clear()
            asker = self._askers[peer] = Asker.from_peer_address(peer)
        return asker

    def fail(self, caller: Caller, error: Exception) -> None:
        """Answer with an error; a broken promise of ours is none, it ends the agent."""
        if isinstance(error, AssertionError):
            raise error
        if not isinstance(error, DiscoError):
            _log.error("internal error in a request of pid %s", caller.asker.pid, exc_info=error)
            error = DiscoError(f"internal error of the agent: {error!r}")
        self._last(caller.name, api.failed(caller.number, error))

    def answer(self, caller: Caller, body: Any) -> None:
        """Give the last answer to a request."""
        self._last(caller.name, api.done(caller.number, body))

    def answer_change(self, caller: Caller, body: Any) -> None:
        """Give the last answer once it is sure that the change is not forgotten."""
        self._last_of_change(caller.name, api.done(caller.number, body))

    def when_ready(self, caller: Caller, wait_ms: int, then: Callable[[], None]) -> None:
        """Let a query wait for readiness; what it raises is its answer, whenever it runs."""
        self._readiness.wait(wait_ms, partial(self._attempt, caller, then))

    def _attempt(self, caller: Caller, then: Callable[[], None]) -> None:
        try:
            then()
        except Exception as error:  # noqa: BLE001 - as in `take`
            self.fail(caller, error)

    def quality(self) -> dict[str, Any]:
        """Return how far an answer given now can be relied on: a part of every query's result."""
        stale_ms = self._queries.stale_ms(self._house.now())
        stale = {} if stale_ms is None else {"stale_ms": stale_ms}
        return {"partial": not self._readiness.ready, **stale}

    # -- queries

    def _hello(self, caller: Caller, _: operations.Hello) -> None:
        self.answer(caller, self._house.about.hello())

    def _ping(self, caller: Caller, _: operations.Ping) -> None:
        self.answer(caller, {"node": self._house.about.hello()["node"]})

    def _status(self, caller: Caller, call: operations.StatusOf) -> None:
        self.when_ready(
            caller, call.ready_ms, lambda: self.answer(caller, self._house.about.status())
        )

    def _list(self, caller: Caller, call: operations.List) -> None:
        self.when_ready(
            caller,
            call.wait_ms,
            lambda: self.pages(caller, pages_of(self._queries.rows(call), call), self.quality()),
        )

    def pages(self, caller: Caller, pages: Iterator[list[Row]], last: dict[str, Any]) -> None:
        """Send one page a turn, so that a long list holds nobody up; stop if nobody is there."""
        page = next(pages, None)
        if page is None:
            self.answer(caller, last)
        elif not page:
            self._later(partial(self.pages, caller, pages, last))
        elif self._send(caller.name, api.more(caller.number, page)):
            if len(page) < api.LIST_PAGE_ROWS // 10:
                self.pages(caller, pages, last)
            else:
                self._later(partial(self.pages, caller, pages, last))

    def _get(self, caller: Caller, call: operations.Get) -> None:
        def answer() -> None:
            shown = self._queries.resolve(call.id)
            row = row_of(shown.node, shown.entry, shown.overlay)
            known = self._registrar.known_of_checks(shown)
            self.answer(caller, {"row": row, "checks": known, **self.quality()})

        self.when_ready(caller, call.wait_ms, answer)

    def _services(self, caller: Caller, call: operations.Services) -> None:
        def answer() -> None:
            services = self._queries.services()
            self.answer(caller, {"services": services, **self.quality()})

        self.when_ready(caller, call.wait_ms, answer)

    def _members(self, caller: Caller, call: operations.Members) -> None:
        def answer() -> None:
            members = self._queries.members(self._house.now())
            self.answer(caller, {"members": members, **self.quality()})

        self.when_ready(caller, call.wait_ms, answer)

    def _presence(self, caller: Caller, call: presence_operations.Presence) -> None:
        self.when_ready(
            caller,
            call.wait_ms,
            lambda: self.pages(caller, paged(self._queries.metas(call.topic)), self.quality()),
        )

    def _topics(self, caller: Caller, call: presence_operations.Topics) -> None:
        def answer() -> None:
            topics = self._queries.topics()
            self.answer(caller, {"topics": topics, **self.quality()})

        self.when_ready(caller, call.wait_ms, answer)

    # -- changes

    def _register(self, caller: Caller, call: operations.Register) -> None:
        if call.dry_run:
            self._registrar.rehearse(call, caller.asker)
            self.answer(caller, {})
            return

        def register() -> None:
            self._answer_made(caller, call, *self._registrar.register(call, caller.asker))

        if not self._registrar.waits(call, caller.asker, partial(self._attempt, caller, register)):
            register()

    def _track(self, caller: Caller, call: presence_operations.Track) -> None:
        self._answer_made(caller, call, *self._tracker.track(call, caller.asker))

    def _answer_made(
        self,
        caller: Caller,
        call: operations.Register | presence_operations.Track,
        row: Row,
        adopted: bool,  # noqa: FBT001 - as the registrar and the tracker give it
    ) -> None:
        # Who registers itself, or wraps a process, says it again should it be forgotten: no need
        # to wait; and an answer that waits is one that a killed agent never gives.
        itself = call.lifetime.kind == "process" and call.lifetime.pid in (None, caller.asker.pid)
        again = itself or call.wrapper is not None
        answer = self.answer if again else self.answer_change
        answer(caller, {"row": row, "adopted": adopted})

    def _update(self, caller: Caller, call: operations.Update) -> None:
        self.answer_change(caller, {"row": self._registrar.update(call, caller.asker)})

    def _renew(self, caller: Caller, call: operations.Renew) -> None:
        self.answer(caller, {"row": self._registrar.renew(call, caller.asker)})

    def _ttl(self, caller: Caller, call: operations.Ttl) -> None:
        self.answer_change(caller, {"row": self._registrar.ttl(call, caller.asker)})

    def _deregister(self, caller: Caller, call: operations.Deregister) -> None:
        self.answer_change(caller, {"row": self._registrar.deregister(call, caller.asker)})

    def _retrack(self, caller: Caller, call: presence_operations.Retrack) -> None:
        row = self._tracker.retrack(call, caller.asker)
        answer = self.answer if call.meta is None else self.answer_change
        answer(caller, {"row": row})

    def _untrack(self, caller: Caller, call: presence_operations.Untrack) -> None:
        self.answer_change(caller, {"row": self._tracker.untrack(call, caller.asker)})

    # -- watches

    def _watch(self, caller: Caller, call: operations.Watch) -> None:
        services, topics = (
            None if names is None else frozenset(names) for names in (call.services, call.topics)
        )
        scope = Scope(services, topics, call.filter)
        watch = self._watches.open(caller.name, caller.number, scope, marked=call.caught_up)

        def begin() -> None:
            if call.token is None:
                self._watches.begin(watch)
            else:
                steps = call.caught_up and not call.kept  # who watches over restarts
                wish = Wish(call.token, scope, call.seen, call.kept, steps)
                self._watches.go_on(watch, wish)

        self.when_ready(caller, call.wait_ms, begin)

    def _cancel(self, caller: Caller, call: operations.Cancel) -> None:
        self._watches.cancel(caller.name, call.watch)
        self._monitors.cancel(caller.name, call.watch)
        self.answer(caller, {})

    def _more(self, caller: Caller, call: operations.More) -> None:
        self._watches.more(caller.name, call.watch, call.batches)

    # -- what the peers have seen

    def _seen(self, caller: Caller, call: operations.Seen) -> None:
        def answer(found: Question) -> None:
            seen = [[node, took * 1000] for node, took in sorted(found.seen.items())]
            self.answer(caller, {"seen": seen, "missing": found.missing})

        self._seeing.ask_own(call.nodes, call.wait_ms / 1000, self._waits(caller), answer)

    def _converged(self, caller: Caller, call: operations.Converged) -> None:
        def answer(found: Question) -> None:
            nodes = [[node, *found.standing(node)] for node in sorted(found.here)]
            self.answer(caller, {"nodes": nodes, **self.quality()})

        self._seeing.ask_all(call.wait_ms / 1000, self._waits(caller), answer)

    def _waits(self, caller: Caller) -> Callable[[], bool]:
        """Return what finds out, by an empty part of its answer, if a caller is still there."""
        return lambda: self._send(caller.name, api.more(caller.number, []))

    # -- the node

    def _join(self, caller: Caller, call: operations.Join) -> None:
        self._house.privileges.check_operator(caller.asker, "join")

        def answer(outcome: JoinOutcome) -> None:
            if isinstance(outcome, DiscoError):
                self.fail(caller, outcome)
            else:
                self.answer(caller, {"results": outcome})

        self._house.join(call, answer)

    def _leave(self, caller: Caller, _: operations.Leave) -> None:
        self._house.privileges.check_operator(caller.asker, "leave")
        self._house.leave()
        self.answer(caller, {})
