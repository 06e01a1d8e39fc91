"""Presence over several agents: many metas a key, and views that follow whatever happens."""

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from discoagent.client import Disco
from discoagent.client.watch import PresenceWatch
from discoagent.errors import InvalidRequest, NoInstance, Refused
from discoagent.presence import PresenceEvent
from tests.agent.harness import DEADLINE, Cluster, wait_until

NO_GRACE = {"timing.restart_grace": "0"}
TRACKING = """
import sys
from discoagent import Disco
disco = Disco(sys.argv[1], timeout=15)
print(*(disco.track("room", key, {"of": "child"}).ref for key in sys.argv[2:]), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Run two agents for all tests of this file that need no others."""
    with Cluster("a", "b") as cluster:
        yield cluster


@pytest.fixture
def here(cluster: Cluster) -> Iterator[Disco]:
    with client(cluster, "a") as disco:
        yield disco


@pytest.fixture
def there(cluster: Cluster) -> Iterator[Disco]:
    with client(cluster, "b") as disco:
        yield disco


def client(cluster: Cluster, node: str) -> Disco:
    """Return a client of the agent on a node."""
    return Disco(cluster[node].socket, timeout=DEADLINE)


@contextmanager
def a_child(cluster: Cluster, node: str, *keys: str) -> Iterator[tuple[Any, list[str]]]:
    """Run another process that tracks these keys in `room`; yield it and the refs."""
    command = [sys.executable, "-c", TRACKING, cluster[node].socket, *keys]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        try:
            yield child, child.stdout.readline().split()
        finally:
            child.kill()


class Replay:
    """What a watcher holds that knows nothing but the events."""

    def __init__(self, disco: Disco, topic: str = "room") -> None:
        self.disco = disco
        self.topic = topic
        self.metas: dict[str, dict[str, Any]] = {}  # by key, then by ref
        self.events: list[PresenceEvent] = []
        self.watch: PresenceWatch = disco.watch_presence(topic, timeout=DEADLINE)
        while self.step().kind != "synced":
            pass

    def step(self) -> PresenceEvent:
        """Take the next event, which must follow from what is held."""
        event = next(self.watch)
        self.events.append(event)
        if event.key is None:
            return event
        assert event.topic == self.topic
        held = self.metas.setdefault(event.key, {})
        before = event.before and held.pop(event.before["ref"])
        assert before == event.before
        assert (event.before is None) == (event.kind == "added")
        if event.meta is not None:
            assert event.meta["ref"] not in held
            held[event.meta["ref"]] = event.meta
        if not held:
            del self.metas[event.key]
        return event

    @property
    def shown(self) -> dict[str, list[Any]]:
        """What is held, as `presence` shows it."""
        return {
            key: [held[ref] for ref in sorted(held)] for key, held in sorted(self.metas.items())
        }

    def until(self, *events: tuple[str, str]) -> None:
        """Take as many events; these kinds and keys, in any order."""
        came = [self.step() for _ in events]
        assert sorted((event.kind, event.key) for event in came) == sorted(events)
        assert self.shown == self.disco.presence(self.topic)


def test_many_metas_from_several_nodes_and_processes(
    cluster: Cluster, here: Disco, there: Disco
) -> None:
    """Each comes and goes by itself; all agents and all watchers agree at every step."""
    near, far = Replay(here), Replay(there)

    def follow(*events: tuple[str, str]) -> dict[str, list[Any]]:
        near.until(*events)
        far.until(*events)
        assert near.shown == far.shown
        return near.shown

    tv = here.track("room", "alice", {"device": "tv"})
    web = here.track("room", "alice", {"device": "web", "tabs": [1, {"deep": None}]})
    phone = there.track("room", "alice", {"device": "phone"})
    shown = follow(*[("added", "alice")] * 3)
    assert shown == {"alice": [tv.meta, web.meta, phone.meta]}
    assert [list(meta) for meta in shown["alice"]] == [
        ["ref", "device"],
        ["ref", "device", "tabs"],
        ["ref", "device"],
    ]

    with a_child(cluster, "a", "alice", "bob") as (child, (alice, bob)):
        shown = follow(("added", "alice"), ("added", "bob"))
        assert shown["bob"] == [{"ref": bob, "of": "child"}]
        assert len({meta["ref"] for meta in shown["alice"]}) == 4
        before = tv.ref
        after = tv.update({"device": "radio"})
        shown = follow(("updated", "alice"))
        assert after == tv.meta == {"ref": tv.ref, "device": "radio"}
        assert tv.ref != before
        assert [meta["ref"] for meta in shown["alice"]] == sorted(
            [tv.ref, web.ref, phone.ref, alice]
        )
        assert {"topic": "room", "keys": 2, "metas": 5} in there.presence()

        child.send_signal(signal.SIGKILL)
        shown = follow(("removed", "alice"), ("removed", "bob"))
    assert {event.cause for event in far.events[-2:]} == {"exit:SIGKILL"}
    assert shown == {"alice": [web.meta, tv.meta, phone.meta]}

    web.close()
    phone.close()
    assert follow(*[("removed", "alice")] * 2) == {"alice": [tv.meta]}
    web.close()
    with pytest.raises(NoInstance):
        web.update({})
    tv.close()
    assert follow(("removed", "alice")) == {}
    assert far.events[-1].cause == "deregistered"
    assert far.events[-1].actor is not None


