"""What an operator asks of the agent. As `discoagent.client.operating`."""

import asyncio
from collections.abc import AsyncIterator

from discoagent.aio.base import Base
from discoagent.client import calls, metrics, operator_calls
from discoagent.client.operating import EXAMINATION_SECONDS, Diagnosis, LogLine
from discoagent.errors import TimeoutExpired
from discoagent.instance import Json


class Operating(Base):
    """All that is about the agent itself; see `Disco` for each."""

    async def metrics(self) -> str:
        """Return the agent's figures as Prometheus text."""
        return metrics.text(await self._ask(calls.status(ready_ms=0)))

    async def examine(self) -> list[Diagnosis]:
        """Let the agent find out what is wrong with its set-up; takes some seconds."""
        rows = await self._ask(operator_calls.examine(), EXAMINATION_SECONDS + self.timeout)
        return [Diagnosis(*row) for row in rows]

    async def settings(self) -> Json:
        """Return the configuration that is in force, by key; for root and the agent's user."""
        return await self._ask(operator_calls.settings())

    async def log_level(self, level: str | None = None) -> str:
        """Return the level of the agent's log; first set it, if one is named."""
        return await self._ask(operator_calls.log_level(level))

    async def why(self, node: str) -> Json:
        """Return what a node's state is founded on; see `Disco.why`."""
        return await self._ask(operator_calls.why(node))

    async def forget(self, node: str) -> Json:
        """Let all agents forget a node that is not alive; see `Disco.forget`."""
        return await self._ask(operator_calls.forget(node))

    async def monitor(
        self, level: str = "info", *, timeout: float | None = None
    ) -> AsyncIterator[LogLine]:
        """Yield the agent's log from now on, at a level of its own; see `Disco.monitor`."""
        self._line.check()
        stream = (await self._line.link()).stream(operator_calls.monitor(level))
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        try:
            while True:
                answer = stream.take()
                if answer is None:
                    if stream.lost is not None:
                        raise stream.lost
                    if until is not None and loop.time() >= until:
                        raise TimeoutExpired(f"the time of {timeout:g} s is over")
                    await stream.wait(None if until is None else until - loop.time())
                    continue
                if not answer.bodies:
                    answer.result()
                    return
                for line in answer.bodies[0]:
                    yield LogLine(*line)
        finally:
            stream.close()
