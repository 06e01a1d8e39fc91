"""`Disco` against a real agent: what the contract promises to a program."""

import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from discoagent.client import Disco, Registration
from discoagent.client.disco import Spec
from discoagent.errors import (
    Conflict,
    DiscoError,
    InvalidRequest,
    NoInstance,
)
from discoagent.instance import Event, Lifetime
from tests.agent.harness import DEADLINE, AgentProcess, scratch_directory, start_agent, wait_until


@pytest.fixture(scope="module")
def agent() -> Iterator[AgentProcess]:
    """Return an agent that the tests of this file share; each uses services of its own."""
    with scratch_directory() as directory, start_agent(directory) as agent:
        yield agent


@pytest.fixture
def disco(agent: AgentProcess) -> Iterator[Disco]:
    with Disco(agent.socket, timeout=DEADLINE) as disco:
        yield disco


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Return another process that lives until it is ended."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def next_of(watch: Iterator[Event]) -> tuple[str, str | None]:
    """Return kind and cause of the next event."""
    event = next(watch)
    return event.kind, event.cause


# -- queries ---------------------------------------------------------------------------------------


def test_the_agent_says_who_it_is(disco: Disco, agent: AgentProcess) -> None:
    greeting = disco.hello()

    assert (greeting.node, greeting.cluster, greeting.pid) == ("a", "test", agent.pid)
    assert disco.ping()["node"] == "a"
    assert disco.ping()["ms"] > 0
    assert [(member.node, member.state) for member in disco.members()] == [("a", "alive")]
    assert disco.status(ready=DEADLINE)["ready"] is True
    assert disco.partial is False


def test_no_timeout_is_too_long(agent: AgentProcess) -> None:
    with Disco(agent.socket, timeout="99999999h") as disco:
        assert [member.node for member in disco.members()] == ["a"]


def test_what_is_registered_is_found_in_every_way(disco: Disco) -> None:
    disco.register("ask", port=80, tags=["v1", "eu"], meta={"k": "v"})
    two = disco.register("ask", id="two", tags=["v2"], address="10.0.0.7").instance

    assert [it.id for it in disco.list("ask")] == ["ask-80", "two"]
    assert [it.id for it in disco.list("ask", tag=["v1", "eu"])] == ["ask-80"]
    assert disco.list("ask", node="elsewhere") == []
    assert disco.get("two") == two == disco.get("ask/two@a")
    assert disco.resolve("ask").id == "ask-80"
    assert {it["service"]: it["usable"] for it in disco.services()}["ask"] == 2
    with pytest.raises(NoInstance):
        disco.resolve("ask", tag="v2")
    with pytest.raises(NoInstance):
        disco.get("ask/three")


