"""`AsyncDisco`: see the package's docstring."""

import asyncio

from discoagent.aio.closing import AsyncClosing
from discoagent.aio.operating import Operating
from discoagent.aio.remembering import Remembering
from discoagent.aio.tending import Tending
from discoagent.aio.tracking import Tracking


class AsyncDisco(Tracking, Tending, Operating, Remembering, AsyncClosing):
    """The agent on this host, to ask and to register with, for the tasks of one event loop.

    `socket`: the path of the agent's socket; None: DISCO_SOCKET, else the first default path where
    an agent listens. `timeout`: seconds that one answer may take. It connects when first used.
    """

    async def close(self) -> None:
        """End the registrations held by this client and its watches, and give everything back.

        Static registrations and those of other processes stay. If the agent is away or does not
        answer within the timeout, this returns, and a thread ends them when the agent is back;
        should this process end before, its entries end with it, and leases by their time. Cancelled
        meanwhile, it leaves all to that thread.
        """
        if self._line.closed or not self._line.ours:
            return
        self._line.closed = True
        for watch in list(self._watches):
            await watch.close()
        try:
            if self._pending:
                await asyncio.wait(self._pending)
        finally:
            try:
                await self._keeper.close()
            finally:
                self._line.close()
