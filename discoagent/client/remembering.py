"""What a client asks about the past: what the agent has shown and seen, over its restarts."""

import time
from collections.abc import Iterable
from datetime import datetime

from discoagent.client import calls, record_calls
from discoagent.client.asking import Asking, Instances
from discoagent.client.lasting import milliseconds
from discoagent.client.moments import milliseconds_at
from discoagent.client.session import Missing
from discoagent.instance import Event

Events = list[Event]


class Remembering(Asking):
    """All that is about the past. Every method may raise what `disco.py` names.

    The record is the agent's own: what happened while it was away is told as seen when it came
    back, with the cause `unknown`. It is bounded by the agent's `[history]`.
    """

    @property
    def missing(self) -> Missing | None:
        """Does the last answer to this thread lack something: is the record not that long?

        Then nothing is known of what was between its two moments, the first of which is None where
        the record begins with the other. Of `at`, `history` and `why_instance`.
        """
        return self._pool.quality.missing

    def at(
        self,
        time: str | datetime,
        *services: str,
        tag: str | Iterable[str] | None = None,
        node: str | None = None,
        all: bool = False,  # noqa: A002 - the contract's word
        filter: str | None = None,  # noqa: A002 - the contract's word
    ) -> Instances:
        """Return what `list` with these arguments would have returned at a moment.

        `time`: RFC 3339, "-10m", or a datetime that knows its zone. It is a moment of this agent's
        own clock, whatever the clocks of others showed: this is what this agent listed then; the
        `seen_at` of events is of the same clock. If the clock was set back, so that it showed this
        moment twice, the later one is meant. `suspect` and `restarting` are not recorded: there is
        the state that the instance's own agent gave it. From before the record, or while the agent
        was not running: what it showed next, or last; `missing` says so.
        """
        return self._pool.ask(
            record_calls.at(
                milliseconds_at(time, now_ms()),
                calls.list_instances(
                    services,
                    tag=tag,
                    node=node,
                    all=all,
                    filter=filter,
                    wait_ms=self._wait_ms(),
                ),
            )
        )

    def history(self, id: str | None = None, *, since: str | float | None = None) -> Events:  # noqa: A002 - the contract's word
        """Return what happened, to one instance or to all, oldest first.

        `id`: `SERVICE/INSTANCE@NODE`, or a part of it that fits exactly one that is or was there.
        `since`: only what was seen in the last so many seconds (or "10m"). Each event has its time,
        cause and actor, and in `seen_at` when this agent saw it. Of an `id`, what was there when
        the record began comes as `added` by the cause `unknown`. Raises InvalidRequest if the id
        fits several.
        """
        since_ms = None if since is None else milliseconds(since, "since")
        return self._pool.ask(
            record_calls.history(id, since_ms=since_ms, last=False, wait_ms=self._wait_ms())
        )

    def why_instance(self, id: str) -> Events:  # noqa: A002 - the contract's word
        """Return what led to how an instance is, or to its end: its events since it was last added.

        Raises NoInstance if there is none, nor was as far as the record reaches; InvalidRequest if
        the id fits several.
        """
        return self._pool.ask(
            record_calls.history(id, since_ms=None, last=True, wait_ms=self._wait_ms())
        )


def now_ms() -> int:
    """Return the present as the agent on the same host has it."""
    return time.time_ns() // 1_000_000