def test_a_client_that_is_closed_leaves(cluster: Cluster, here: Disco) -> None:
    """With all that it tracks, but for what does not end with it."""
    with client(cluster, "b") as other:
        other.track("room", "alice")
        other.track("room", "bob", ttl="60s")
        stays = other.track("room", "carol", {"until": "untracked"}, static=True)
        wait_until(lambda: len(here.presence("room")) == 3)
    wait_until(lambda: here.presence("room") == {"carol": [stays.meta]})
    with client(cluster, "b") as other:
        assert other.untrack("room", stays.ref).shown == stays.meta
    wait_until(lambda: here.presence("room") == {})


def test_a_node_that_dies_or_leaves_takes_its_metas_along() -> None:
    """Those of the same key on other nodes stay."""
    with (
        Cluster("a", "b", "c", settings=NO_GRACE) as cluster,
        client(cluster, "a") as here,
        client(cluster, "b") as leaving,
        client(cluster, "c") as dying,
    ):
        replay = Replay(here)
        mine = here.track("room", "alice", {"on": "a"})
        for disco in (leaving, dying):  # not held: nobody is to hear of it when they are closed
            disco.track("room", "alice", {"on": "elsewhere"}, hold=False)
        replay.until(*[("added", "alice")] * 3)

        cluster["c"].kill()
        replay.until(("removed", "alice"))
        leaving.leave()
        replay.until(("removed", "alice"))

        assert [event.cause for event in replay.events[-2:]] == ["node-down", "node-left"]
        assert replay.shown == {"alice": [mine.meta]}


def test_a_newcomer_sees_who_is_there_and_a_node_that_returns_brings_its_metas_back() -> None:
    """The very same ones, with their refs: nobody tracked anew."""
    with Cluster("a", settings=NO_GRACE) as cluster, client(cluster, "a") as here:
        alice = here.track("room", "alice", {"on": "a"})
        cluster.start("b")
        with client(cluster, "b") as there:
            replay = Replay(there)
            assert replay.shown == {"alice": [alice.meta]}
            bob = there.track("room", "bob")
            replay.until(("added", "bob"))

            cluster["a"].process.send_signal(signal.SIGSTOP)
            replay.until(("removed", "alice"))
            assert replay.shown == {"bob": [bob.meta]}
            cluster["a"].process.send_signal(signal.SIGCONT)
            replay.until(("added", "alice"))

            assert [event.cause for event in replay.events[-2:]] == ["node-down", "node-returned"]
            assert replay.shown == {"alice": [alice.meta], "bob": [bob.meta]}
        wait_until(lambda: here.presence("room") == {"alice": [alice.meta]})


def test_events_replayed_are_the_list(here: Disco, there: Disco) -> None:
    """Hundreds of random changes on two nodes: nothing lost, nothing twice, all in order."""
    luck = random.Random(7)
    near, far = Replay(here, "storm"), Replay(there, "storm")
    held = {id(disco): [] for disco in (here, there)}  # type: dict[int, list[Any]]
    for number in range(300):
        disco = luck.choice((here, there))
        tracks = held[id(disco)]
        what = luck.random()
        if not tracks or what < 0.4:
            key = luck.choice(("alice", "bob", "carol"))
            tracks.append(disco.track("storm", key, {"n": number}))
        elif what < 0.7:
            luck.choice(tracks).update({"n": number})
        else:
            tracks.pop(luck.randrange(len(tracks))).close()
    ends = [disco.track("storm", "end", {"by": by}) for disco, by in ((here, "a"), (there, "b"))]

    for replay in (near, far):
        while len(replay.metas.get("end", ())) < len(ends):
            replay.step()
    assert near.shown == far.shown == here.presence("storm") == there.presence("storm")
    assert len([event for event in near.events if event.kind != "synced"]) == 302


