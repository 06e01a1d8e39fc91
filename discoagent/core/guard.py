"""The guard: who finds most others silent is more likely cut off itself.

With at least four present peers of which more than half are silent, verdicts are put off: whoever
would be down stays what it is, suspect or restarting, until it returns or has been silent for
`isolation_grace` beyond `suspect_after`. Once no more than half are silent because some returned,
the rest is given a moment to follow. A farewell, or a port that refuses, is no silence: it shows
that the way there is open. The price is that a majority that really died shows for as long.
"""

from typing import NamedTuple

from discoagent.core.membership import Membership
from discoagent.core.peer import NEVER, PRESENT, Peer

PEERS_MIN = 4
REPRIEVE = 2.0


class Isolation(NamedTuple):
    """We may be cut off: for how many seconds, and how many of the present peers are silent.

    `stale`: seconds since the last sign of the one that is silent for the longest time.
    """

    seconds: float
    silent: int
    present: int
    stale: float


class Guard:
    """Looks once a tick how many are silent. Times are of the witnessed clock."""

    def __init__(self, members: Membership) -> None:
        self._members = members
        self._since: float | None = None
        self._silent: set[str] = set()
        self._reprieve = NEVER  # until then those that are still silent may follow the others

    @property
    def isolated(self) -> bool:
        """Are most others silent?"""
        return self._since is not None

    def look(self, now: float) -> None:
        """Count the silent; called before anybody is judged."""
        if self._members.timing.isolation_grace == 0:
            return
        horizon = now - self._members.timing.suspect_after
        peers = self._members.peers.values()
        quiet = [peer for peer in peers if peer.heard < horizon]
        if not quiet and self._since is None:  # as at nearly every tick
            self._silent.clear()
            return
        present = [peer for peer in peers if peer.state in PRESENT]
        silent = {
            peer.replica.node
            for peer in quiet
            if peer.state in PRESENT and not peer.farewell and self._unheard(peer, now)
        }
        cut_off = len(present) >= PEERS_MIN and 2 * len(silent) > len(present)
        self._members.silent = (len(silent), len(present)) if cut_off else (0, 0)
        if cut_off:
            self._since = now if self._since is None else self._since
        elif self._since is not None:
            self._since = None
            if any(peer.replica.node in self._silent - silent for peer in present):
                self._reprieve = now + REPRIEVE
        self._silent = silent

    def holds(self, peer: Peer, now: float) -> bool:
        """Is a verdict on this peer to be put off?"""
        end = self.bound(peer)
        if self._since is None:
            if now >= self._reprieve:
                return False
            end += REPRIEVE
        return self._unheard(peer, now) and now <= end

    def bound(self, peer: Peer) -> float:
        """Return until when a verdict on this peer may be put off."""
        timing = self._members.timing
        return max(peer.sign, peer.refused) + timing.suspect_after + timing.isolation_grace

    def isolation(self, now: float) -> Isolation | None:
        """Return how it is if we may be cut off."""
        if self._since is None:
            return None
        peers = self._members.peers
        present = sum(peer.state in PRESENT for peer in peers.values())
        silent = [peers[name] for name in self._silent if name in peers]
        stale = max((now - peer.sign for peer in silent), default=0.0)
        return Isolation(now - self._since, len(silent), present, stale)

    def _unheard(self, peer: Peer, now: float) -> bool:
        """Has there been no word of it, not even a refusal, for long?"""
        timing = self._members.timing
        mute = peer.mute and peer.refused > peer.sign  # such a port is dialled less often
        return _silence(peer, now) > (timing.down_after if mute else timing.suspect_after)


def _silence(peer: Peer, now: float) -> float:
    return now - max(peer.sign, peer.refused)
