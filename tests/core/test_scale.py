"""What a message or a tick costs grows with the cluster no faster than the cluster does."""

import sys
from collections.abc import Callable

import pytest

from discoagent.core.digest import name_hash
from discoagent.core.entry import ReplicaId
from discoagent.core.messages import Acquaintance, Envelope, Heartbeat, Hello, Standing, Welcome
from discoagent.core.replica import Replica
from discoagent.core.timing import TICK, Timing
from tests.core.vocabulary import record

FEW, MANY = 100, 400
SLACK = 1.3


class Newcomer:
    """A replica among so many others, which it is told of by the first."""

    def __init__(self, size: int) -> None:
        self.now = 100.0
        self.beat = 0
        self.lives = [ReplicaId(f"n{number}", 1) for number in range(size)]
        self.replica = Replica(
            node="a", incarnation=1, cluster="home", record=record(), timing=Timing(), now=self.now
        )
        self.replica.seeds(["n0:1"], self.now)

    def welcome(self) -> None:
        """Be told of all."""
        told = tuple(
            Acquaintance(life, f"{life.node}:1", 3, Standing.ALIVE, 100, 1)
            for life in self.lives[1:]
        )
        answer = Welcome(1, "home", "n0:1", (1, 1), (), 3, told)
        self.replica.receive(Envelope(answer, self.lives[0]), self.now)

    def hellos(self) -> None:
        """Be greeted by all, who know as many."""
        known = self.replica._members.digests.set
        for life in self.lives:
            hello = Hello(1, "home", f"{life.node}:1", (1, 1), (), 3, known)
            self.replica.receive(Envelope(hello, life), self.now)

    def heartbeats(self) -> None:
        """Hear all, whose view is another."""
        self.beat += 1
        for life in self.lives:
            beat = Heartbeat(name_hash(life.node), 1, self.beat, 3, 1, 2, 0)
            self.replica.receive(Envelope(beat, None), self.now)

    def silence(self) -> None:
        """Let time pass until all are down."""
        for _ in range(round(20 / TICK)):
            self.now += TICK
            self.replica.tick(self.now)


def work(what: Callable[[], None]) -> int:
    """Return how many calls something takes."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        what()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("what", ["welcome", "hellos", "heartbeats", "silence"])
def test_each_costs_as_much_among_many(what: str) -> None:
    """Among four times as many, four times as much in all."""
    spent = []
    for size in (FEW, MANY):
        newcomer = Newcomer(size)
        for before in ("welcome", "hellos"):
            if before == what:
                break
            getattr(newcomer, before)()
        spent.append(work(getattr(newcomer, what)))

    assert spent[1] < SLACK * spent[0] * MANY / FEW
