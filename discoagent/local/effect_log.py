"""The log of what the replica does: each effect once, at the level it deserves."""

import logging
from typing import assert_never

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
    NodeState,
    Outranked,
    Redial,
    Refused,
    SeenBy,
    Send,
    StateChanged,
)
from discoagent.wire import WireError

NOTED_MAX = 1_000

_log = logging.getLogger("discoagent")


class EffectLog:
    """Says once aloud what repeats itself, such as a refusal at each try."""

    def __init__(self) -> None:
        self._noted: set[tuple[str, ...]] = set()

    def first(self, *what: str) -> bool:
        """Is this said for the first time? What was said is remembered within bounds."""
        if what in self._noted:
            return False
        if len(self._noted) >= NOTED_MAX:
            self._noted.clear()
        self._noted.add(what)
        return True

    def nonsense(self, socket: str, peer: str, error: WireError) -> None:
        """Say of a message of a peer that it was dropped."""
        level = logging.WARNING if self.first("nonsense", peer, error.reason) else logging.DEBUG
        _log.log(level, "dropped a message on the %s socket from %s: %s", socket, peer, error)

    def log(self, effect: Effect) -> None:  # noqa: C901 - one case an effect
        """Log one effect; changes of instances are not logged here, watches tell them."""
        match effect:
            case StateChanged():
                self._state(effect)
            case Refused():
                self._refused(effect)
            case Greeted():
                _log.debug("< welcome of %s at %s", effect.peer, effect.endpoint)
            case Namesake():
                _log.error("%s", effect.text)
            case Outranked():
                _log.warning(
                    "the cluster remembers incarnation %d of this node, which is higher than this "
                    "host's clock gives: beginning again above it",
                    effect.incarnation,
                )
            case Send(endpoints=to) | Answer(to=to):
                _log.debug("> %s to %s", type(effect.message).__name__, to)
            case Connect() | Dial() | Redial() | Disconnect():
                _log.debug("= %s %s", type(effect).__name__.lower(), effect.endpoint)
            case Broadcast() | Emit() | SeenBy():
                pass
            case _:
                assert_never(effect)

    def _refused(self, effect: Refused) -> None:
        level = logging.WARNING if self.first("refused", effect.text) else logging.DEBUG
        who = "refused" if effect.by_us else "refused by"
        _log.log(level, "%s %s: %s", who, effect.peer.node, effect.text)

    @staticmethod
    def _state(effect: StateChanged) -> None:
        worse = effect.after in (NodeState.SUSPECT, NodeState.DOWN)
        _log.log(
            logging.WARNING if worse else logging.INFO,
            "node %s: %s -> %s%s",
            effect.replica.node,
            effect.before or "unknown",
            effect.after,
            f" ({effect.evidence})" if effect.evidence else "",
        )
