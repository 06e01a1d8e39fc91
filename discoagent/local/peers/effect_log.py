"""The log of what the replica does: each effect once, at the level it deserves.

A peer that misbehaves may do so thousands of times a second, and under as many names as it likes.
What it does is said aloud the first, the tenth, the hundredth time and so on, and of all such lines
no more than LINES_AT_ONCE at a time and one in SECONDS_A_LINE; all else is for `debug`.
"""

import logging
from collections import Counter
from collections.abc import Callable
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
LINES_AT_ONCE, SECONDS_A_LINE = 20, 10.0

_log = logging.getLogger("discoagent")


class Rate:
    """How often something may be done: `burst` times at once, then once in `seconds`."""

    def __init__(self, now: Callable[[], float], burst: int, seconds: float) -> None:
        self._now = now
        self._burst = burst
        self._seconds = seconds
        self._left = float(burst)
        self._at = now()

    def allows(self) -> bool:
        """Take one time off, if there is one left."""
        at = self._now()
        self._left = min(self._left + (at - self._at) / self._seconds, self._burst)
        self._at = at
        if self._left < 1:
            return False
        self._left -= 1
        return True


class EffectLog:
    """One life's. `now` is its clock, in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._times: Counter[tuple[str, ...]] = Counter()
        self._rate = Rate(now, LINES_AT_ONCE, SECONDS_A_LINE)
        self._left_out = 0  # lines that were due, since the last one

    def nonsense(self, socket: str, peer: str, error: WireError) -> None:
        """Say of a message of a peer that it was dropped."""
        text = f"dropped a message on the {socket} socket from {peer}: {error}"
        self._complain(("nonsense", peer, error.reason), text, peer)

    def _complain(self, key: tuple[str, ...], text: str, peer: str) -> None:
        """Say what a peer did; `key` is what repeats itself."""
        if len(self._times) >= NOTED_MAX and key not in self._times:
            self._times.clear()
        self._times[key] += 1
        times = self._times[key]
        due = str(times).strip("0") == "1"  # the first, the tenth, the hundredth time
        aloud = due and self._rate.allows()
        self._left_out += due and not aloud
        if aloud and times > 1:
            text += f" ({times} times so far)"
        if aloud and self._left_out:
            text += f" ({self._left_out} such lines were left out)"
            self._left_out = 0
        _log.log(logging.WARNING if aloud else logging.DEBUG, "%s", text, extra=_about(peer))

    def log(self, effect: Effect) -> None:
        """Log one effect; changes of instances are not logged here, watches tell them."""
        match effect:
            case StateChanged():
                self._state(effect)
            case Refused():
                self._refused(effect)
            case Greeted():
                _log.debug("< welcome of %s at %s", effect.peer, effect.endpoint)
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
            case Broadcast() | Emit() | SeenBy() | Namesake():  # which ends the agent, aloud
                pass
            case _:
                assert_never(effect)

    def _refused(self, effect: Refused) -> None:
        """Say that a greeting came to nothing; the text may name a time, so it is no key."""
        who = "refused" if effect.by_us else "refused by"
        key = ("refused", who, effect.peer.node, effect.kind.name)
        self._complain(key, f"{who} {effect.peer.node}: {effect.text}", effect.peer.node)

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
            extra=_about(effect.replica.node, state=str(effect.after)),
        )


def _about(peer: str, **more: str) -> dict[str, dict[str, str]]:
    """Return the fields of a line for programs: see `logs`."""
    return {"fields": {"peer": peer, **more}}
