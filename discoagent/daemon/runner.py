"""Runs what the replica asks for: the one place where an effect meets the world."""

import asyncio
from collections.abc import Callable, Iterable
from typing import assert_never

from discoagent.core.effects import (
    Answer,
    Broadcast,
    Connect,
    Dial,
    Disconnect,
    Effect,
    Emit,
    Event,
    Greeted,
    Namesake,
    Outranked,
    Redial,
    Refused,
    SeenBy,
    Send,
    StateChanged,
)
from discoagent.errors import Conflict
from discoagent.local.operator.examiner import Examiner
from discoagent.local.peers.effect_log import EffectLog
from discoagent.local.peers.finding import Finding
from discoagent.mesh.transport import Transport
from discoagent.wire import WireError


class Runner:
    """Runs one life's effects, each logged once. `peers_moved`: a member's state has changed."""

    def __init__(
        self,
        *,
        transport: Transport,
        finding: Finding,
        log: EffectLog,
        publish: Callable[[list[Event]], None],
        dial: Callable[[str], None],
        examiner: Examiner,
        seen: Callable[[SeenBy], None],
        ended: "asyncio.Future[int | None]",
    ) -> None:
        """`publish` tells of events, `dial` probes a port, `seen` takes in who has seen what.

        `examiner` remembers a greeting that came to nothing; `ended` is set at the life's end.
        """
        self._transport = transport
        self._finding = finding
        self._log = log
        self._publish = publish
        self._dial = dial
        self._examiner = examiner
        self._seen = seen
        self._ended = ended
        self.peers_moved = False  # whoever looks sets it back

    def nonsense(self, socket: str, peer: str, error: WireError) -> None:
        """Take in that a peer sent what is no message."""
        self._log.nonsense(socket, peer, error)
        self._examiner.nonsense(peer, error)

    def run(self, effects: Iterable[Effect]) -> None:
        """Run what one call of the replica asks for: tell of all events first, then the rest."""
        events: list[Event] = []
        others: list[Effect] = []
        for effect in effects:
            if type(effect) is Emit:
                events.append(effect.event)
            else:
                others.append(effect)
        if events:
            self._publish(events)
        for effect in others:
            self._log.log(effect)
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
                self._dial(effect.endpoint)
            case Redial():
                self._transport.redial(effect.endpoint)
            case Disconnect():
                self._transport.disconnect(effect.endpoint)
            case Greeted():
                self._finding.greeted(effect)
            case Refused():
                self._finding.refused(effect)
                self._examiner.refused(effect)
            case Namesake():
                if not self._ended.done():
                    self._ended.set_exception(Conflict(effect.text, field="node"))
            case Outranked():
                if not self._ended.done():
                    self._ended.set_result(effect.incarnation)
            case StateChanged():
                self.peers_moved = True
            case SeenBy():
                self._seen(effect)
            case Emit():
                pass
            case _:
                assert_never(effect)
