"""A node that begins anew again and again leaves nothing behind but its present life."""

import gc
import sys
from types import FunctionType, MethodType, ModuleType

import pytest

from discoagent.core import ring
from discoagent.core.effects import NodeState
from discoagent.core.entry import Kind, ReplicaId
from discoagent.core.messages import DeltaMessage, Envelope, Farewell, Heartbeat, Hello, Parting
from discoagent.core.replica import Replica
from discoagent.core.timing import TICK, Timing
from tests.core.vocabulary import REGISTERED, chain_of, entry, member, record

E1 = entry("1")
PLACES = 150  # dead places of our own chain wait so long until they are packed


def reachable(root: object) -> int:
    """Return how many objects hang on this one, code and types left out."""
    seen = {id(root): root}
    ends = (type, ModuleType, FunctionType, MethodType)
    front = [root]
    while front:
        found = [it for it in gc.get_referents(*front) if not isinstance(it, ends)]
        front = []
        for it in found:
            if id(it) not in seen:
                seen[id(it)] = it
                front.append(it)
    return len(seen)


def work_of_a_lookup(replica: Replica) -> int:
    """Return how many calls it takes to look everything up."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        list(replica.lookup(Kind.SERVICE))
        replica.find(Kind.SERVICE, "1", "web", "b")
    finally:
        sys.setprofile(None)
    return calls


class Restarter:
    """b, which begins anew each few ticks: killed, with a farewell, or gone until it is down."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._now = 100.0

    def live(self, incarnation: int) -> None:
        """Begin a life, register, and end it in one of its ways."""
        life = ReplicaId("b", incarnation)
        self._say(life, Hello(1, "home", "b:1", (1, 1), (), 3))
        steps = ((it, REGISTERED) for it in (member(), E1, entry("2", b"v%d" % incarnation)))
        delta = chain_of(*steps, replica=life).delta_since(0)
        assert delta is not None
        self._say(life, DeltaMessage((delta,)))
        hash_of_b = self._replica._members.peers["b"].node.hash
        self._say(None, Heartbeat(hash_of_b, incarnation, 1, 3, 0, 0, 0))
        if incarnation % 3 == 0:
            self._say(life, Farewell(Parting.RESTART))
        if incarnation % 100 == 0:
            self._silence(life)

    def _silence(self, life: ReplicaId) -> None:
        """Be silent until it is down, and let it be forgotten."""
        replica = self._replica
        while replica._members.peers["b"].state is not NodeState.DOWN:
            self._now += TICK
            replica.tick(self._now)
        replica.forget("b", replica._members.cause("node-forgotten"), self._now)
        self._now += TICK
        replica.tick(self._now)
        replica.flush(self._now)

    def _say(self, by: ReplicaId | None, message: object) -> None:
        self._now += TICK / 4
        self._replica.receive(Envelope(message, by), self._now)  # type: ignore[arg-type]


def test_memory_and_the_cost_of_reading_stay_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few lives, and after ten thousand."""
    monkeypatch.setattr(ring, "RING_STEPS_MIN", 1)  # our own ring fills up, once
    replica = Replica(
        node="a", incarnation=1, cluster="home", record=record(), timing=Timing(), now=100.0
    )
    restarter = Restarter(replica)
    figures = []
    first = 1
    for last in (305, 10_205):
        for incarnation in range(first, last + 1):
            restarter.live(incarnation)
        first = last + 1
        figures.append((reachable(replica), work_of_a_lookup(replica)))

    (few, work), (many, the_same) = figures
    assert many < few + PLACES
    assert work == the_same
    assert [it.entry.id for it in replica.lookup(Kind.SERVICE)] == ["1", "2"]
