"""What lasts in the agent because a client asked for it, and what is said for it. Pure."""

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from discoagent import durations
from discoagent.client.session import Call
from discoagent.errors import InvalidRequest

Row = Sequence[Any]
"""An instance or a meta as the local API tells it: [name, id, node, overlay, owner, body...]."""


def milliseconds(value: str | float, name: str) -> int:
    """Return a duration ("10s", or seconds) in whole milliseconds; InvalidRequest names `name`."""
    try:
        seconds = durations.parse(value) if isinstance(value, str) else float(value)
        return round(seconds * 1000)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidRequest(f"{name}: {error}", field=name) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """How long something is to last, and what is said for it as long as it does.

    At most one of `pid`, `ttl` and `static`; none: as long as this process. `ttl`: a duration
    ("10s") or seconds. `wrapper`: the pid that will tell how the process ended. Raises
    InvalidRequest if these contradict. A row is what the agent answered last.
    """

    pid: int | None = None
    ttl: str | float | None = None
    static: bool = False
    wrapper: int | None = None

    def __post_init__(self) -> None:
        if (self.pid is not None) + (self.ttl is not None) + self.static > 1:
            raise InvalidRequest(
                "lifetime: only one of pid, ttl and static can be what ends it",
                field="lifetime",
            )

    @property
    def ttl_ms(self) -> int | None:
        """The lease in milliseconds; None for other lifetimes."""
        return None if self.ttl is None else milliseconds(self.ttl, "ttl")

    @property
    def own(self) -> bool:
        """Does it end with this process?"""
        return not self.static and self.ttl is None and self.pid in (None, os.getpid())

    @property
    def transient(self) -> bool:
        """Does it end with its `Disco`? Static ones and those of other processes do not."""
        return self.own or self.ttl is not None

    def lifetime(self) -> list[Any]:
        """Return the lifetime as `api.py` has it."""
        if self.static:
            return ["static"]
        if self.ttl is not None:
            return ["lease", self.ttl_ms]
        return ["process", self.pid]

    @abstractmethod
    def making(self) -> Call[Row]:
        """Return what makes it; the result is its row, as of all that follow."""

    @abstractmethod
    def again(self, row: Row, *, lapsed: bool) -> Call[Row]:
        """Return what says it again as it stands: no event for a new life of the agent.

        A lease that `lapsed` has ended, so that it is made anew.
        """

    @abstractmethod
    def renewal(self, row: Row) -> Call[Row]:
        """Return what gives its lease the whole time anew."""

    @abstractmethod
    def ending(self, row: Row) -> Call[Row]:
        """Return what ends it; the result is its row before."""

    @abstractmethod
    def key_of(self, row: Row) -> tuple[str, ...]:
        """Return what names it among all that this node holds."""

    @abstractmethod
    def name_of(self, row: Row) -> str:
        """Return what users know it by."""

    def changed(self, call: Call[Row]) -> Self:
        """Return what is to last after a change that the agent has made."""
        return self
