"""Finding the others: seeds, dialled again and again, and greetings that an operator asks for."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from discoagent import endpoints
from discoagent.core.effects import DialOutcome, Greeted, Refused
from discoagent.core.messages import RefusalKind
from discoagent.errors import DiscoError, InvalidRequest
from discoagent.mesh.dialling import dial

RETRY = 1.0  # seconds between two rounds while nobody is reached, and two dials of who is lost
ROUNDS_REACHED = 10  # once somebody is, names are looked up without hurry
DIALS_A_ROUND = 16
WHY_SILENT = {  # what a dial showed of who did not answer in time
    DialOutcome.SILENT: ": its host does not answer, or a firewall drops what comes",
    DialOutcome.MUTE: ": somebody accepts there, and says nothing",
    DialOutcome.OPEN: ": somebody speaks there; is that an agent's `bind` port?",
}
NOT_REACHED, NOT_OF_US, NAME_TAKEN = 1, 4, 6  # the codes of a result, as in `errors.py`

_log = logging.getLogger("discoagent")


class Seeds:
    """Looks the seeds up and has them greeted, for ever; a DNS name is looked up at each try.

    In between, each address where nobody of the present is reached is dialled every second, and
    whoever answers is greeted at once.
    """

    def __init__(
        self, greet: Callable[[Iterable[str]], None], reached: Callable[[], Mapping[str, str]]
    ) -> None:
        """`greet` takes endpoints; `reached` tells where which nodes are that are present."""
        self._greet = greet
        self._reached = reached
        self._answered: dict[str, str] = {}
        self._found: dict[str, tuple[str, ...]] = {}
        self._unknown: set[str] = set()
        self._round = 0
        self._dialled: dict[str, int] = {}  # in which round was each dialled last
        self._open: set[str] = set()  # who answered since all were greeted
        self._living: set[str] = set()  # where the last dial met a host that lives
        self._dials: set[asyncio.Task[None]] = set()
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

    def lives(self, endpoint: str) -> bool:
        """Does a host live there, be its agent gone or just starting, as the last dial told?"""
        return endpoint in self._living

    async def run(self) -> None:
        """Try for ever; ends by being cancelled."""
        try:
            while True:
                self._changed.clear()
                self._open.clear()
                await asyncio.gather(*(self._try(seed) for seed in self.seeds))
                await self._pause(ROUNDS_REACHED if self.reached else 1)
        finally:
            for task in self._dials:
                task.cancel()

    async def _pause(self, seconds: int) -> None:
        """Dial the lost every second, until it is time to look all seeds up again."""
        for _ in range(seconds):
            self._dial_lost()
            try:
                async with asyncio.timeout(RETRY):
                    await self._changed.wait()
            except TimeoutError:
                continue
            return

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
        self._found[seed] = tuple(map(str, found))
        self._greet(self._lost(self._found[seed]))

    def _dial_lost(self) -> None:
        """Dial a round's share of those where nobody is reached, in turn."""
        self._round += 1
        found = {each for seed in self.seeds for each in self._found.get(seed, ())}
        self._dialled = {each: self._dialled.get(each, 0) for each in sorted(found)}
        lost = self._lost(found - self._open)
        for endpoint in sorted(lost, key=self._dialled.__getitem__)[:DIALS_A_ROUND]:
            self._dialled[endpoint] = self._round
            task = asyncio.get_running_loop().create_task(self._dial(endpoint))
            self._dials.add(task)
            task.add_done_callback(self._dials.discard)

    def _lost(self, endpoints: Collection[str]) -> list[str]:
        """Return where nobody is reached; a node may have answered at another address of it."""
        reached = self._reached() if endpoints else {}
        nodes = set(reached.values())
        return [
            each
            for each in sorted(endpoints)
            if each not in reached and self._answered.get(each) not in nodes
        ]

    async def _dial(self, endpoint: str) -> None:
        outcome = await dial(endpoint)
        if outcome is DialOutcome.SILENT:
            self._living.discard(endpoint)
        else:
            self._living.add(endpoint)
        if outcome is DialOutcome.OPEN:
            self._open.add(endpoint)
            self._greet([endpoint])


class Result(NamedTuple):
    """What came of one address: [address, ok, error, code]."""

    address: str
    ok: bool
    error: str | None = None
    code: int = 0


JoinOutcome = Sequence[Result] | DiscoError


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
        looking = asyncio.ensure_future(self._look(endpoint, answer))
        try:
            if not self._greet(endpoint):
                return Result("", ok=True)
            return await asyncio.wait_for(answer, wait)
        except TimeoutError:
            why = WHY_SILENT.get(looking.result(), "") if looking.done() else ""
            error = f"no answer from {endpoint} in {wait:g} s{why}"
            return Result("", ok=False, error=error, code=NOT_REACHED)
        finally:
            looking.cancel()
            waiting.remove(answer)
            if not waiting:
                self._asked.pop(endpoint, None)

    async def _look(self, endpoint: str, answer: "asyncio.Future[Result]") -> DialOutcome:
        """Dial beside the greeting, which says nothing where nobody listens."""
        outcome = await dial(endpoint)
        if outcome is DialOutcome.REFUSED and not answer.done():
            error = f"nobody listens at {endpoint}: connection refused"
            answer.set_result(Result("", ok=False, error=error, code=NOT_REACHED))
        return outcome
