"""How a client takes part in presence. As `discoagent.client.tracking`."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, overload

from discoagent.aio.asking import Asking
from discoagent.aio.handles import AsyncTrack
from discoagent.aio.registering import Registering
from discoagent.aio.watch import AsyncMixedWatch, AsyncPresenceWatch
from discoagent.client import calls, presence
from discoagent.client.calls import words
from discoagent.client.lasting import Row
from discoagent.client.presence import MetaSpec
from discoagent.errors import DiscoError
from discoagent.instance import NO_META, Json
from discoagent.presence import Tracked, by_key, in_order


class Tracking(Asking, Registering):
    """Presence, a room of its own; see `Disco` for each."""

    async def track(
        self,
        topic: str,
        key: str,
        meta: Mapping[str, Any] = NO_META,
        *,
        pid: int | None = None,
        ttl: str | float | None = None,
        static: bool = False,
        wrapper: int | None = None,
        hold: bool = True,
    ) -> AsyncTrack:
        """Say of a key of a topic that it is here; see `Disco.track`."""
        spec = MetaSpec(topic, key, meta, pid=pid, ttl=ttl, static=static, wrapper=wrapper)
        (made,) = await self._make([spec], hold=hold)
        if isinstance(made, DiscoError):
            raise made
        return AsyncTrack(self, made)

    async def retrack(self, topic: str, ref: str, meta: Mapping[str, Any] | None = None) -> Tracked:
        """Change a meta of this node, named by its ref; see `Disco.retrack`."""
        call = presence.retrack(topic, ref, meta)
        return Tracked.from_row(await self._whole(self._noted(call, presence.key_of)))

    async def untrack(self, topic: str, ref: str, cause: str | None = None) -> Tracked:
        """End a meta of this node, named by its ref; see `Disco.untrack`."""
        return Tracked.from_row(await self._whole(self._untracked(topic, ref, cause)))

    async def _untracked(self, topic: str, ref: str, cause: str | None) -> Row:
        row = await self._ask(presence.untrack(topic, ref, cause=cause))
        self._dropped(presence.key_of(row))
        return row

    @overload
    async def presence(self) -> list[Json]: ...

    @overload
    async def presence(self, topic: str) -> dict[str, list[Json]]: ...

    async def presence(self, topic: str | None = None) -> list[Json] | dict[str, list[Json]]:
        """Return the metas of a topic by key, or all topics with counts; see `Disco.presence`."""
        if topic is None:
            return await self._ask(presence.topics(wait_ms=self._wait_ms()))
        return by_key(await self.tracked(topic))

    async def tracked(self, topic: str) -> "list[Tracked]":
        """Return the metas of a topic with all that is known of each, by key and ref."""
        return in_order(await self._ask(presence.presence(topic, wait_ms=self._wait_ms())))

    def watch_presence(
        self,
        *topics: str,
        from_token: str | None = None,
        timeout: float | None = None,
        on_link: Callable[[bool], None] | None = None,
    ) -> AsyncPresenceWatch:
        """Return what happens in some topics or all; see `Disco.watch_presence`, and `watch`."""
        asking = partial(calls.watch, None, topics=topics)
        return self._follow(
            AsyncPresenceWatch, asking, from_token, timeout=timeout, on_link=on_link
        )

    def watch_mixed(
        self,
        services: Iterable[str],
        topics: Iterable[str],
        *,
        filter: str | None = None,  # noqa: A002 - the contract's word
        from_token: str | None = None,
        timeout: float | None = None,
        on_link: Callable[[bool], None] | None = None,
    ) -> AsyncMixedWatch:
        """Return what happens in some services and topics; see `Disco.watch_mixed`."""
        sifted = None if filter is None else calls.checked_filter(filter)
        named = words(services, "services")
        asking = partial(calls.watch, named, topics=words(topics, "topics"), filter=sifted)
        return self._follow(AsyncMixedWatch, asking, from_token, timeout=timeout, on_link=on_link)
