"""The verbs that the shell drives: what goes in, what comes out, and when."""

from dataclasses import replace

import pytest

from discoagent.core.chain import MEMBER_KEY
from discoagent.core.effects import (
    Broadcast,
    Connect,
    Dial,
    DialOutcome,
    Effect,
    Emit,
    Greeted,
    NodeState,
    Send,
)
from discoagent.core.entry import Kind, ReplicaId
from discoagent.core.limits import ENDED_MAX
from discoagent.core.messages import (
    Delta,
    DeltaMessage,
    Envelope,
    Farewell,
    Heartbeat,
    Hello,
    Parting,
    Removal,
)
from discoagent.core.replica import Replica
from discoagent.core.timing import TICK, Timing
from tests.core.cluster import Cluster
from tests.core.vocabulary import (
    DEREGISTERED,
    EXITED,
    LEFT,
    REGISTERED,
    UPDATED,
    A,
    B,
    added,
    entry,
    member,
    record,
    removed,
    updated,
)

E1, E2 = entry("1"), entry("2")
E1B = entry("1", b"v2")


def hello(by: str) -> Envelope:
    """Return the Hello of a stranger."""
    return Envelope(Hello(1, "home", f"{by}:1", (1, 1)), ReplicaId(by, 1))


class TestOwnEntries:
    """Put, withdraw, settle, flush."""

    def test_each_change_is_an_event_here_at_once(self, cluster: Cluster, a: Replica) -> None:
        """And goes to the others at the end of the turn, as one message."""
        now = cluster.now
        effects = [
            *a.put(E1, REGISTERED, now),
            *a.put(E2, REGISTERED, now),
            *a.put(E1B, UPDATED, now),
            *a.withdraw(E2.key, DEREGISTERED, now),
        ]

        assert effects == [
            added("a", E1, clock=2),
            added("a", E2, clock=3),
            updated("a", E1B, E1, clock=4),
            removed("a", E2, clock=5),
        ]
        assert a.flush(now) == [
            Send(
                ("b:1",),
                DeltaMessage(
                    (
                        Delta(A, 1, 3, {2: (E1, REGISTERED), 3: (E2, REGISTERED)}, {}),
                        Delta(
                            A,
                            3,
                            5,
                            {4: (E1B, UPDATED)},
                            {2: Removal(UPDATED, 4), 3: Removal(DEREGISTERED, 5)},
                        ),
                    )
                ),
            )
        ]
        assert a.flush(now) == []
        cluster.run("a", effects)

    def test_what_changes_nothing_is_nothing(self, cluster: Cluster, alone: Replica) -> None:
        """The same again, or the end of what is not there."""
        cluster.run("a", alone.put(E1, REGISTERED, cluster.now))

        assert alone.put(E1, UPDATED, cluster.now) == []
        assert alone.withdraw(E2.key, DEREGISTERED, cluster.now) == []
        assert alone.own.clock == 2

    def test_the_record_is_not_an_entry_of_users(self, cluster: Cluster, alone: Replica) -> None:
        """It has verbs of its own."""
        with pytest.raises(AssertionError):
            alone.put(member(), REGISTERED, cluster.now)

    def test_the_record_changes_without_an_event(self, cluster: Cluster, a: Replica) -> None:
        """But as a step, which the others see."""
        labelled = replace(record("a:1"), labels={"zone": "x"})

        assert a.update_record(labelled, UPDATED, cluster.now) == []
        assert a.update_record(labelled, UPDATED, cluster.now) == []
        assert a.own.clock == 2

        cluster.run("a", [])

        views = cluster.running["b"].members(cluster.now)
        assert views[0].record == labelled

    def test_alone_nothing_is_sent(self, cluster: Cluster, alone: Replica) -> None:
        """Whoever comes later fetches it."""
        cluster.run("a", alone.put(E1, REGISTERED, cluster.now))

        assert not any(isinstance(it, Send) for it in cluster.effects["a"])

    def test_settling_tells_what_ended_meanwhile(self, cluster: Cluster, a: Replica) -> None:
        """For a while, and so much of it at most."""
        ended = {entry(str(number)).key: EXITED for number in range(ENDED_MAX + 1)}
        cluster.run("a", a.settle(REGISTERED, cluster.now, ended))

        assert a.own.record is not None
        assert a.own.record.settled
        assert len(a.own.record.ended) == ENDED_MAX

        cluster.wait(25)

        assert a.own.record.ended == {}
        assert cluster.running["b"].members(cluster.now)[0].record == record("a:1")

    def test_timing_that_cannot_work_is_refused(self) -> None:
        """By name."""
        with pytest.raises(ValueError, match="suspect_after"):
            Replica(
                node="a",
                incarnation=1,
                cluster="home",
                record=record(),
                timing=Timing(suspect_after=0.1),
                now=0.0,
            )


