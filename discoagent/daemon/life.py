"""One life of the agent: one replica, one transport, one local socket, and what drives them.

A *turn* is one round of the loop: everything that arrived is handled, then what changed is pushed
to the peers in one go. What the replica asks for is run here and logged once.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import asdict, replace
from typing import Any

from discoagent import __version__
from discoagent.core.effects import Effect, Emit
from discoagent.core.entry import Cause, CauseWord, Key, MemberRecord, ReplicaId
from discoagent.core.messages import Envelope, Heartbeat, Parting
from discoagent.core.replica import Replica
from discoagent.core.timing import TICK
from discoagent.daemon.config import Config
from discoagent.daemon.runner import Runner
from discoagent.endpoints import Endpoint
from discoagent.ipc import LocalSocket
from discoagent.local.door import Door
from discoagent.local.entries.own import Own
from discoagent.local.entries.restoring import restore
from discoagent.local.entries.service_files import Reloads
from discoagent.local.events.chronicle import Chronicle
from discoagent.local.host import owners
from discoagent.local.host.clock import Clock
from discoagent.local.host.privileges import Privileges
from discoagent.local.operator.about import About
from discoagent.local.operator.operator import Operator
from discoagent.local.peers import shapes
from discoagent.local.peers.effect_log import EffectLog
from discoagent.local.peers.finding import Finding
from discoagent.local.peers.seeds import JoinOutcome
from discoagent.local.peers.seeing import Seeing
from discoagent.local.requests import operations
from discoagent.local.requests.queries import Queries
from discoagent.local.turns import Turns
from discoagent.mesh.dialling import dial
from discoagent.mesh.transport import Transport
from discoagent.rules import WAIT_MS_MAX
from discoagent.sockets import daemon_path
from discoagent.store import Recalled, Store

TICK_MIN = 0.01

_log = logging.getLogger("discoagent")


class Life:
    """All that belongs to one incarnation. `ended`: None, or the incarnation that outranks it."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        incarnation: int,
        *,
        bind: Endpoint,
        host: str,
        store: Store,
        former: Recalled,
        reload: Reloads,
    ) -> None:
        """Take the local socket and the ports; `host` is where peers reach this one.

        `former` is what the life before left. Raises DiscoError if something cannot be had.
        """
        self._config = config
        self._store = store
        self._former = former
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.now = clock.now
        self.privileges = Privileges(os.geteuid(), config.policy)
        self.ended: asyncio.Future[int | None] = self._loop.create_future()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended_before: dict[Key, Cause] = {}
        self._effect_log = EffectLog(self.now)
        self._received: Counter[str] = Counter()
        self._id = ReplicaId(config.node, incarnation)
        self._socket = self._open_socket()
        try:
            self._transport = self._open_transport(bind)
        except BaseException:
            self._socket.close()
            raise
        self.bound = self._transport.bound
        self._boot = owners.boot_id()
        self._replica = self._new_replica(host)
        self._queries = Queries(self._replica)
        self._finding = Finding(
            loop=self._loop,
            replica=self._replica,
            former=former.peers,
            perform=self._perform,
            now=self.now,
            ready_line=f"ready node={config.node} socket={self._socket.path} bind={self.bound}",
            caught_up=lambda: self._chronicle.caught_up(),  # noqa: PLW0108 - it comes later
        )
        self.about = self._describe()
        self.own = self._new_own(reload)
        self._chronicle = Chronicle(
            loop=self._loop,
            replica=self._replica,
            queries=self._queries,
            lifetimes=self.own.lifetimes,
            send=self._socket.send,
            store=store,
            former=former,
            wall_ms=clock.wall_ms,
            days=config.history.days,
        )
        self.keeping, self._watches = self._chronicle.keeping, self._chronicle.watches
        self._finding.readiness.wait(WAIT_MS_MAX, self._chronicle.begin)  # before any query
        self._operator = Operator(
            loop=self._loop,
            privileges=self.privileges,
            replica=self._replica,
            about=self.about,
            store=store,
            send_here=self._socket.send,
            send_peers=self._transport.send,
            spawn=self._spawn,
            perform=self._perform,
            clock=clock,
            settings=lambda: asdict(self._config),
            service_problems=lambda: self.own.services.problems,
        )
        self._seeing = Seeing(
            loop=self._loop, replica=self._replica, perform=self._perform, now=self.now
        )
        self._runner = Runner(
            transport=self._transport,
            finding=self._finding,
            log=self._effect_log,
            publish=self._chronicle.tell,
            dial=lambda endpoint: self._spawn(self._dial(endpoint)),
            examiner=self._operator.examiner,
            seen=self._seeing.answered,
            ended=self.ended,
        )
        self._turns = Turns(
            loop=self._loop,
            keeping=self.keeping,
            flush=lambda: self._replica.flush(self.now()),
            run=self._runner.run,
            send=self._socket.send,
            at_end=self._finding.look,
        )
        self._door = self._open_door()
        for part in (self._operator, self.own, self._chronicle.recollection):
            self._door.add(part.handlers(self._door))

    def _open_socket(self) -> LocalSocket:
        return LocalSocket(
            daemon_path(self._config.socket),
            mode=self._config.socket_mode,
            group=self._config.socket_group,
            take=lambda *what: self._door.take(*what),  # noqa: PLW0108 - it comes later
            on_gone=self._drop_watches,
        )

    def _drop_watches(self, name: bytes) -> None:
        self._watches.drop(name)
        self._operator.monitors.drop(name)

    def _open_transport(self, bind: Endpoint) -> Transport:
        return Transport(
            replica=self._id,
            cluster=self._config.cluster,
            bind=str(bind),
            on_envelope=self._receive,
            on_link=self._on_link,
            on_nonsense=lambda *what: self._runner.nonsense(*what),  # noqa: PLW0108 - comes later
            wall_ms=self._clock.wall_ms,
            check=shapes.check,
        )

    def _new_replica(self, host: str) -> Replica:
        at = self._config.advertise or str(Endpoint(host, self.bound.port))
        return Replica(
            node=self._id.node,
            incarnation=self._id.incarnation,
            cluster=self._config.cluster,
            record=MemberRecord(at, __version__, labels=dict(self._config.labels), boot=self._boot),
            timing=self._config.timing,
            now=self.now(),
        )

    def _new_own(self, reload: Reloads) -> Own:
        return Own(
            loop=self._loop,
            replica=self._replica,
            queries=self._queries,
            perform=self._perform,
            now=self.now,
            wall_ms=self._clock.wall_ms,
            uid=os.geteuid(),
            privileges=self.privileges,
            boot=self._boot,
            socket=self._socket.path,
            services_dir=self._config.services_dir,
            reload=reload,
        )

    def _describe(self) -> About:
        return About(
            replica=self._replica,
            queries=self._queries,
            readiness=self._finding.readiness,
            bound=str(self.bound),
            socket=self._socket.path,
            counters={
                "local": self._socket.counters,
                "mesh": self._transport.counters,
                "received": self._received,
                "replica": self._replica.counters,
            },
            now=self.now,
            wall_ms=self._clock.wall_ms,
        )

    def _open_door(self) -> Door:
        return Door(
            house=self,
            answer=self._socket.answer,
            answer_change=self._turns.answer,
            send=self._socket.send,
            later=self._loop.call_soon,
            readiness=self._finding.readiness,
            queries=self._queries,
            registrar=self.own.registrar,
            tracker=self.own.tracker,
            watches=self._watches,
            monitors=self._operator.monitors,
            seeing=self._seeing,
        )

    def start(self) -> None:
        """Begin to live: answer applications, beat, look for the others."""
        self._loop.set_exception_handler(self._fail)
        self._restore()
        self._transport.start()
        self._socket.start()
        self._finding.use(self._config.join)
        self._spawn(self._finding.run())
        self._tick()

    def _restore(self) -> None:
        """Take over what the former life left, before anybody is spoken to."""
        restored = restore(
            self._former.entries,
            replica=self._replica,
            lifetimes=self.own.lifetimes,
            revive=self.own.revive,
            now=self.now(),
            wall_ms=self._clock.wall_ms(),
        )
        self._chronicle.open(restored.kept)
        self._runner.run(Emit(event) for event in restored.events)
        removed = self.own.services.apply().removed
        reason = Cause(CauseWord.RELOAD, b"", self._clock.wall_ms())
        self._ended_before = {**restored.ended, **dict.fromkeys(removed, reason)}
        if self._former.good:
            self._settle()
        else:
            self._later("settle", self._config.timing.settle_after, self._settle)

    def legacy(self) -> Recalled:
        """Return what the next life takes over; before `close`."""
        own = self._replica.own
        good = own.record is not None and own.record.settled
        entries, lives = self.keeping.rows(own), self._chronicle.lives()
        return replace(self._former, entries=entries, good=good, lives=lives)

    def store_returned(self) -> None:
        """Take in that the store can be written again: it knows nothing of what happened since."""
        self._chronicle.write_anew()
        self._turns.begin()

    def close(self) -> None:
        """Let go of everything; who listens is sent the last words that were queued."""
        for timer in self._timers.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._chronicle.close()
        self._turns.close()
        self._finding.close()
        self.own.close()
        self._seeing.close()
        self._operator.monitors.close()
        self._transport.close()
        self._socket.close()
        self._loop.set_exception_handler(None)

    # -- the end

    def stop(self, parting: Parting) -> None:
        """Say farewell to the peers, then end this life. Again: no effect."""
        if self.ended.done():
            return
        word = CauseWord.NODE_LEFT if parting is Parting.LEAVE else CauseWord.UPDATED
        cause = Cause(word, b"", self._clock.wall_ms())
        self.keeping.release()
        if parting is Parting.LEAVE:
            self.keeping.leave(self._replica.own)
        self._runner.run(self._replica.depart(parting, cause, self.now()))
        _log.info("left the cluster" if parting is Parting.LEAVE else "stopped")
        self.ended.set_result(None)

    def leave(self) -> None:
        """Depart for good, because an operator says so."""
        self.stop(Parting.LEAVE)

    def _fail(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End with what a callback raised: a broken promise is not lived with."""
        error = context.get("exception") or RuntimeError(context.get("message"))
        if self.ended.done():
            _log.error("while ending: %s", context.get("message"), exc_info=error)
        else:
            self.ended.set_exception(error)

    # -- turns

    def _perform(self, effects: Iterable[Effect]) -> None:
        """Run what the replica asks for; the push follows at the end of the turn."""
        self._runner.run(effects)
        self._turns.begin()

    def _receive(self, envelope: Envelope) -> None:
        self._received[type(envelope.message).__name__] += 1
        if self._operator.examiner.takes(envelope):
            return
        effects = self._replica.receive(envelope, self.now())
        if effects or type(envelope.message) is not Heartbeat:  # nearly all of these tell no news
            self._perform(effects)

    def _tick(self) -> None:
        """Look at the heartbeats that came, then at the time."""
        self._transport.drain_heartbeats()
        self._socket.keep_reachable()
        if (effects := self._replica.tick(self.now())) or self._replica.unpushed:
            self._perform(effects)
        self._chronicle.look()
        if self._runner.peers_moved:
            self._runner.peers_moved = False
            self.keeping.know(self._replica.members(self.now()), self._id.node)
        self._later("tick", min(max(self._replica.deadline(), TICK_MIN), TICK), self._tick)

    def _later(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        self._timers[name] = self._loop.call_later(seconds, then)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- what is said of ourselves

    def _settle(self) -> None:
        """Say that whoever held a registration through our restart has said it again by now."""
        self.own.registrar.settle()
        cause = Cause(CauseWord.UPDATED, b"", self._clock.wall_ms())
        self._perform(self._replica.settle(cause, self.now(), self._ended_before))

    def reconfigure(self, config: Config) -> None:
        """Take over labels, seeds and policy."""
        self._config = config
        self.privileges.policy = config.policy
        self._finding.use(config.join)
        record = self._replica.own.record
        if record is not None:
            cause = Cause(CauseWord.UPDATED, b"", self._clock.wall_ms())
            changed = replace(record, labels=dict(config.labels))
            self._perform(self._replica.update_record(changed, cause, self.now()))

    # -- the mesh

    def _on_link(self, endpoint: str, up: bool) -> None:  # noqa: FBT001 - the transport's shape
        _log.debug("= %s is %s", endpoint, "connected" if up else "disconnected")
        if not up and not self.ended.done():
            # What the peer said before its end is dated before what the end gives rise to.
            self._transport.drain_heartbeats()
            self._perform(self._replica.link_down(endpoint, self.now()))

    async def _dial(self, endpoint: str) -> None:
        outcome = await dial(endpoint)
        if not self.ended.done():
            self._perform(self._replica.dialled(endpoint, outcome, self.now()))

    def join(self, call: operations.Join, answer: Callable[[JoinOutcome], None]) -> None:
        """Greet these nodes and answer once it is known what came of it."""
        self._spawn(self._finding.join(call, answer))
