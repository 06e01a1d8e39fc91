"""What a host's SUB socket was sent: it waits there until the agent drains it at a tick."""

from bisect import bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING

from discoagent.core.messages import Envelope

if TYPE_CHECKING:
    from discoagent.sim.network import Network

QUEUE_MAX = 1_000  # heartbeats that wait; what comes beyond them is lost
RECONNECT = 0.5  # seconds after which what a cut held back is sent again, at the soonest

Coming = tuple[float, str, Envelope]
"""(arrival, source, heartbeat)."""


class Hearing:
    """Heartbeats of others on their way to one host, each with the time of its arrival.

    They are no events of the agenda, for nothing looks at them before the tick does: a world of a
    thousand hosts sends a million of them a second.
    """

    def __init__(self, network: "Network", name: str) -> None:
        self._network = network
        self._name = name
        self._coming: list[Coming] = []
        self._last: dict[str, float] = {}

    def comes(self, arrival: float, source: str, heartbeat: Envelope) -> None:
        """Let one arrive then."""
        self._coming.append((arrival, source, heartbeat))

    def follows(self, arrival: float, source: str, heartbeat: Envelope) -> None:
        """Let one arrive then, or when what its source sent before it does, if that is later."""
        before = self._last.get(source, 0.0)
        self._last[source] = arrival = max(arrival, before)
        self._coming.append((arrival, source, heartbeat))

    def clear(self) -> None:
        """Lose all: the process ended, and its connections with it."""
        self._coming.clear()

    def drain(self, now: float) -> list[Envelope]:
        """Return what has arrived by now, oldest first, without what was cut off on its way."""
        coming, network, name = self._coming, self._network, self._name
        coming.sort(key=_arrival)
        here = bisect_right(coming, now, key=_arrival)
        self._coming = coming[here:]
        if not network.cuts and here <= QUEUE_MAX:  # as nearly always: nothing is held back
            return [heartbeat for _, _, heartbeat in coming[:here]]
        heard: list[Envelope] = []
        for arrival, source, heartbeat in coming[:here]:
            if network.was_cut(source, name, arrival):
                self._held_back(now, source, heartbeat)
            elif len(heard) < QUEUE_MAX:
                heard.append(heartbeat)
            else:
                network.trouble(source, name)
        return heard

    def _held_back(self, now: float, source: str, heartbeat: Envelope) -> None:
        self._network.trouble(source, self._name)
        profile = self._network.profile
        if profile.late:
            self._coming.append((now + profile.latency[1] + RECONNECT, source, heartbeat))


_arrival = itemgetter(0)