def test_an_instance_is_what_was_registered(disco: Disco) -> None:
    web = disco.register("shape", port=80, tags=["b", "a", "b"], meta={"k": "v"}).instance

    assert (web.name, web.port, web.tags, dict(web.meta)) == (
        "shape/shape-80@a",
        80,
        ("b", "a"),
        {"k": "v"},
    )
    assert web.lifetime == Lifetime("process", pid=os.getpid())
    assert (web.owner.uid, web.owner.pid) == (os.geteuid(), os.getpid())
    assert web.state == "passing"
    assert web.ref.startswith("a.")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"port": 0}, "port"),
        ({"port": "80"}, "port"),
        ({"id": "a b"}, "id"),
        ({"tags": ["\n"]}, "tags"),
        ({"meta": {"k": 1}}, "meta"),
        ({"ttl": "1ns"}, "ttl"),
        ({"address": "[::1]"}, "address"),
    ],
)
def test_what_breaks_a_bound_is_refused_by_name(disco: Disco, given: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        disco.register("bad", **given)

    assert caught.value.field == field
    assert disco.list("bad", all=True) == []


# -- registrations ---------------------------------------------------------------------------------


def test_a_registration_is_changed_and_ended_by_its_handle(disco: Disco) -> None:
    watch = disco.watch("handle")
    assert next_of(watch) == ("synced", None)

    with disco.register("handle", port=80, meta={"zone": "a"}) as web:
        assert web.update(meta={"zone": "b"}, tag="new").meta == {"zone": "b"}
        assert (web.instance.tags, web.instance.port) == (("new",), 80)
        assert web.update().tags == ("new",)
    web.close()

    assert [next_of(watch) for _ in range(3)] == [
        ("added", "registered"),
        ("updated", "updated"),
        ("removed", "deregistered"),
    ]
    with pytest.raises(NoInstance, match="closed"):
        web.update(port=1)


def test_by_id_as_well(disco: Disco) -> None:
    web = disco.register("byid", port=80, tags=["a"])

    assert disco.update("byid/byid-80", tag="b", untag=["a"], set={"k": "v"}).tags == ("b",)
    assert web.instance.meta == {"k": "v"}
    assert disco.deregister("byid-80").tags == ("b",)
    with pytest.raises(NoInstance):
        disco.deregister("byid-80")
    web.close()


def test_the_newest_handle_owns_the_entry_and_an_older_one_ends_nothing(
    disco: Disco, agent: AgentProcess
) -> None:
    older = disco.register("twice", port=80)
    with Disco(agent.socket, timeout=DEADLINE) as another:
        newest = another.register("twice", port=80, tags=["new"])
        older.close()
        assert [it.tags for it in disco.list("twice")] == [("new",)]
        assert older.instance.tags == ("new",)
        assert older.update(tag="more").tags == ("new", "more")
        assert newest.instance.tags == ("new", "more")

        newest.close()
        assert disco.list("twice") == []


def test_a_client_that_ends_takes_its_own_registrations_along(
    agent: AgentProcess, disco: Disco, sleeper: subprocess.Popen[bytes]
) -> None:
    with Disco(agent.socket, timeout=DEADLINE) as other:
        other.register("ends", id="own")
        other.register("ends", id="lease", ttl="60s")
        other.register("ends", id="left-alone", hold=False)
        other.register("ends", id="static", static=True)
        other.register("ends", id="other", pid=sleeper.pid)

    left = [it.id for it in disco.list("ends")]
    assert left == ["left-alone", "other", "static"]
    for name in left:
        disco.deregister(f"ends/{name}")


def test_a_lease_renews_itself_and_one_that_is_not_held_lapses(disco: Disco) -> None:
    """When the one that nobody renews is over, the other would have been, too."""
    watch = disco.watch("leases")
    assert next_of(watch) == ("synced", None)
    held = disco.register("leases", id="held", ttl="3s")
    disco.register("leases", id="alone", ttl="3s", hold=False)

    for _ in range(2):
        assert next_of(watch) == ("added", "registered")
    gone = next(watch)
    assert (gone.kind, gone.cause) == ("removed", "lease-expired")
    assert gone.before is not None
    assert gone.before.id == "alone"
    assert held.renew().id == "held"
    assert held.lost is None


def test_the_end_of_another_process_ends_what_is_bound_to_it(
    disco: Disco, sleeper: subprocess.Popen[bytes]
) -> None:
    watch = disco.watch("bound")
    assert next_of(watch)[0] == "synced"
    disco.register("bound", pid=sleeper.pid)
    assert next_of(watch)[0] == "added"

    sleeper.kill()

    assert next(watch).kind == "removed"


def test_an_id_of_another_living_process_is_a_conflict(
    disco: Disco, sleeper: subprocess.Popen[bytes]
) -> None:
    taken = disco.register("taken", id="x", pid=sleeper.pid)

    with pytest.raises(Conflict, match=str(sleeper.pid)):
        disco.register("taken", id="x")

    with pytest.raises(Conflict, match=str(sleeper.pid)):
        disco.may_register(Spec("taken", id="x"))
    disco.may_register(Spec("taken", id="free"))
    assert [it.id for it in disco.list("taken")] == ["x"]

    assert disco.register("taken", id="x", replace=True).instance.lifetime.pid == os.getpid()
    assert taken.instance.lifetime.pid == os.getpid()


def test_a_process_that_does_not_live_is_none(
    disco: Disco, sleeper: subprocess.Popen[bytes]
) -> None:
    sleeper.kill()
    sleeper.wait()

    with pytest.raises(NoInstance, match=str(sleeper.pid)):
        disco.register("dead", pid=sleeper.pid)


def test_ten_thousand_are_registered_in_order(disco: Disco) -> None:
    specs = [Spec("bulk", port=1 + n, id=str(n)) for n in range(10_000)]
    specs[5_000] = Spec("bulk", port=70_000, id="bad")

    results = disco.register_many(specs)

    assert isinstance(results[5_000], InvalidRequest)
    ids = [it.instance.id for it in results if isinstance(it, Registration)]
    assert ids == [str(n) for n in range(10_000) if n != 5_000]
    assert len(disco.list("bulk")) == 9_999
    with disco.watch("bulk") as watch:
        kinds = [next(watch).kind for _ in range(10_000)]
    assert kinds == ["added"] * 9_999 + ["synced"]


def test_threads_share_a_client(disco: Disco) -> None:
    def life(number: int) -> list[int | None]:
        ports = []
        with disco.register("threads", id=str(number), port=number + 1) as it:
            ports.append(disco.get(f"threads/{number}").port)
            it.update(port=number + 1000)
            ports.append(disco.get(f"threads/{number}").port)
        return ports

    with ThreadPoolExecutor(16) as threads:
        ports = list(threads.map(life, range(200)))

    assert ports == [[n + 1, n + 1000] for n in range(200)]
    assert disco.list("threads") == []


def test_threads_of_one_handle_do_not_undo_each_other(disco: Disco) -> None:
    it = disco.register("handles", id="x")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: it.update(set={f"k{n}": str(n)}), range(40)))

    assert dict(it.instance.meta) == {f"k{n}": str(n) for n in range(40)}
    assert dict(disco.get("handles/x").meta) == dict(it.instance.meta)


