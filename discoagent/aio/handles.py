"""The handles of what this client holds: registrations and metas."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from discoagent.aio.closing import AsyncClosing
from discoagent.checks import Check
from discoagent.client import calls, presence
from discoagent.client.held import Held
from discoagent.client.lasting import Row
from discoagent.client.registration import Registered
from discoagent.client.session import Call
from discoagent.client.tending import ttl
from discoagent.client.track import TrackedMeta
from discoagent.instance import Instance, Json


class Speaker(Protocol):
    """What a handle needs of the client that made it."""

    async def change(self, held: Held, call: Call[Row]) -> None:
        """Say one thing for a registration."""

    async def end(self, held: Held) -> None:
        """End it."""


class AsyncRegistration(Registered, AsyncClosing):
    """One registration: read it, change it, end it; as `Registration`."""

    __slots__ = ("_speaker",)

    def __init__(self, speaker: Speaker, held: Held) -> None:
        super().__init__(held)
        self._speaker = speaker

    async def update(
        self,
        *,
        port: int | None = None,
        address: str | None = None,
        tags: Iterable[str] | None = None,
        tag: str | Iterable[str] = (),
        untag: str | Iterable[str] = (),
        meta: Mapping[str, str] | None = None,
        set: Mapping[str, str] | None = None,  # noqa: A002 - the contract's word
        unset: str | Iterable[str] = (),
        check: Check | Iterable[Check] | None = None,
    ) -> Instance:
        """Change what is named; the rest stays. See `Registration.update`."""
        call = calls.update(
            self.name,
            port=port,
            address=address,
            tags=tags,
            tag=tag,
            untag=untag,
            meta=meta,
            set=set,
            unset=unset,
            check=check,
        )
        await self._speaker.change(self._held.newest(), call)
        return self.instance

    async def renew(self) -> Instance:
        """Give a lease its whole time anew; a held one is renewed in the background anyway."""
        await self._speaker.change(self._held.newest(), calls.renew(self.name))
        return self.instance

    async def ttl(self, word: str, note: str = "") -> Instance:
        """Say `pass`, `warn` or `fail` of its `ttl` check; `get` shows the note."""
        await self._speaker.change(self._held.newest(), ttl(self.name, word, note))
        return self.instance

    async def close(self) -> None:
        """Deregister it. Done already, or owned by a newer handle: nothing.

        If the agent is away, that is done when it is back.
        """
        await self._speaker.end(self._held)


class AsyncTrack(TrackedMeta, AsyncClosing):
    """One meta of a key: read it, change it, end it; as `Track`."""

    __slots__ = ("_speaker",)

    def __init__(self, speaker: Speaker, held: Held) -> None:
        super().__init__(held)
        self._speaker = speaker

    async def update(self, meta: Mapping[str, Any]) -> Json:
        """Change the meta as a whole; return it with its new ref. See `Track.update`."""
        await self._speaker.change(self._held, presence.retrack(*self._names, meta))
        return self.meta

    async def renew(self) -> Json:
        """Give a lease its whole time anew; a held one is renewed in the background anyway."""
        await self._speaker.change(self._held, presence.retrack(*self._names))
        return self.meta

    async def close(self) -> None:
        """End it. Done already: nothing. If the agent is away, that is done when it is back."""
        await self._speaker.end(self._held)
