"""What an operator said of an instance, whatever its checks say. Pure."""

from collections.abc import Sequence
from typing import Any, NamedTuple

MAINT, DRAINING = "maint", "draining"


class Mode(NamedTuple):
    """`maint` or `draining`. `until_ms`: when a `maint` is over by itself, wall clock."""

    state: str
    reason: str | None = None
    until_ms: int | None = None

    @classmethod
    def unpacked(cls, raw: Sequence[Any]) -> "Mode":
        """Read the value out of a body."""
        state, reason, until_ms = [*raw, None, None][:3]
        return cls(state, reason, until_ms)
