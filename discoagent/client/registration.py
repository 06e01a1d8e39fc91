"""The handle of one registration that this process made."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from discoagent.checks import Check
from discoagent.client import calls
from discoagent.client.closing import Closing
from discoagent.client.held import Held
from discoagent.client.lasting import Row
from discoagent.client.session import Call
from discoagent.client.tending import ttl
from discoagent.errors import DiscoError
from discoagent.instance import Instance, Json


class Speaker(Protocol):
    """What a handle needs of the client that made it."""

    def change(self, held: Held, call: Call[Row]) -> None:
        """Say one thing for a registration."""

    def end(self, held: Held) -> None:
        """Deregister it."""


class Registered:
    """What a handle knows of its registration; nothing is asked.

    `seen`: who had seen it when `register(wait_seen=…)` returned, as `Disco.wait_seen` has it.
    """

    __slots__ = ("_held", "_read", "seen")

    def __init__(self, held: Held) -> None:
        self._held = held
        self._read: tuple[Row, Instance] | None = None
        self.seen: Json | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def name(self) -> str:
        """`SERVICE/INSTANCE@NODE`."""
        return self._held.newest().name

    @property
    def instance(self) -> Instance:
        """The instance as the agent last confirmed it."""
        row = self._held.newest().row
        if self._read is None or self._read[0] is not row:
            self._read = (row, Instance.from_row(row))
        return self._read[1]

    @property
    def lost(self) -> DiscoError | None:
        """Why the agent does not have it any more although it was not closed, or None.

        For example NoInstance after somebody ended its lease, Conflict if the id was taken while
        the agent was away.
        """
        return self._held.newest().ended


class Registration(Registered, Closing):
    """One registration: read it, change it, end it. Safe over threads.

    Of several for the same id in one process the newest owns the entry: `close` of an older one
    does nothing.
    """

    __slots__ = ("_speaker",)

    def __init__(self, speaker: Speaker, held: Held) -> None:
        super().__init__(held)
        self._speaker = speaker

    def update(
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
        """Change what is named; the rest stays. Returns the instance after.

        `tags`, `meta` and `check` are the whole of it; `tag`, `untag`, `set` and `unset` add and
        take away. Raises InvalidRequest, which names the field: nothing was changed then.
        """
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
        self._speaker.change(self._held.newest(), call)
        return self.instance

    def renew(self) -> Instance:
        """Give a lease its whole time anew; a held one is renewed in the background anyway."""
        self._speaker.change(self._held.newest(), calls.renew(self.name))
        return self.instance

    def ttl(self, word: str, note: str = "") -> Instance:
        """Say `pass`, `warn` or `fail` of its `ttl` check; `get` shows the note."""
        self._speaker.change(self._held.newest(), ttl(self.name, word, note))
        return self.instance

    def close(self) -> None:
        """Deregister it. Done already, or owned by a newer handle: nothing.

        If the agent is away, that is done when it is back, as long as this client lives.
        """
        self._speaker.end(self._held)
