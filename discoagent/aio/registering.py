"""How a client registers, and what its handles say for it. As `discoagent.client.registering`."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

from discoagent import rules
from discoagent.aio.base import Base
from discoagent.aio.handles import AsyncRegistration
from discoagent.checks import Check
from discoagent.client import calls
from discoagent.client.calls import Spec, words
from discoagent.client.held import Held
from discoagent.client.keeper import succeed
from discoagent.client.lasting import Lasting, Row
from discoagent.client.registering import RENEWING, how_many, making, seeing_ms
from discoagent.client.session import Call
from discoagent.errors import AgentUnavailable, DiscoError, NoInstance, TimeoutExpired
from discoagent.instance import NO_META, Instance, Json

Registered = list[AsyncRegistration | DiscoError]
Made = list[Held | DiscoError]


def _instance_key(row: Row) -> tuple[str, ...]:
    return row[0], row[1]


class Registering(Base):
    """All that changes registrations of this node; see `Disco` for each.

    Whatever is cancelled here goes on to its end in the background, and what was to be registered
    is ended again.
    """

    async def register(
        self,
        name: str,
        *,
        port: int | None = None,
        address: str | None = None,
        id: str | None = None,  # noqa: A002 - the contract's word
        tags: Iterable[str] = (),
        meta: Mapping[str, str] = NO_META,
        pid: int | None = None,
        ttl: str | float | None = None,
        static: bool = False,
        replace: bool = False,
        check: Check | Iterable[Check] | None = None,
        verify: bool = False,
        wrapper: int | None = None,
        hold: bool = True,
        wait_seen: str | int | None = None,
        wait_timeout: float | None = None,
    ) -> AsyncRegistration:
        """Register an instance of the service `name`; see `Disco.register`.

        A lease is renewed, and everything said again to a restarted agent, by a task of this loop.
        """
        spec = Spec(
            name,
            port,
            address,
            id,
            words(tags, "tags"),
            meta,
            replace,
            calls.checks(check),
            verify,
            pid=pid,
            ttl=ttl,
            static=static,
            wrapper=wrapper,
        )
        if wait_seen is not None:
            how_many(wait_seen)
        (made,) = await self._make([spec], hold=hold)
        if isinstance(made, DiscoError):
            raise made
        registered = AsyncRegistration(self, made)
        if wait_seen is not None:
            try:
                registered.seen = await self.wait_seen(wait_seen, wait_timeout)
            except asyncio.CancelledError:
                self._keeper.end_later(made)
                raise
        return registered

    async def may_register(self, spec: Spec) -> None:
        """Raise what `register` would raise, and register nothing; see `Disco.may_register`."""
        await self._ask(calls.may_register(spec))

    async def wait_seen(self, nodes: str | int = "all", timeout: float | None = None) -> Json:
        """Wait until other nodes have seen all that was changed here; see `Disco.wait_seen`."""
        wait_ms = seeing_ms(timeout)
        call = calls.seen(how_many(nodes), wait_ms=wait_ms)
        return await self._ask(call, wait_ms / 1000 + self.timeout)

    async def register_many(self, specs: Iterable[Spec], *, hold: bool = True) -> Registered:
        """Register many at once; results come in their order; see `Disco.register_many`."""
        return [
            made if isinstance(made, DiscoError) else AsyncRegistration(self, made)
            for made in await self._make(specs, hold=hold)
        ]

    async def update(
        self,
        id: str,  # noqa: A002 - the contract's word
        *,
        port: int | None = None,
        address: str | None = None,
        tag: str | Iterable[str] = (),
        untag: str | Iterable[str] = (),
        set: Mapping[str, str] | None = None,  # noqa: A002 - the contract's word
        unset: str | Iterable[str] = (),
        check: Check | Iterable[Check] | None = None,
    ) -> Instance:
        """Change what is named of an instance of this node; see `Disco.update`."""
        call = calls.update(
            id,
            port=port,
            address=address,
            tag=tag,
            untag=untag,
            set=set,
            unset=unset,
            check=check,
        )
        return Instance.from_row(await self._whole(self._noted(call)))

    async def renew(self, id: str) -> Instance:  # noqa: A002 - the contract's word
        """Give a lease of this node its whole time anew."""
        return Instance.from_row(await self._ask(calls.renew(id)))

    async def deregister(self, id: str, cause: str | None = None) -> Instance:  # noqa: A002
        """End an instance of this node; return it as it was; see `Disco.deregister`."""
        return Instance.from_row(await self._whole(self._deregistered(id, cause)))

    async def _deregistered(self, name: str, cause: str | None) -> Row:
        try:
            row = await self._ask(calls.deregister(name, cause=cause))
        except (AgentUnavailable, TimeoutExpired):
            target = rules.target(name, "id")
            held = self._keeper.instance(target.service, target.id)
            if held is not None:
                self._keeper.end_later(held)
            raise
        self._dropped(_instance_key(row))
        return row

    # -- for handles -------------------------------------------------------------------------------

    async def change(self, held: Held, call: Call[Row]) -> None:
        """Say `update` or `renew` for a registration; used by its handle."""
        self._line.check()
        if held.ended is not None:
            raise held.ended
        if held.closing:
            raise NoInstance(f"{held.name} was closed")
        await self._whole(self._changed(held, call))

    async def _changed(self, held: Held, call: Call[Row]) -> None:
        async with self._keeper.speaking_for(held):
            link = await self._line.link()
            incarnation = (await link.greeting(self.timeout)).incarnation
            if held.said_to != incarnation:  # it was just restarted: tell it first
                held.row = (await link.ask(held.again(), self.timeout)).result()
                held.said_to = incarnation
            asked = time.monotonic()
            held.row = (await link.ask(call, self.timeout)).result()
        held.spec = held.spec.changed(call)
        if call.operation in RENEWING:
            held.renewed = asked

    async def end(self, held: Held) -> None:
        """End a registration; used by its handle."""
        if held.over or held.closing or self._line.closed or not self._line.ours:
            return
        await self._whole(self._ended(held))

    async def _ended(self, held: Held) -> None:
        try:
            async with self._keeper.speaking_for(held):
                await self._ask(held.ending())
        except NoInstance:
            pass
        except (AgentUnavailable, TimeoutExpired):
            if self._keeper.find(held.key) is not held:
                raise
            self._keeper.end_later(held)
            return
        self._keeper.drop(held)

    async def _make(self, specs: Iterable[Lasting], *, hold: bool) -> Made:
        """Have all these made; return each, or its error, in their order."""
        self._line.check()
        return await self._whole(self._made(list(specs), hold=hold), self._unwanted)

    async def _made(self, specs: list[Lasting], *, hold: bool) -> Made:
        link = await self._line.link()
        said_to = (await link.greeting(self.timeout)).incarnation
        asked = time.monotonic()
        outcomes, broken = await link.exchange(map(making, specs), self.timeout)
        results: Made = [
            outcome.error or Held(spec, outcome.value, said_to, asked)
            for spec, outcome in zip(specs, outcomes, strict=True)
        ]
        made = [it for it in results if isinstance(it, Held)]
        if hold:
            self._keeper.hold(link.path, made)
        else:
            for held in made:
                succeed(link.path, held)
        if broken is not None and results and results[0] is broken:
            raise broken
        return results

    def _unwanted(self, made: Made) -> None:
        """End what nobody has a handle of."""
        for held in made:
            if isinstance(held, Held):
                self._keeper.end_later(held)

    async def _noted(
        self, call: Call[Row], key_of: Callable[[Row], tuple[str, ...]] = _instance_key
    ) -> Row:
        """Change by name, and keep the change, to say it again with what is held."""
        row = await self._ask(call)
        held = self._keeper.find(key_of(row))
        if held is not None:
            held.row = row
        return row

    def _dropped(self, key: tuple[str, ...]) -> None:
        held = self._keeper.find(key)
        if held is not None:
            self._keeper.drop(held)