class TestParting:
    """The last words."""

    def test_to_nobody(self, cluster: Cluster, alone: Replica) -> None:
        """There is nothing to send."""
        assert alone.depart(Parting.RESTART, LEFT, cluster.now) == []

    def test_a_restart(self, cluster: Cluster, a: Replica) -> None:
        """What was not pushed yet goes first; here everything stays as it is."""
        cluster.run("a", a.put(E1, REGISTERED, cluster.now))
        effects = a.put(E2, REGISTERED, cluster.now)
        last = a.depart(Parting.RESTART, LEFT, cluster.now)

        assert last == [
            Send(("b:1",), DeltaMessage((Delta(A, 2, 3, {3: (E2, REGISTERED)}, {}),))),
            Send(("b:1",), Farewell(Parting.RESTART)),
        ]
        assert len(list(a.lookup(Kind.SERVICE))) == 2
        cluster.run("a", effects + last)

    def test_a_leave(self, cluster: Cluster, a: Replica) -> None:
        """The chain is closed: here, too, everything is gone."""
        cluster.run("a", a.put(E1, REGISTERED, cluster.now))
        effects = a.depart(Parting.LEAVE, LEFT, cluster.now)

        assert effects == [
            removed("a", E1, LEFT),
            Send(("b:1",), Farewell(Parting.LEAVE, Delta(A, 2, 3, {}, {1: Removal(LEFT, 3)}))),
        ]
        assert a.own.closed
        assert a.own.get(MEMBER_KEY) is None
        cluster.run("a", effects)

    def test_a_leave_of_one_who_is_alone(self, cluster: Cluster, alone: Replica) -> None:
        """Its own watchers are told all the same."""
        cluster.run("a", alone.put(E1, REGISTERED, cluster.now))
        effects = alone.depart(Parting.LEAVE, LEFT, cluster.now)

        assert effects == [removed("a", E1, LEFT)]
        cluster.run("a", effects)

    def test_afterwards_it_is_silent(self, cluster: Cluster, a: Replica) -> None:
        """It answers nobody, or somebody might take it for alive."""
        cluster.run("a", a.depart(Parting.RESTART, LEFT, cluster.now))

        assert a.receive(hello("c"), cluster.now) == []
        assert a.tick(cluster.now + 5) == []


class TestMesh:
    """Verbs about others."""

    def test_an_operator_s_join_asks_even_friends(self, cluster: Cluster, a: Replica) -> None:
        """So that there is an answer to show."""
        assert a.seeds(["b:1"], cluster.now) == []

        cluster.run("a", a.join("b:1", cluster.now))

        assert cluster.effects["a"][-1] == Greeted("b:1", B)

    def test_a_link_that_ends_is_looked_at(self, cluster: Cluster, a: Replica) -> None:
        """By a dial; its outcome is evidence."""
        cluster.kill("b", DialOutcome.REFUSED)

        assert a.link_down("b:1", cluster.now) == [Dial("b:1")]

        cluster.run("a", a.dialled("b:1", DialOutcome.REFUSED, cluster.now))

        assert a.members(cluster.now)[1].state is NodeState.RESTARTING

    def test_one_that_is_down_and_answers_is_greeted(self, cluster: Cluster, a: Replica) -> None:
        """It may have been cut off, and is shown again when it answers the Hello."""
        cluster.put("b", E1)
        cluster.lose = lambda _by, _to, _message: True
        cluster.dials["b"] = cluster.dials["a"] = DialOutcome.SILENT
        cluster.wait(6)

        assert cluster.shown("a") == []

        cluster.lose = lambda _by, _to, _message: False
        cluster.dials["b"] = cluster.dials["a"] = DialOutcome.OPEN
        cluster.wait(5)

        assert cluster.shown("a") == [("b", E1)]
        assert cluster.events["a"][-1].cause.word == "node-returned"
        assert a.members(cluster.now)[1].state is NodeState.ALIVE

    def test_any_verb_may_show_our_own_pause(self, cluster: Cluster, a: Replica) -> None:
        """Nobody is judged for what we slept through: silence begins anew, whatever wakes us."""
        cluster.kill("b")
        cluster.wait(3)

        assert a.members(cluster.now)[1].state is NodeState.SUSPECT

        cluster.now += 60
        cluster.run("a", a.put(E1, REGISTERED, cluster.now))
        cluster.wait(3.75)

        assert a.members(cluster.now)[1].state is NodeState.SUSPECT

        cluster.wait(0.5)

        assert a.members(cluster.now)[1].state is NodeState.DOWN


