"""The client library: `Disco`, for threads and scripts.

    with Disco() as disco:
        web = disco.register("web", port=8080, tags=["v2"])
        for instance in disco.list("db"): ...
        alice = disco.track("room:1", "alice", {"device": "tv"})
        disco.presence("room:1")

Whatever asks the agent raises a `DiscoError` (see `errors.py`): AgentUnavailable at once if nobody
listens, TimeoutExpired if somebody listens and does not answer.
"""

from discoagent.client.calls import Greeting, Spec
from discoagent.client.closing import Closing
from discoagent.client.operating import Operating
from discoagent.client.remembering import Remembering
from discoagent.client.tending import Tending
from discoagent.client.tracking import Tracking

__all__ = ["Disco", "Greeting", "Spec"]


class Disco(Tracking, Tending, Operating, Remembering, Closing):
    """The agent on this host, to ask and to register with. Safe over threads, not over fork.

    `socket`: the path of the agent's socket; None: DISCO_SOCKET, else the first default path where
    an agent listens. `timeout`: seconds that one answer may take. It connects when first used.
    """

    def close(self) -> None:
        """End the registrations held by this client and its watches, and give everything back.

        Static registrations and those of other processes stay. If the agent is away or does not
        answer within the timeout, this returns, and a background thread ends them when the agent is
        back; should this process end before, its entries end with it, and leases by their time.
        """
        if self._pool.closed or not self._pool.ours:
            return
        with self._lock:
            self._over, kept = True, self._kept
        if kept is not None:
            kept.close()
        self._pool.close()
        for watch in list(self._watches):
            watch.close()
