"""The handle of one meta that this process tracks."""

from collections.abc import Mapping
from typing import Any

from discoagent.client import presence
from discoagent.client.closing import Closing
from discoagent.client.held import Held
from discoagent.client.lasting import Row
from discoagent.client.registration import Speaker
from discoagent.errors import DiscoError
from discoagent.instance import Json
from discoagent.presence import Tracked


class TrackedMeta:
    """What a handle knows of its meta; nothing is asked."""

    __slots__ = ("_held", "_read")

    def __init__(self, held: Held) -> None:
        self._held = held
        self._read: tuple[Row, Tracked] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._held.name}>"

    @property
    def tracked(self) -> Tracked:
        """The meta, its key and its topic as the agent last confirmed them."""
        row = self._held.row
        if self._read is None or self._read[0] is not row:
            self._read = (row, Tracked.from_row(row))
        return self._read[1]

    @property
    def ref(self) -> str:
        """The meta's ref, which changes with each update."""
        return self.tracked.ref

    @property
    def meta(self) -> Json:
        """The meta as `presence` shows it, with its ref."""
        return self.tracked.shown

    @property
    def lost(self) -> DiscoError | None:
        """Why the agent does not have it any more although it was not closed, or None."""
        return self._held.ended

    @property
    def _names(self) -> tuple[str, str]:
        return (self._held.row[0], self._held.row[1])


class Track(TrackedMeta, Closing):
    """One meta of a key: read it, change it, end it. Safe over threads."""

    __slots__ = ("_speaker",)

    def __init__(self, speaker: Speaker, held: Held) -> None:
        super().__init__(held)
        self._speaker = speaker

    def update(self, meta: Mapping[str, Any]) -> Json:
        """Change the meta as a whole; return it with its new ref.

        The same meta again is no change. Raises InvalidRequest, which names the field: nothing was
        changed then.
        """
        self._speaker.change(self._held, presence.retrack(*self._names, meta))
        return self.meta

    def renew(self) -> Json:
        """Give a lease its whole time anew; a held one is renewed in the background anyway."""
        self._speaker.change(self._held, presence.retrack(*self._names))
        return self.meta

    def close(self) -> None:
        """End it. Done already: nothing.

        If the agent is away, that is done when it is back, as long as this client lives.
        """
        self._speaker.end(self._held)
