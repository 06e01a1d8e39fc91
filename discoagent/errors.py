"""The errors a user of discoagent meets, over one root.

    DiscoError                  7  anything else; a broken promise of the agent
    ├── InvalidRequest          2  a field breaks its bound: nothing was changed
    ├── AgentUnavailable        3  nobody listens on the socket
    ├── Refused                 4  permission, ownership, key
    ├── Conflict                6  the id, name or port is taken by somebody who lives
    ├── NoInstance              1  the answer is no: there is none
    └── TimeoutExpired        124  somebody listens, but did not answer in time

The number is both the exit code of `discoctl` and the `code` of an error over the local API.
"""

from typing import ClassVar


class DiscoError(Exception):
    """Something that discoagent cannot do, as a sentence: what happened, to what, and what to do.

    `kind` is a word for programs; `field` names the field of the request that is at fault, or is
    None.
    """

    code: ClassVar[int] = 7
    default_kind: ClassVar[str] = "internal"

    def __init__(self, message: str, *, kind: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind or self.default_kind
        self.field = field


class InvalidRequest(DiscoError):
    """A field breaks a rule; `field` names it, the message its bound. Nothing was changed."""

    code = 2
    default_kind = "invalid"


class FilterError(InvalidRequest):
    """An expression that is no filter; `column` is where it goes wrong, from 1."""

    def __init__(self, message: str, expression: str, column: int) -> None:
        super().__init__(f"filter: column {column}: {message}", field="filter")
        self.expression = expression
        self.column = column


class AgentUnavailable(DiscoError):
    """Nobody listens on the socket; the message names every path that was tried."""

    code = 3
    default_kind = "unavailable"


class Refused(DiscoError):
    """The asker may not do this; the message says who may, or where."""

    code = 4
    default_kind = "refused"


class Conflict(DiscoError):
    """The id, name or port belongs to somebody who lives; the message names them."""

    code = 6
    default_kind = "conflict"


class NoInstance(DiscoError):
    """There is none."""

    code = 1
    default_kind = "none"


class TimeoutExpired(DiscoError):
    """The agent listens but did not answer within the timeout."""

    code = 124
    default_kind = "timeout"


BY_CODE: dict[int, type[DiscoError]] = {
    kind.code: kind
    for kind in (
        DiscoError,
        InvalidRequest,
        AgentUnavailable,
        Refused,
        Conflict,
        NoInstance,
        TimeoutExpired,
    )
}


def shorten(value: object) -> str:
    """Show a value in a sentence: at most 60 characters, none that a terminal would obey."""
    shown = ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