@pytest.mark.parametrize("keeps_state", [True, False])
def test_a_restart_of_the_agent_is_no_event(keeps_state: bool) -> None:
    """Whether it finds its state again or not: refs stay, and handles go on."""
    with (
        Cluster("a", "b") as cluster,
        client(cluster, "a") as here,
        client(cluster, "b") as there,
        a_child(cluster, "a", "bob"),
    ):
        alice = here.track("room", "alice", {"n": 1})
        lease = here.track("room", "alice", {"n": 2}, ttl="60s")
        alice.update({"n": 3})
        wait_until(lambda: there.presence("room") == here.presence("room"))
        near, far = Replay(here), Replay(there)
        before = here.presence("room")
        assert before["alice"] == [lease.meta, alice.meta]

        cluster["a"].stop(signal.SIGKILL)
        if not keeps_state:
            shutil.rmtree(cluster["a"].state)
        cluster.start("a")
        wait_until(lambda: here.presence("room") == before)
        there.track("room", "end")
        for replay in (near, far):
            while replay.step().key != "end":
                pass
            assert [event.kind for event in replay.events if event.kind != "added"] == ["synced"]
            assert sum(len(metas) for metas in replay.metas.values()) == 4
        assert here.presence("room")["alice"] == before["alice"]

        alice.update({"n": 4})
        lease.close()
        for replay in (near, far):
            replay.until(("updated", "alice"), ("removed", "alice"))
        assert (alice.lost, lease.lost) == (None, None)


def test_a_watch_goes_on_from_a_token_on_another_agent(here: Disco, there: Disco) -> None:
    """What was missed of the topic, each change by itself, and nothing of services."""
    alice = here.track("missed", "alice", {"n": 1})
    replay = Replay(here, "missed")
    replay.watch.close()
    last = replay.events[-1]
    alice.update({"n": 2})
    here.register("missed", id="alice", static=True)
    alice.close()
    bob = here.track("missed", "bob")
    wait_until(lambda: there.presence("missed") == {"bob": [bob.meta]})

    with there.watch_presence("missed", from_token=last.token, timeout=DEADLINE) as watch:
        missed = [next(watch) for _ in range(4)]
    assert [(event.kind, event.key) for event in missed] == [
        ("updated", "alice"),
        ("removed", "alice"),
        ("added", "bob"),
        ("synced", None),
    ]
    assert missed[0].meta == missed[1].before
    here.deregister("missed/alice")


def test_what_is_closed_while_the_agent_is_away_is_gone_when_it_is_back() -> None:
    """And what is changed then, is told when it can be."""
    with Cluster("a") as cluster, client(cluster, "a") as here:
        alice, bob = here.track("room", "alice"), here.track("room", "bob")
        cluster["a"].kill()
        alice.close()
        cluster.start("a")
        wait_until(lambda: list(here.presence("room")) == ["bob"])
        assert bob.update({"n": 1}) == here.presence("room")["bob"][0]


def test_a_lease_is_renewed_in_the_background(here: Disco) -> None:
    """One that is not held ends unless it is retracked."""
    held = here.track("leases", "held", ttl="400ms")
    other = here.track("leases", "other", {"n": 1}, ttl="400ms", hold=False)
    replay = Replay(here, "leases")
    replay.until(("removed", "other"))
    assert replay.events[-1].cause == "lease-expired"
    with pytest.raises(NoInstance):
        here.retrack("leases", other.ref)
    assert here.presence("leases") == {"held": [held.meta]}

    assert here.retrack("leases", held.ref, {"n": 2}).shown == held.meta
    assert held.renew() == held.meta
    here.untrack("leases", held.ref)
    replay.until(("updated", "held"), ("removed", "held"))
    held.close()


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"topic": "t" * 129}, "topic"),
        ({"key": "a\nb"}, "key"),
        ({"meta": {"ref": "mine"}}, "meta"),
        ({"meta": {"m": "x" * 4_096}}, "meta"),
        ({"meta": {"m": float("nan")}}, "meta"),
        ({"meta": {1: 2}}, "meta"),
        ({"meta": {"m": {2, 3}}}, "meta"),
        ({"ttl": "1ms"}, "lifetime"),
        ({"ttl": "1s", "static": True}, "lifetime"),
    ],
)
def test_bad_input_is_refused_by_name_and_changes_nothing(
    here: Disco, bad: dict[str, Any], field: str
) -> None:
    replay = Replay(here, "bad")
    with pytest.raises(InvalidRequest) as caught:
        here.track(**{"topic": "bad", "key": "k", **bad})
    assert caught.value.field == field

    with here.track("bad", "k") as good:
        if "meta" in bad:
            with pytest.raises(InvalidRequest):
                good.update(bad["meta"])
            assert good.meta == {"ref": good.ref}
    replay.until(("added", "k"), ("removed", "k"))


def test_only_here_can_it_be_changed(here: Disco, there: Disco) -> None:
    """Another node's meta: refused, and the sentence names the node."""
    with there.track("room", "alice") as alice:
        wait_until(lambda: here.presence("room"))
        with pytest.raises(Refused, match="node b"):
            here.untrack("room", alice.ref)
