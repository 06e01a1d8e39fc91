"""Who and how this agent is, for `hello` and `status`."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from discoagent import __version__
from discoagent.api import API_VERSION
from discoagent.core.replica import Replica
from discoagent.instance import rfc3339
from discoagent.local.requests.queries import Queries
from discoagent.local.requests.readiness import Readiness
from discoagent.rules import WAIT_MS_MAX
from discoagent.wire import WIRE_VERSION

Counters = Mapping[Any, int]


class About:
    """What the agent says of itself; worked out when asked."""

    def __init__(
        self,
        *,
        replica: Replica,
        queries: Queries,
        readiness: Readiness,
        bound: str,
        socket: str,
        counters: Mapping[str, Counters],
        now: Callable[[], float],
        wall_ms: Callable[[], int],
    ) -> None:
        """`bound` and `socket`: where it listens; `counters`: by part, then by what is counted."""
        self._replica = replica
        self._queries = queries
        self._readiness = readiness
        self._bound = bound
        self._socket = socket
        self._counters = counters
        self._now = now
        self._wall_ms = wall_ms
        self._began = now()

    def hello(self) -> dict[str, Any]:
        """Return who this agent is."""
        return {
            "node": self._replica.id.node,
            "incarnation": self._replica.id.incarnation,
            "cluster": self._replica.cluster,
            "version": __version__,
            "api": API_VERSION,
            "wire": WIRE_VERSION,
            "pid": os.getpid(),
        }

    def status(self) -> dict[str, Any]:
        """Return how this agent is: the contract's map, and beyond it the counters."""
        members, instances = self._queries.counts(self._now())
        return {
            "node": self._replica.id.node,
            "incarnation": self._replica.id.incarnation,
            "cluster": self._replica.cluster,
            "version": __version__,
            "wire": WIRE_VERSION,
            "ready": self._readiness.ready,
            "alone": self._readiness.alone,
            **self._isolation(),
            "bind": self._bound,
            "advertise": self._replica.endpoint,
            "socket": self._socket,
            "pid": os.getpid(),
            "uptime_ms": round((self._now() - self._began) * 1000),
            "secure": False,
            "members": members,
            "instances": instances,
            "counters": self._counted(),
        }

    def when_ready(self, then: Callable[[], None]) -> None:
        """Call this back once the agent is ready."""
        self._readiness.wait(WAIT_MS_MAX, then)

    def line(self) -> str:
        """Return how this agent is in a line, for the service manager."""
        members, instances = self._queries.counts(self._now())
        doubts = "cut off, it seems, " if self._replica.isolation(self._now()) else ""
        alone = "alone, " if self._readiness.alone else ""
        ready = "" if self._readiness.ready else "not ready, "
        states = ", ".join(f"{count} {state}" for state, count in members.items())
        return (
            f"{ready}{alone}{doubts}nodes: {states}; "
            f"instances: {instances['total']}, {instances['local']} of them here"
        )

    def _isolation(self) -> dict[str, Any]:
        """Return whether most others are silent, so that this agent may be cut off, since when."""
        isolation = self._replica.isolation(self._now())
        if isolation is None:
            return {"isolated": False, "isolated_since": None}
        began = self._wall_ms() - round(isolation.seconds * 1000)
        return {"isolated": True, "isolated_since": rfc3339(began)}

    def _counted(self) -> dict[str, int]:
        """Return what was received, answered, refused and dropped, by `part.what`."""
        counted = {}
        for part, counters in self._counters.items():
            for what, number in counters.items():
                words = what if isinstance(what, tuple) else (what,)
                counted[".".join((part, *words))] = number
        return dict(sorted(counted.items()))