class TestTime:
    """Ticks, heartbeats, deadlines."""

    def beats(self, replica: Replica, since: float, seconds: float) -> list[tuple[float, Effect]]:
        """Return what is broadcast at which tick."""
        times = [since + number * TICK for number in range(round(seconds / TICK))]
        return [
            (at, effect)
            for at in times
            for effect in replica.tick(at)
            if isinstance(effect, Broadcast)
        ]

    def test_heartbeats(self, cluster: Cluster, alone: Replica) -> None:
        """About one an interval, numbered; they say what we are and what we hold."""
        beats = self.beats(alone, cluster.now, 10)

        assert len(beats) == 10
        messages = [it.message for _, it in beats if isinstance(it, Broadcast)]
        assert [it.beat for it in messages] == list(range(1, 11))
        digests = alone._members.digests
        assert messages[-1] == Heartbeat(
            alone._members.me.hash, 1, 10, 1, digests.set, digests.vector, alone.own.hash
        )

    def test_nobody_beats_in_step(self, cluster: Cluster, alone: Replica) -> None:
        """The interval differs a little each time, and from node to node."""
        waits = set()
        for number in range(80):
            if alone.tick(cluster.now + number * TICK):
                waits.add(round(alone._next_beat - alone._clock.now, 6))

        assert len(waits) > 5
        assert all(0.9 <= wait <= 1.0 for wait in waits)

    def test_the_deadline_is_near(self, cluster: Cluster, a: Replica) -> None:
        """A tick at the latest; sooner if something is due; never in the past."""
        a.tick(cluster.now)

        assert a.deadline() <= TICK

        a._sync.behind(a._members.peers["b"], 9, "b", a._clock.now, 0.1)

        assert a.deadline() == pytest.approx(0.1)

        a._sync.behind(a._members.peers["b"], 9, "b", a._clock.now - 1)

        assert a.deadline() == 0.0

    def test_a_handover_ends_by_itself(self, cluster: Cluster, a: Replica) -> None:
        """A life that never settles holds nothing for longer than the grace."""
        cluster.put("b", E1)
        cluster.kill("b", DialOutcome.REFUSED)
        cluster.wait(3)
        cluster.start("b", "a", incarnation=2, settled=False)
        cluster.wait(14)

        assert cluster.shown("a") == [("b", E1)]

        cluster.wait(2)

        assert cluster.shown("a") == []
        assert cluster.events["a"][-1].cause.word == "unknown"
        assert a.position("b") == (2, 1)


def test_what_is_connected_comes_before_what_is_sent(cluster: Cluster, alone: Replica) -> None:
    """The shell runs effects in order: a message to an endpoint never precedes its link."""
    effects = alone.receive(hello("c"), cluster.now)
    linked = [it.endpoint for it in effects if isinstance(it, Connect)]
    sent = [it.endpoints[0] for it in effects if isinstance(it, Send)]

    assert linked[0] == "c:1"
    assert set(sent) <= set(linked)
    assert effects.index(Connect("c:1")) < min(
        place for place, it in enumerate(effects) if isinstance(it, Send)
    )
    assert not any(isinstance(it, Emit) for it in effects)
