"""What happens: kept for the next life, told to whoever watches, logged for whoever comes later."""

import asyncio
from collections.abc import Callable

from discoagent.core.effects import Event
from discoagent.core.replica import Replica
from discoagent.local.entries.keeping import Keeping, clock_of, mark
from discoagent.local.entries.lifetimes import Lifetimes
from discoagent.local.events.history import History
from discoagent.local.events.past import Past, continued
from discoagent.local.events.recollection import Recollection
from discoagent.local.events.resuming import Resuming
from discoagent.local.events.watches import Name, Watches
from discoagent.local.requests.queries import Queries
from discoagent.store import Recalled, Store, StoredEntry, StoredLife

STORE_SECONDS = 1.0  # that a life waits for its first words to be kept


class Chronicle:
    """The events of one life. `keeping` keeps this node's entries."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        replica: Replica,
        queries: Queries,
        lifetimes: Lifetimes,
        send: Callable[[Name, bytes], bool],
        store: Store,
        former: Recalled,
        wall_ms: Callable[[], int],
        days: int,
    ) -> None:
        """`send` answers a watcher; `former` is what the life before left.

        `days`: what is older is told to nobody.
        """
        self._me = replica.id.node
        self._own = replica.own
        self._store = store
        self._life = StoredLife(replica.id.incarnation, wall_ms())
        self.keeping = Keeping(
            store=store, lifetimes=lifetimes, own=self._own, loop=loop, wall_ms=wall_ms
        )
        continues = continued(former, self._me, clock_of(former.entries))
        self._history = History(replica, wall_ms, continues)
        self._past = Past(
            life=self._life,
            history=self._history,
            store=store,
            former=former.lives,
            shown=replica.everything,
            secure=self.keeping.secure,
            wall_ms=wall_ms,
            loop=loop,
        )
        self.recollection = Recollection(
            loop=loop,
            replica=replica,
            history=self._history,
            past=self._past,
            store=store,
            wall_ms=wall_ms,
            days=days,
        )
        self.watches = Watches(
            loop=loop,
            send=send,
            shown=queries.shown,
            history=self._history,
            resuming=Resuming(replica, self._history, self._past, queries.shown, wall_ms),
            wall_ms=wall_ms,
        )

    def open(self, kept: list[StoredEntry]) -> None:
        """Begin this life in the store, with the entries that outlived the former one."""
        self._store.begin(self._life, [mark(self._own.clock), *kept], STORE_SECONDS)

    def begin(self) -> None:
        """Begin the log: what is shown by now was not made in this life."""
        self._past.begin()

    def caught_up(self) -> None:
        """Take in that the agent knows by now what its former life knew."""
        self._past.catch_up()
        self.watches.caught_up()

    def write_anew(self) -> None:
        """Give the store what it needs after it could not be written: it knows nothing of it."""
        self.keeping.all_anew(self._own)
        self._past.write_anew()

    def tell(self, events: list[Event]) -> None:
        """Keep what one call of the replica changed, and tell watchers of it."""
        if not self._history.begun and not self.watches:
            # What others show is the log's baseline, and nobody is told of it: a newcomer learns of
            # all there is at once.
            events = [event for event in events if event.node == self._me]
        for logged in self._history.follow(events):
            if logged.event.node == self._me:
                self.keeping.note(logged.event)
            self.watches.publish(logged)
        self._past.write_soon()

    def look(self) -> None:
        """Take in which nodes moved without an event."""
        if self._history.look():
            self._past.write_soon()

    def lives(self) -> list[StoredLife]:
        """Return the lives that are remembered, this one included."""
        return self._past.lives()

    def close(self) -> None:
        """Write and send what is left."""
        self.recollection.close()
        self._past.close()
        self.watches.close()
