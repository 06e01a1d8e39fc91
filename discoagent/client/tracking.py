"""How a client takes part in presence: what it tracks, and who is there."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from discoagent.client import calls
from discoagent.client.asking import Asking
from discoagent.client.calls import words
from discoagent.client.registering import Registering
from discoagent.errors import DiscoError
from discoagent.instance import NO_META, Json

if TYPE_CHECKING:  # loaded when used
    from discoagent.client.track import Track
    from discoagent.client.watch import MixedWatch, PresenceWatch
    from discoagent.presence import Tracked


class Tracking(Asking, Registering):
    """Presence, a room of its own: no list and no watch of services shows any of it."""

    def track(
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
    ) -> "Track":
        """Say of a key of a topic that it is here, as long as this process lives.

        Each call adds a meta of its own: a key has as many as were tracked, from any process of any
        node. `meta` is a JSON object without `ref`. `pid`, `ttl`, `static`, `wrapper` and `hold` as
        with `register`, and so are the errors.
        """
        from discoagent.client.presence import MetaSpec
        from discoagent.client.track import Track

        spec = MetaSpec(topic, key, meta, pid=pid, ttl=ttl, static=static, wrapper=wrapper)
        (made,) = self._make([spec], hold=hold)
        if isinstance(made, DiscoError):
            raise made
        return Track(self, made)

    def retrack(self, topic: str, ref: str, meta: Mapping[str, Any] | None = None) -> "Tracked":
        """Change a meta of this node as a whole, named by its ref, and renew its lease.

        Without a meta the lease alone is renewed. Returns the meta after, which has another ref if
        it changed.
        """
        from discoagent.client import presence
        from discoagent.presence import Tracked

        row = self._pool.ask(presence.retrack(topic, ref, meta))
        self._note(presence.key_of(row), row)
        return Tracked.from_row(row)

    def untrack(self, topic: str, ref: str, cause: str | None = None) -> "Tracked":
        """End a meta of this node, named by its ref; return it as it was.

        `cause`: `exit:CODE` or `exit:SIGNAL`, from the wrapper of its process alone.
        """
        from discoagent.client import presence
        from discoagent.presence import Tracked

        row = self._pool.ask(presence.untrack(topic, ref, cause=cause))
        self._forget(presence.key_of(row))
        return Tracked.from_row(row)

    @overload
    def presence(self) -> list[Json]: ...

    @overload
    def presence(self, topic: str) -> dict[str, list[Json]]: ...

    def presence(self, topic: str | None = None) -> list[Json] | dict[str, list[Json]]:
        """Return `{KEY: [meta with "ref"...]}` of a topic, keys and refs in order.

        Without a topic: `{"topic", "keys", "metas"}` of each, with how many it has, sorted.
        """
        from discoagent.client import presence
        from discoagent.presence import by_key

        if topic is None:
            return self._pool.ask(presence.topics(wait_ms=self._wait_ms()))
        return by_key(self.tracked(topic))

    def tracked(self, topic: str) -> "list[Tracked]":
        """Return the metas of a topic with all that is known of each, by key and ref."""
        from discoagent.client import presence
        from discoagent.presence import in_order

        return in_order(self._pool.ask(presence.presence(topic, wait_ms=self._wait_ms())))

    def watch_presence(
        self,
        *topics: str,
        from_token: str | None = None,
        timeout: float | None = None,
        on_link: Callable[[bool], None] | None = None,
    ) -> "PresenceWatch":
        """Return what happens in some topics or all: the present, `synced`, changes.

        As `watch` does; but an event has `topic`, `key` and `meta`. In `before` an update carries
        the meta that it replaced, a removal the last one; both have their refs.
        """
        from discoagent.client.watch import PresenceWatch

        asking = partial(calls.watch, None, topics=topics)
        return self._follow(PresenceWatch, asking, from_token, timeout=timeout, on_link=on_link)

    def watch_mixed(
        self,
        services: Iterable[str],
        topics: Iterable[str],
        *,
        filter: str | None = None,  # noqa: A002 - the contract's word
        from_token: str | None = None,
        timeout: float | None = None,
        on_link: Callable[[bool], None] | None = None,
    ) -> "MixedWatch":
        """Return what happens in some services and topics; of none named: in all of the kind.

        Events are those of `watch` and of `watch_presence`; `filter` is for the instances.
        """
        from discoagent.client.watch import MixedWatch

        sifted = None if filter is None else calls.checked_filter(filter)
        named = words(services, "services")
        asking = partial(calls.watch, named, topics=words(topics, "topics"), filter=sifted)
        return self._follow(MixedWatch, asking, from_token, timeout=timeout, on_link=on_link)
