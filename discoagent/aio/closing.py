"""What is closed by hand, or at the end of `async with`."""

from abc import abstractmethod
from types import TracebackType
from typing import Self


class AsyncClosing:
    """Closes itself at the end of `async with`, whatever happened there."""

    __slots__ = ()

    @abstractmethod
    async def close(self) -> None:
        """End it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
