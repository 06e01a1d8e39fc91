"""Finding the others: seeds, dialled again and again, and greetings that an operator asks for."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from discoagent import endpoints
from discoagent.core.effects import Greeted, Refused
from discoagent.core.messages import RefusalKind
from discoagent.errors import InvalidRequest

RETRY = 1.0  # seconds between two rounds while nobody is reached
RETRY_REACHED = 10.0  # and once somebody is: seeds that are down are found again without hurry
NOT_REACHED, NOT_OF_US, NAME_TAKEN = 1, 4, 6  # the codes of a result, as in `errors.py`

_log = logging.getLogger("discoagent")


class Seeds:
    """Looks the seeds up and has them greeted, for ever; a DNS name is looked up at each try."""

    def __init__(
        self, greet: Callable[[Iterable[str]], None], alive: Callable[[str], bool]
    ) -> None:
        """`greet` takes endpoints; `alive` says whether a node of this name is present."""
        self._greet = greet
        self._alive = alive
        self._answered: dict[str, str] = {}
        self._unknown: set[str] = set()
        self._changed = asyncio.Event()
        self.seeds: tuple[str, ...] = ()
        self.reached = False

    def use(self, seeds: Sequence[str]) -> None:
        """Take these seeds from now on, and try them at once."""
        self.seeds = tuple(seeds)
        self._changed.set()

    def greeted(self, effect: Greeted) -> None:
        """Note who answers at an address, so that it is not greeted while that node is there."""
        self._answered[effect.endpoint] = effect.peer.node
        self.reached = True

    async def run(self) -> None:
        """Try for ever; ends by being cancelled."""
        while True:
            self._changed.clear()
            await asyncio.gather(*(self._try(seed) for seed in self.seeds))
            try:
                await asyncio.wait_for(
                    self._changed.wait(), RETRY_REACHED if self.reached else RETRY
                )
            except TimeoutError:
                continue

    async def _try(self, seed: str) -> None:
        try:
            found = await endpoints.resolve(endpoints.parse(seed))
        except OSError as error:
            # Once aloud: a name may be unknown for long, and is looked up every second.
            level = logging.DEBUG if seed in self._unknown else logging.WARNING
            self._unknown.add(seed)
            _log.log(level, "seed %s: %s", seed, error)
            return
        self._unknown.discard(seed)
        self._greet([each for each in map(str, found) if not self._present(each)])

    def _present(self, endpoint: str) -> bool:
        node = self._answered.get(endpoint)
        return node is not None and self._alive(node)


class Result(NamedTuple):
    """What came of one address: [address, ok, error, code]."""

    address: str
    ok: bool
    error: str | None = None
    code: int = 0


class Joins:
    """The greetings that operators wait for."""

    def __init__(self, greet: Callable[[str], bool]) -> None:
        """`greet` says Hello to one endpoint, and returns False if that is this very agent."""
        self._greet = greet
        self._asked: dict[str, list[asyncio.Future[Result]]] = {}

    async def join(self, addresses: Sequence[str], wait_ms: int) -> list[Result]:
        """Greet all these at once and return what came of each, in their order.

        Raises InvalidRequest if one cannot be read, before any is greeted.
        """
        try:
            wanted = [endpoints.parse(each, field="addresses:") for each in addresses]
        except ValueError as error:
            raise InvalidRequest(str(error), field="addresses") from None
        return await asyncio.gather(
            *(
                self._join(address, endpoint, wait_ms / 1000)
                for address, endpoint in zip(addresses, wanted, strict=True)
            )
        )

    def greeted(self, effect: Greeted) -> None:
        """Take in that somebody answered."""
        self._tell(effect.endpoint, Result("", ok=True))

    def refused(self, effect: Refused) -> bool:
        """Take in that somebody refused us; did an operator wait for it?"""
        code = NAME_TAKEN if effect.kind is RefusalKind.NAME else NOT_OF_US
        return self._tell(effect.endpoint, Result("", ok=False, error=effect.text, code=code))

    def _tell(self, endpoint: str, result: Result) -> bool:
        waiting = [each for each in self._asked.get(endpoint, ()) if not each.done()]
        for each in waiting:
            each.set_result(result)
        return bool(waiting)

    async def _join(self, address: str, endpoint: endpoints.Endpoint, wait: float) -> Result:
        """Try every address of a name at once: the first that welcomes us decides."""
        try:
            found = [str(each) for each in await endpoints.resolve(endpoint)]
        except OSError as error:
            return Result(address, ok=False, error=str(error), code=NOT_REACHED)
        tries = [asyncio.ensure_future(self._ask(each, wait)) for each in found]
        last = Result("", ok=False, error="it has no address", code=NOT_REACHED)
        try:
            for each in asyncio.as_completed(tries):
                last = await each
                if last.ok:
                    break
        finally:
            for task in tries:
                task.cancel()
        return last._replace(address=address)

    async def _ask(self, endpoint: str, wait: float) -> Result:
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        waiting = self._asked.setdefault(endpoint, [])
        waiting.append(answer)
        try:
            if not self._greet(endpoint):
                return Result("", ok=True)
            return await asyncio.wait_for(answer, wait)
        except TimeoutError:
            return Result(
                "", ok=False, error=f"no answer from {endpoint} in {wait:g} s", code=NOT_REACHED
            )
        finally:
            waiting.remove(answer)
            if not waiting:
                self._asked.pop(endpoint, None)
