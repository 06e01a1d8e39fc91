"""What is said of the health of this node's instances. As `discoagent.client.tending`."""

from discoagent.aio.base import Base
from discoagent.client import calls, tending
from discoagent.client.asking import query_wait_ms
from discoagent.client.lasting import milliseconds
from discoagent.instance import Instance, Json


class Tending(Base):
    """All that is about the state of instances; see `Disco` for each."""

    async def ttl(self, id: str, word: str, note: str = "") -> Instance:  # noqa: A002
        """Say how an instance of this node is: `pass`, `warn` or `fail`; see `Disco.ttl`."""
        return Instance.from_row(await self._ask(tending.ttl(id, word, note)))

    async def maint(
        self,
        id: str | None = None,  # noqa: A002 - the contract's word
        *,
        on: bool = True,
        reason: str | None = None,
        duration: str | float | None = None,
    ) -> list[Instance]:
        """Take an instance of this node, or all, out of use; see `Disco.maint`."""
        for_ms = None if duration is None else milliseconds(duration, "for")
        rows = await self._ask(tending.maint(id, on=on, reason=reason, for_ms=for_ms))
        return [Instance.from_row(row) for row in rows]

    async def drain(self, id: str | None = None) -> list[Instance]:  # noqa: A002
        """Let an instance of this node, or all, get nothing new; see `Disco.drain`."""
        return [Instance.from_row(row) for row in await self._ask(tending.drain(id))]

    async def drain_plan(self, id: str | None = None) -> list[Json]:  # noqa: A002
        """Return what a `drain` would leave, by service; see `Disco.drain_plan`."""
        node = (await self._ask(calls.hello())).node
        wait_ms = query_wait_ms(self.timeout)
        if id is None:
            own = await self._ask(tending.visible(node=node, wait_ms=wait_ms))
        else:
            own = [tending.of_node(await self._ask(calls.get(id, wait_ms=wait_ms)), node)]
        there = await self._ask(tending.beside(own, wait_ms=wait_ms)) if own else []
        return tending.plan(own, there)

    async def reload(self, *, dry_run: bool = False) -> Json:
        """Have configuration and service files read again; see `Disco.reload`."""
        return await self._ask(tending.reload(dry_run=dry_run))
