"""One life of the agent: one replica, one transport, one local socket, and what drives them.

A *turn* is one round of the loop: everything that arrived is handled, then what changed is pushed
to the peers in one go. What the replica asks for is run here and logged once.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any, assert_never

from discoagent import __version__
from discoagent.clock import Clock
from discoagent.config import Config
from discoagent.core.effects import (
    Answer,
    Broadcast,
    Connect,
    Dial,
    Disconnect,
    Effect,
    Emit,
    Greeted,
    Namesake,
    Outranked,
    Redial,
    Refused,
    SeenBy,
    Send,
    StateChanged,
)
from discoagent.core.entry import Cause, CauseWord, MemberRecord, ReplicaId
from discoagent.core.messages import Envelope, Parting
from discoagent.core.replica import Replica
from discoagent.core.timing import TICK
from discoagent.dialling import dial
from discoagent.endpoints import Endpoint, parse
from discoagent.errors import Conflict, DiscoError
from discoagent.ipc import LocalSocket
from discoagent.local import operations, owners
from discoagent.local.about import About
from discoagent.local.door import Door, JoinOutcome
from discoagent.local.effect_log import EffectLog
from discoagent.local.lifetimes import Lifetimes
from discoagent.local.queries import HERE, Queries
from discoagent.local.readiness import ALONE_AFTER, Readiness
from discoagent.local.registrar import Registrar
from discoagent.local.seeds import Joins, Seeds
from discoagent.local.watches import Watches
from discoagent.sockets import daemon_path
from discoagent.transport import Transport
from discoagent.wire import WireError

PUSH_SHARE = 10  # a push may take one part in so many of the loop's time
TICK_MIN = 0.01

_log = logging.getLogger("discoagent")


class Life:
    """All that belongs to one incarnation. `ended`: None, or the incarnation that outranks it."""

    def __init__(
        self, config: Config, clock: Clock, incarnation: int, bind: Endpoint, host: str
    ) -> None:
        """Take the local socket and the ports; `host` is where peers reach this one.

        Raises DiscoError if one cannot be had.
        """
        self._config = config
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._began = clock.now()
        self.now = clock.now
        self.uid = os.geteuid()
        self.ended: asyncio.Future[int | None] = self._loop.create_future()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn: asyncio.Handle | None = None
        self._push_at = 0.0
        self._effect_log = EffectLog()
        self._received: Counter[str] = Counter()
        self._readiness = Readiness(self._loop)
        self._seeds = Seeds(self._greet, self._is_present)
        self._joins = Joins(self._greet_again)
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
        self.about = self._describe()
        self._watches = Watches(
            loop=self._loop,
            send=self._socket.send,
            shown=self._queries.shown,
            wall_ms=clock.wall_ms,
        )
        self._registrar = Registrar(
            replica=self._replica,
            queries=self._queries,
            perform=self._perform,
            now=self.now,
            wall_ms=clock.wall_ms,
            address=parse(self._replica.endpoint).host,
            uid=self.uid,
        )
        self._lifetimes = Lifetimes(self._loop, self._registrar.ended, boot=self._boot)
        self._registrar.lifetimes = self._lifetimes
        self._door = self._open_door()

    def _open_socket(self) -> LocalSocket:
        return LocalSocket(
            daemon_path(self._config.socket),
            mode=self._config.socket_mode,
            group=self._config.socket_group,
            take=self._take,
            on_gone=self._drop_watches,
        )

    # The socket and the transport come first, for nothing else is made where they cannot be had:
    # hence these two steps to what is made after them.

    def _take(self, name: bytes, peer: str, frame: "bytes | memoryview") -> None:
        self._door.take(name, peer, frame)

    def _drop_watches(self, name: bytes) -> None:
        self._watches.drop(name)

    def _open_transport(self, bind: Endpoint) -> Transport:
        return Transport(
            replica=self._id,
            cluster=self._config.cluster,
            bind=str(bind),
            on_envelope=self._receive,
            on_link=self._on_link,
            on_nonsense=self._on_nonsense,
        )

    def _new_replica(self, host: str) -> Replica:
        advertised = self._config.advertise or str(Endpoint(host, self.bound.port))
        labels = dict(self._config.labels)
        return Replica(
            node=self._id.node,
            incarnation=self._id.incarnation,
            cluster=self._config.cluster,
            record=MemberRecord(advertised, __version__, labels=labels, boot=self._boot),
            timing=self._config.timing,
            now=self.now(),
        )

    def _describe(self) -> About:
        return About(
            replica=self._replica,
            queries=self._queries,
            readiness=self._readiness,
            bound=str(self.bound),
            socket=self._socket.path,
            counters={
                "local": self._socket.counters,
                "mesh": self._transport.counters,
                "received": self._received,
                "replica": self._replica.counters,
            },
            now=self.now,
        )

    def _open_door(self) -> Door:
        return Door(
            house=self,
            answer=self._socket.answer,
            send=self._socket.send,
            later=self._loop.call_soon,
            readiness=self._readiness,
            queries=self._queries,
            registrar=self._registrar,
            watches=self._watches,
        )

    def start(self) -> None:
        """Begin to live: answer applications, beat, look for the others."""
        self._loop.set_exception_handler(self._fail)
        self._transport.start()
        self._socket.start()
        self._seeds.use(self._config.join)
        self._spawn(self._seeds.run())
        self._later("settle", self._config.timing.settle_after, self._settle)
        if self._config.join:
            self._later("alone", ALONE_AFTER, self._serve_alone)
        else:
            self._be_ready()
        self._tick()

    def close(self) -> None:
        """Let go of everything; who listens is sent the last words that were queued."""
        for timer in self._timers.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        if self._turn is not None:
            self._turn.cancel()
        self._readiness.close()
        self._lifetimes.close()
        self._watches.close()
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
        self._run(self._replica.depart(parting, cause, self.now()))
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
        self._run(effects)
        if self._turn is None:
            self._turn = self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        """Push what changed to all peers. After a costly push the next waits in proportion."""
        self._turn = None
        if not self._readiness.ready and self._replica.ready:
            self._be_ready()
        began = self._loop.time()
        if began < self._push_at:
            self._turn = self._loop.call_at(self._push_at, self._end_turn)
            return
        effects = self._replica.flush(self.now())
        if effects:
            self._run(effects)
            self._push_at = began + PUSH_SHARE * (self._loop.time() - began)

    def _receive(self, envelope: Envelope) -> None:
        self._received[type(envelope.message).__name__] += 1
        self._perform(self._replica.receive(envelope, self.now()))

    def _tick(self) -> None:
        """Look at the heartbeats that came, then at the time."""
        self._transport.drain_heartbeats()
        self._perform(self._replica.tick(self.now()))
        self._later("tick", min(max(self._replica.deadline(), TICK_MIN), TICK), self._tick)

    def _run(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if type(effect) is Emit:
                self._watches.publish(effect.event)
            else:
                self._effect_log.log(effect)
                self._run_one(effect)

    def _run_one(self, effect: Effect) -> None:  # noqa: C901, PLR0912 - one case an effect
        match effect:
            case Send():
                self._transport.send(effect.endpoints, effect.message)
            case Answer():
                self._transport.answer(effect.to, effect.message)
            case Broadcast():
                self._transport.broadcast(effect.message)
            case Connect():
                self._transport.connect(effect.endpoint)
            case Dial():
                self._spawn(self._dial(effect.endpoint))
            case Redial():
                self._transport.redial(effect.endpoint)
            case Disconnect():
                self._transport.disconnect(effect.endpoint)
            case Greeted():
                self._seeds.greeted(effect)
                self._joins.greeted(effect)
                self._readiness.alone = False
            case Refused():
                if not effect.by_us:
                    self._joins.refused(effect)
            case Namesake():
                if not self.ended.done():
                    self.ended.set_exception(Conflict(effect.text, field="node"))
            case Outranked():
                if not self.ended.done():
                    self.ended.set_result(effect.incarnation)
            case StateChanged() | Emit() | SeenBy():
                pass
            case _:
                assert_never(effect)

    def _later(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        self._timers[name] = self._loop.call_later(seconds, then)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- readiness

    def _be_ready(self) -> None:
        if "alone" in self._timers:
            self._timers["alone"].cancel()
        self._readiness.open()
        _log.info("ready node=%s socket=%s bind=%s", self._id.node, self._socket.path, self.bound)

    def _serve_alone(self) -> None:
        if self._seeds.reached or self._readiness.ready:
            return
        self._readiness.alone = True
        _log.warning(
            "no peer was reached in %g s (join %s): serving alone, and trying on",
            ALONE_AFTER,
            ", ".join(self._config.join),
        )
        self._be_ready()

    def _settle(self) -> None:
        """Say that whoever held a registration through our restart has said it again by now."""
        cause = Cause(CauseWord.UPDATED, b"", self._clock.wall_ms())
        self._perform(self._replica.settle(cause, self.now()))

    def reconfigure(self, config: Config) -> None:
        """Take over labels and seeds."""
        self._config = config
        self._seeds.use(config.join)
        record = self._replica.own.record
        if record is not None:
            cause = Cause(CauseWord.UPDATED, b"", self._clock.wall_ms())
            changed = replace(record, labels=dict(config.labels))
            self._perform(self._replica.update_record(changed, cause, self.now()))

    # -- the mesh

    def _greet(self, endpoints: Iterable[str]) -> None:
        self._perform(self._replica.seeds(endpoints, self.now()))

    def _greet_again(self, endpoint: str) -> bool:
        effects = self._replica.join(endpoint, self.now())
        self._perform(effects)
        return bool(effects)  # none: that is ourselves

    def _is_present(self, node: str) -> bool:
        return any(
            view.replica.node == node and view.state in HERE
            for view in self._replica.members(self.now())
        )

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

    def _on_nonsense(self, socket: str, peer: str, error: WireError) -> None:
        first = self._effect_log.first("nonsense", peer, error.reason)
        level = logging.WARNING if first else logging.DEBUG
        _log.log(level, "dropped a message on the %s socket from %s: %s", socket, peer, error)

    def join(self, call: operations.Join, answer: Callable[[JoinOutcome], None]) -> None:
        """Greet these nodes and answer once it is known what came of it."""
        self._spawn(self._join(call, answer))

    async def _join(self, call: operations.Join, answer: Callable[[JoinOutcome], None]) -> None:
        try:
            answer(await self._joins.join(call.addresses, call.wait_ms))
        except DiscoError as error:
            answer(error)
