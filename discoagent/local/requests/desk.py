"""How a request is answered by who does it."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from discoagent.local.host.owners import Asker
from discoagent.local.requests.queries import Row


class Caller(NamedTuple):
    """One request's way back: the connection, and the number that its answers carry."""

    name: bytes
    number: int
    asker: Asker


class Desk(Protocol):
    """Where answers are given."""

    def answer(self, caller: Caller, body: Any) -> None:
        """Give the last answer."""

    def answer_change(self, caller: Caller, body: Any) -> None:
        """Give the last answer once it is sure that the change is not forgotten."""

    def when_ready(self, caller: Caller, wait_ms: int, then: Callable[[], None]) -> None:
        """Do this once the agent is ready, or when the time is over."""

    def pages(self, caller: Caller, pages: Iterator[list[Row]], last: dict[str, Any]) -> None:
        """Give an answer in parts, and the last one."""

    def quality(self) -> dict[str, Any]:
        """Return how far an answer given now can be relied on."""

    def fail(self, caller: Caller, error: Exception) -> None:
        """Give an error as the answer."""
