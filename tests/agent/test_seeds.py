"""Seeds are looked for as long as the agent runs: greeted all at once, and dialled in between."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

import pytest

from discoagent.core.effects import DialOutcome, Greeted
from discoagent.core.entry import ReplicaId
from discoagent.local.peers import seeds as module
from discoagent.local.peers.seeds import DIALS_A_ROUND, Seeds

DEADLINE = 20.0


class Agent:
    """What seeds are looked for on behalf of: remembers whom it greets."""

    def __init__(self) -> None:
        self.greeted: list[str] = []
        self.reached: dict[str, str] = {}
        self._changed = asyncio.Event()
        self.seeds = Seeds(self._greet, lambda: self.reached)

    def _greet(self, endpoints: Iterable[str]) -> None:
        self.greeted += endpoints
        self._changed.set()

    def meet(self, endpoint: str, node: str, *, elsewhere: bool = False) -> None:
        """Take in that this node answers there, and is reached there, or elsewhere, from now on."""
        self.reached["elsewhere" if elsewhere else endpoint] = node
        self.seeds.greeted(Greeted(endpoint, ReplicaId(node, 1)))

    async def until_greeted(self, endpoint: str) -> None:
        """Wait until somebody there is greeted."""
        async with asyncio.timeout(DEADLINE):
            while endpoint not in self.greeted:
                self._changed.clear()
                await self._changed.wait()


@contextlib.asynccontextmanager
async def looking(agent: Agent, *seeds: str) -> AsyncIterator[None]:
    """Look for these; when the block begins, all were greeted once, and that is forgotten."""
    agent.seeds.use(seeds)
    search = asyncio.ensure_future(agent.seeds.run())
    await agent.until_greeted(seeds[-1])
    agent.greeted.clear()
    yield
    search.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await search


class Door:
    """A listener that greets as ZMTP does, or hangs up, and counts who comes."""

    def __init__(self, greeting: bytes = b"\xff") -> None:
        self.visits = 0
        self._greeting = greeting
        self._visited = asyncio.Event()

    @contextlib.asynccontextmanager
    async def open(self, port: int = 0) -> AsyncIterator[str]:
        """Listen; yields where."""
        async with await asyncio.start_server(self._welcome, "127.0.0.1", port) as server:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def until_visited(self, times: int) -> None:
        """Wait until so many came."""
        async with asyncio.timeout(DEADLINE):
            while self.visits < times:
                self._visited.clear()
                await self._visited.wait()

    async def _welcome(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        self._visited.set()
        writer.write(self._greeting)
        writer.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second be a moment, and once it is reached somebody look up again after an age."""
    monkeypatch.setattr(module, "RETRY", 0.01)
    monkeypatch.setattr(module, "ROUNDS_REACHED", 1_000_000)


def test_a_lost_seed_is_greeted_as_soon_as_it_answers() -> None:
    """Also long after others were reached; once, for it may be of another cluster."""

    async def story() -> None:
        agent, door, broken = Agent(), Door(), Door(b"")
        async with door.open() as lost:
            pass
        agent.meet("127.0.0.1:1", "b")
        async with (
            broken.open() as other,
            looking(agent, "127.0.0.1:1", other, lost),
            door.open(int(lost.rpartition(":")[2])),
        ):
            await agent.until_greeted(lost)
            await broken.until_visited(broken.visits + 5)  # as many rounds

            assert agent.greeted == [lost]
            assert door.visits == 1

    asyncio.run(story())


@pytest.mark.parametrize("elsewhere", [False, True])
def test_who_is_reached_is_not_dialled(elsewhere: bool) -> None:
    """Be it by another address; until it is lost: every second then."""

    async def story() -> None:
        doors = Door(), Door()
        async with doors[0].open() as here, doors[1].open() as lost:
            agent = Agent()
            agent.meet(here, "b", elsewhere=elsewhere)
            async with looking(agent, here, lost):
                await agent.until_greeted(lost)
                assert [door.visits for door in doors] == [0, 1]
                agent.reached.clear()
                await agent.until_greeted(here)

                assert agent.greeted == [lost, here]

    asyncio.run(story())


def test_so_many_are_dialled_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A share of them each second."""

    async def story() -> None:
        agent = Agent()
        agent.meet("127.0.0.1:1", "b")
        turns, over = [set[str]()], asyncio.Event()

        async def silent(endpoint: str) -> DialOutcome:
            if len(turns[-1]) == DIALS_A_ROUND:
                turns.append(set())
            turns[-1].add(endpoint)
            if len(turns) == 4:
                over.set()
            return DialOutcome.SILENT

        monkeypatch.setattr(module, "dial", silent)
        many = [f"127.0.0.1:{number}" for number in range(1, 2 * DIALS_A_ROUND + 2)]
        async with looking(agent, *many):
            await asyncio.wait_for(over.wait(), DEADLINE)

        assert turns[0] | turns[1] == set(many[1:])
        assert turns[2] == turns[0]

    asyncio.run(story())
