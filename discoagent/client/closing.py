"""What is closed by hand, or at the end of `with`."""

from abc import abstractmethod
from types import TracebackType
from typing import Self


class Closing:
    """Closes itself at the end of `with`, whatever happened there."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """End it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
