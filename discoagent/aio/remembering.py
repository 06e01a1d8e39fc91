"""What a client asks about the past. As `discoagent.client.remembering`."""

from collections.abc import Iterable
from datetime import datetime

from discoagent.aio.asking import Asking
from discoagent.client import calls, record_calls
from discoagent.client.asking import Instances
from discoagent.client.lasting import milliseconds
from discoagent.client.moments import milliseconds_at
from discoagent.client.remembering import Events, now_ms
from discoagent.client.session import Missing


class Remembering(Asking):
    """All that is about the past; see `Disco` for each."""

    @property
    def missing(self) -> Missing | None:
        """Does the last answer to this task lack something? See `Disco.missing`."""
        return self._line.quality.missing

    async def at(
        self,
        time: str | datetime,
        *services: str,
        tag: str | Iterable[str] | None = None,
        node: str | None = None,
        all: bool = False,  # noqa: A002 - the contract's word
        filter: str | None = None,  # noqa: A002 - the contract's word
    ) -> Instances:
        """Return what `list` would have returned at a moment; see `Disco.at`."""
        return await self._ask(
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

    async def history(self, id: str | None = None, *, since: str | float | None = None) -> Events:  # noqa: A002 - the contract's word
        """Return what happened, to one instance or to all; see `Disco.history`."""
        since_ms = None if since is None else milliseconds(since, "since")
        return await self._ask(
            record_calls.history(id, since_ms=since_ms, last=False, wait_ms=self._wait_ms())
        )

    async def why_instance(self, id: str) -> Events:  # noqa: A002 - the contract's word
        """Return what led to how an instance is, or to its end; see `Disco.why_instance`."""
        return await self._ask(
            record_calls.history(id, since_ms=None, last=True, wait_ms=self._wait_ms())
        )