# -- watches ---------------------------------------------------------------------------------------


def test_a_watch_shows_only_its_services(disco: Disco) -> None:
    disco.register("seen", id="1")
    watch = disco.watch("seen", "seen-too")
    shown = [next(watch) for _ in range(2)]
    disco.register("unseen", id="2")
    disco.register("seen-too", id="3")
    shown.append(next(watch))

    assert [(it.kind, it.instance and it.instance.id) for it in shown] == [
        ("added", "1"),
        ("synced", None),
        ("added", "3"),
    ]


def test_a_watcher_that_sleeps_through_thousands_sees_where_they_ended(disco: Disco) -> None:
    """More than the agent keeps for it: it is told anew, and sees the differences."""
    it = disco.register("sleepy", id="x", meta={"n": "0"})
    watch = disco.watch("sleepy")
    assert [next_of(watch)[0] for _ in range(2)] == ["added", "synced"]

    disco.register_many([Spec("sleepy", id="x", meta={"n": str(n)}) for n in range(20_000)])
    it.update(meta={"n": "end"})

    count = 0
    meta: dict[str, str] = {}
    while meta != {"n": "end"}:
        event = next(watch)
        assert event.kind == "updated"
        assert event.before is not None
        assert event.instance is not None
        assert event.before.meta != event.instance.meta
        meta = dict(event.instance.meta)
        count += 1
    assert count <= 20_001


def test_a_watch_may_be_closed_while_it_waits(disco: Disco) -> None:
    watch = disco.watch("nothing")
    assert next(watch).kind == "synced"
    closer = threading.Timer(0.05, watch.close)
    closer.start()

    assert list(watch) == []
    closer.join()


def test_an_invalid_name_is_refused_where_the_watch_begins(disco: Disco) -> None:
    watch = disco.watch("no name")

    with pytest.raises(InvalidRequest, match="services"):
        next(watch)


# -- the mesh --------------------------------------------------------------------------------------


def test_agents_join_and_leave(disco: Disco, agent: AgentProcess) -> None:
    with scratch_directory() as directory, start_agent(directory, "b") as second:
        with Disco(second.socket, timeout=DEADLINE) as other:
            free = "127.0.0.1:1"
            results = other.join([agent.bind, free])
            assert [(it["address"], it["ok"]) for it in results] == [
                (agent.bind, True),
                (free, False),
            ]
            wait_until(lambda: {"a", "b"} <= {it.node for it in disco.members()})
            watch = other.watch("meshed")
            assert next(watch).kind == "synced"
            meshed = disco.register("meshed", id="x").instance
            seen = next(watch).instance
            assert seen is not None
            assert (seen.name, seen.ref) == (meshed.name, meshed.ref)

            other.leave()
        assert second.wait() == 0
        wait_until(lambda: {it.node: it.state for it in disco.members()}.get("b") == "left")


def test_errors_have_their_kind(disco: Disco) -> None:
    with pytest.raises(DiscoError) as caught:
        disco.get("nobody")

    assert type(caught.value) is NoInstance
    assert caught.value.code == 1
