"""Who has seen what: whom is asked, again and again, and when the answer is given."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest

from discoagent.core.effects import Effect, NodeState, SeenBy, Send
from discoagent.core.entry import ReplicaId
from discoagent.core.messages import Envelope, Seen, SeenReply
from discoagent.core.replica import Replica
from discoagent.core.timing import Timing
from discoagent.local.peers import seeing as module
from discoagent.local.peers.seeing import Question, Seeing
from tests.core.vocabulary import B, C, entry, join, meet, record, register, snapshot

LONG = 3600.0
SHORT = 0.02


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rounds be short: what is shown is their order."""
    monkeypatch.setattr(module, "ROUND", SHORT)
    monkeypatch.setattr(module, "LATE", SHORT)


class Story:
    """`a`, which holds three steps of its own and knows b and c. `asked`: the questions said."""

    def __init__(self) -> None:
        self.replica = Replica(
            node="a", incarnation=1, cluster="t", record=record(), timing=Timing(), now=10.0
        )
        self.members = self.replica._members
        for other in (B, C):
            join(self.members, meet(self.members, other), snapshot(other, entry()))
        register(self.members, entry("1"), entry("2"))
        self.me = self.replica.id
        self.seeing = Seeing(
            loop=asyncio.get_running_loop(),
            replica=self.replica,
            perform=self.perform,
            now=asyncio.get_running_loop().time,
        )
        self.asked: list[tuple[str, Seen]] = []
        self.answers: list[Question] = []
        self.there = True
        self._said = asyncio.Event()

    def perform(self, effects: Iterable[Effect]) -> None:
        """Note whom is asked, and take in who has seen it."""
        for effect in effects:
            match effect:
                case Send(endpoints, Seen() as question):
                    self.asked += [(endpoint[0], question) for endpoint in endpoints]
                    self._said.set()
                case SeenBy():
                    self.seeing.answered(effect)
                case _:
                    pass

    def ask_own(self, need: int | None = None, seconds: float = LONG) -> None:
        """Ask who has seen our own steps."""
        self.seeing.ask_own(need, seconds, lambda: self.there, self._answered)

    def ask_all(self, seconds: float = LONG) -> None:
        """Ask who has everything."""
        self.seeing.ask_all(seconds, lambda: self.there, self._answered)

    def _answered(self, question: Question) -> None:
        self.answers.append(question)
        self._said.set()

    async def question(self, number: int, to: str) -> Seen:
        """Wait until a node was asked for the nth time."""
        await self._wait(lambda: len(self._asked_of(to)) >= number)
        return self._asked_of(to)[number - 1]

    async def answer(self) -> Question:
        """Wait for the answer."""
        await self._wait(lambda: bool(self.answers))
        return self.answers[0]

    def _asked_of(self, node: str) -> list[Seen]:
        return [question for to, question in self.asked if to == node]

    async def _wait(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self._said.clear()
                await self._said.wait()

    def reply(self, question: Seen, by: ReplicaId, *behind: tuple[ReplicaId, int]) -> None:
        """Let a peer answer."""
        reply = Envelope(SeenReply(question.number, behind), by)
        self.perform(self.replica.receive(reply, asyncio.get_running_loop().time()))

    def hide(self, node: str) -> None:
        """Let a peer go down."""
        peer, cause = self.members.peers[node], self.members.cause("node-down")
        self.members.hide(peer, NodeState.DOWN, cause, "", 10.0)


def told(story: Callable[[Story], Coroutine[Any, Any, None]]) -> None:
    """Run a story; whatever came of it, no question is left open."""

    async def run() -> None:
        here = Story()
        await story(here)
        assert len(here.answers) == 1
        assert here.seeing._asked == {}
        assert here.replica._sights._asked == {}

    asyncio.run(run())


def test_all_have_seen_it() -> None:
    """Each is asked once, and the answer is given with the last of theirs."""

    async def story(it: Story) -> None:
        it.ask_own()
        question = await it.question(1, "b")
        assert question.goals == ((it.me, 3),)
        it.reply(question, C)
        assert it.answers == []
        it.reply(question, B)

        found = await it.answer()
        assert [node for node, _ in it.asked] == ["b", "c"]
        assert (sorted(found.seen), found.missing) == (["b", "c"], [])
        assert 0 <= found.seen["c"] <= found.seen["b"]

    told(story)


def test_enough_have_seen_it() -> None:
    """The others are missing, and are not waited for."""

    async def story(it: Story) -> None:
        it.ask_own(1)
        it.reply(await it.question(1, "b"), C)

        found = await it.answer()
        assert (list(found.seen), found.missing) == (["c"], ["b"])

    told(story)


def test_more_than_there_are() -> None:
    """The answer is given at once."""

    async def story(it: Story) -> None:
        it.ask_own(3)
        assert it.answers[0].missing == ["b", "c"]

    told(story)


def test_nobody_is_there() -> None:
    """All others have seen it."""

    async def story(it: Story) -> None:
        it.hide("b")
        it.hide("c")
        it.ask_own()
        assert (it.answers[0].nodes, it.answers[0].missing) == ((), [])

    told(story)


def test_who_does_not_answer_is_asked_again() -> None:
    """He alone; so is who was behind when his time was over. A late answer to the first counts no
    more."""

    async def story(it: Story) -> None:
        it.ask_own()
        first = await it.question(1, "b")
        it.reply(first, C)
        second = await it.question(2, "b")
        assert (second.goals, second.number > first.number) == (first.goals, True)
        it.reply(first, B)
        it.reply(second, B, (it.me, 2))
        it.reply(await it.question(3, "b"), B)

        assert (await it.answer()).missing == []
        assert [node for node, _ in it.asked] == ["b", "c", "b", "b"]

    told(story)


def test_the_time_is_over() -> None:
    """Who has not seen it is missing."""

    async def story(it: Story) -> None:
        it.ask_own(seconds=3 * SHORT)
        it.reply(await it.question(1, "b"), B)

        found = await it.answer()
        assert (list(found.seen), found.missing) == (["b"], ["c"])

    told(story)


def test_who_goes_down_is_waited_for_no_longer() -> None:
    """He is missing, but holds nobody up for ever."""

    async def story(it: Story) -> None:
        it.ask_own()
        it.reply(await it.question(1, "b"), B)
        it.hide("c")

        assert (await it.answer()).missing == ["c"]

    told(story)


def test_nobody_waits_any_more() -> None:
    """Nobody is asked again."""

    async def story(it: Story) -> None:
        it.there = False
        it.ask_own()
        await it.answer()
        assert len(it.asked) == 2

    told(story)


def test_who_has_everything() -> None:
    """First all say how they stand; who is behind is given the time to reach it."""

    async def story(it: Story) -> None:
        it.ask_all()
        standing = await it.question(1, "b")
        assert standing.patience_ms == 0
        assert dict(standing.goals) == {it.me: 3, B: 2, C: 2}
        it.reply(standing, B)
        it.reply(standing, C, (it.me, 1), (B, 0))
        later = await it.question(2, "c")
        assert (later.goals, later.patience_ms) == (standing.goals, round(SHORT * 1000))
        (asked,) = set(it.seeing._asked.values())
        assert asked.standing("b") == ("same", {})
        assert asked.standing("c") == ("behind", {"a": 2, "b": 2})
        it.reply(later, C)

        found = await it.answer()
        assert found.standing("c") == ("same", {})

    told(story)


def test_who_is_silent_and_who_is_behind_when_the_time_is_over() -> None:
    """As they were heard last."""

    async def story(it: Story) -> None:
        it.ask_all(3 * SHORT)
        it.reply(await it.question(1, "b"), B, (it.me, 2))

        found = await it.answer()
        assert found.standing("b") == ("behind", {"a": 1})
        assert found.standing("c") == ("silent", {})

    told(story)


def test_what_is_hidden_meanwhile_need_not_be_reached() -> None:
    """Nobody would ever have it; and who went down is no longer asked for."""

    async def story(it: Story) -> None:
        it.ask_all()
        it.reply(await it.question(1, "b"), B, (C, 1))
        it.hide("c")
        later = await it.question(2, "b")
        assert dict(later.goals) == {it.me: 3, B: 2}
        it.reply(later, B)

        found = await it.answer()
        assert (found.nodes, sorted(found.here)) == (("b", "c"), ["b"])

    told(story)
