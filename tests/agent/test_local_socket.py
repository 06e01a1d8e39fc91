"""A real agent and a bare DEALER: the operations of the local API, one process against another."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest
import zmq

from discoagent import api
from discoagent.errors import NoInstance
from discoagent.instance import Event, Instance
from tests.agent.harness import AgentProcess, Raw, scratch_directory, start_agent, wait_until
from tests.agent.local_world import a_process
from tests.agent.users import as_user

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs other users")


def test_hello_and_status(agent: AgentProcess, asker: Raw) -> None:
    """Who the agent is."""
    hello = asker.ask("hello")
    status = asker.ask("status")

    assert hello == {
        "node": "a",
        "incarnation": status["incarnation"],
        "cluster": "test",
        "version": status["version"],
        "api": 1,
        "wire": 1,
        "pid": agent.pid,
    }
    assert (status["ready"], status["alone"], status["isolated"]) == (True, False, False)
    assert status["socket"] == agent.socket
    assert status["bind"] == status["advertise"] == agent.bind
    assert status["members"] == {"alive": 1}
    assert status["instances"] == {"local": 0, "total": 0}
    assert asker.ask("ping") == {"node": "a"}


def test_register_list_get_update_deregister(asker: Raw) -> None:
    """The life of one instance."""
    web = asker.register("web", port=80, tags=["v1"])
    assert web.owner.pid == os.getpid()
    assert asker.list() == [web]
    assert asker.list("web", tags=["v1"], node="a", usable=True) == [web]
    assert asker.list("web", tags=["v2"]) == []
    assert asker.list("db") == []
    assert asker.list(node="b") == []
    assert asker.ask("services") == {"services": [["web", {"passing": 1}]], "partial": False}

    after = Instance.from_row(asker.ask("update", id="web-80", tag=["v2"])["row"])
    assert after.tags == ("v1", "v2")
    found = asker.ask("get", id="web/web-80@a")
    assert Instance.from_row(found["row"]) == after
    assert found["partial"] is False

    assert Instance.from_row(asker.ask("deregister", id="web-80")["row"]) == after
    assert asker.list() == []
    assert isinstance(asker.refusal("get", id="web-80"), NoInstance)


def test_members(agent: AgentProcess, asker: Raw) -> None:
    """An agent alone is its own member."""
    asker.register("web", port=80)
    (member,) = asker.ask("members")["members"]

    assert member == {
        "node": "a",
        "incarnation": asker.ask("hello")["incarnation"],
        "address": agent.bind,
        "state": "alive",
        "instances": 1,
        "heard_ms": 0,
        "rtt_ms": None,
        "version": asker.ask("hello")["version"],
        "labels": {},
    }


def test_pipelined_requests_are_done_in_order(asker: Raw) -> None:
    """A change sees the one before it; every answer comes, though read late."""
    numbers = [
        asker.send("register", service="web", id=f"w{n % 7}", port=n + 1) for n in range(3_000)
    ]
    answers = [asker.receive() for _ in numbers]

    assert [answer[0] for answer in answers] == numbers
    assert [Instance.from_row(answer[2]["row"]).port for answer in answers] == list(range(1, 3_001))
    assert len(asker.list("web")) == 7


def test_a_long_list_comes_in_pages(asker: Raw) -> None:
    """No page is larger than its bound; together they are sorted and whole."""
    total = api.LIST_PAGE_ROWS + 10
    for number in range(total):
        asker.send("register", service="web", id=f"w{number:05}", lifetime=["static"])
    for _ in range(total):
        assert asker.receive()[1] == 0

    number = asker.send("list")
    pages = []
    while (answer := asker.answer_to(number))[1] == 2:
        pages.append(answer[2])
    rows = [row for page in pages for row in page]
    assert answer == [number, 0, {"partial": False}]
    assert max(map(len, pages)) <= api.LIST_PAGE_ROWS
    assert [row[1] for row in rows] == [f"w{number:05}" for number in range(total)]

    for row in rows:
        asker.send("deregister", id=f"web/{row[1]}@a")
    assert all(asker.receive()[1] == 0 for _ in rows)


def test_a_process_ends(agent: AgentProcess) -> None:
    """Its entries end with it, though nobody says a word."""
    with agent.raw() as watcher, a_process() as process:
        events = watcher.watch("job")
        assert events.present() == []
        watcher.register("job", lifetime=["process", process.pid])
        process.kill()
        added, removed = next(events), next(events)

    assert (added.kind, removed.kind, removed.cause) == ("added", "removed", "exit:SIGKILL")
    assert removed.before == added.instance
    assert removed.actor is None


def test_the_asker_ends(agent: AgentProcess) -> None:
    """Without a pid an entry is bound to who asks, whom the kernel names."""
    script = (
        "import sys; from tests.agent.harness import Raw\n"
        "with Raw(sys.argv[1]) as raw: print(raw.register('job').owner.pid, flush=True); input()"
    )
    with agent.raw() as watcher:
        events = watcher.watch("job")
        events.present()
        with subprocess.Popen(
            [sys.executable, "-c", script, agent.socket],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as child:
            assert child.stdout is not None
            assert int(child.stdout.readline()) == child.pid
            assert next(events).kind == "added"
            child.send_signal(signal.SIGKILL)
            removed = next(events)

    assert (removed.kind, removed.cause) == ("removed", "exit:SIGKILL")


def test_a_lease_ends_unless_renewed(agent: AgentProcess, asker: Raw) -> None:
    """The renewed one outlives the other, which came later."""
    with agent.raw() as watcher:
        events = watcher.watch()
        events.present()
        asker.register("one", lifetime=["lease", 400])
        asker.register("two", lifetime=["lease", 300])
        asker.register("three", lifetime=["lease", 150])
        first = events.until(lambda event: event.kind == "removed")
        asker.ask("renew", id="one")
        ended = [first, next(events), next(events)]

    assert {event.cause for event in ended} == {"lease-expired"}
    assert [event.before.service for event in ended if event.before] == ["three", "two", "one"]


def test_a_watch_sees_all_that_others_do(agent: AgentProcess, asker: Raw) -> None:
    """Every event in order with cause and actor, until cancelled."""
    with agent.raw() as watcher:
        asker.register("web", port=80)
        events = watcher.watch("web")
        assert [event.kind for event in events.present()] == ["added"]
        asker.ask("update", id="web-80", set={"k": "v"})
        asker.ask("deregister", id="web-80")
        updated, removed = next(events), next(events)
        assert (updated.kind, updated.cause) == ("updated", "updated")
        assert (removed.kind, removed.cause) == ("removed", "deregistered")
        assert removed.actor is not None
        assert removed.actor.pid == os.getpid()

        watcher.ask("cancel", watch=events.number)
        assert list(events) == []
        assert watcher.ask("cancel", watch=99) == {}


def test_a_watcher_that_sleeps_is_reset(agent: AgentProcess, asker: Raw) -> None:
    """Its memory is bounded; when it wakes it holds what is shown."""
    with agent.raw() as sleeper:
        number = sleeper.send("watch", services=["flood"])
        changes = api.WATCH_PENDING_MAX + api.WATCH_CREDIT * api.WATCH_BATCH_EVENTS + 1_000
        for port in range(changes):
            asker.send("register", service="flood", id="f", port=port + 1)
            if port % 1_000 == 999:
                for _ in range(1_000):
                    asker.receive()
        last = asker.register("flood", id="f", port=60_000)

        held: dict[str, Instance] = {}
        resets = 0
        synced = 0
        sleeper.send("more", watch=number, batches=1_024)
        while synced < 2 or held.get("f") != last:
            for row in sleeper.answer_to(number)[2]:
                event = Event.from_row(row)
                resets += event.kind == "reset"
                synced += event.kind == "synced"
                if event.kind == "reset":
                    held.clear()
                if event.instance:
                    held[event.instance.id] = event.instance

    assert resets == 1


def test_a_gone_watcher_is_forgotten(agent: AgentProcess, asker: Raw) -> None:
    """An event soon after finds nobody there, and the agent serves on."""
    gone = agent.raw()
    gone.watch("web").present()
    gone.close()
    before = asker.ask("status")["counters"].get("local.gone", 0)

    def noticed() -> bool:
        asker.register("web", port=80)
        asker.ask("deregister", id="web-80")
        return bool(int(asker.ask("status")["counters"].get("local.gone", 0)) > before)

    assert wait_until(noticed)


def test_who_does_not_read_loses_its_answers(agent: AgentProcess, asker: Raw) -> None:
    """And nothing else happens: others are answered, memory is bounded."""
    for number in range(40):
        meta = {f"k{key}": "v" * 1_000 for key in range(12)}
        asker.register("large", id=f"l{number}", lifetime=["static"], meta=meta)
    with agent.raw(window=1) as silent:
        for _ in range(400):
            silent.send("list")
        counters = asker.ask("status")["counters"]
        while not counters.get("local.unread"):
            silent.send("list")
            counters = asker.ask("status")["counters"]

    assert counters["local.late"] > 0
    assert asker.ask("ping") == {"node": "a"}


@as_root
def test_other_users(agent: AgentProcess, asker: Raw) -> None:
    """May read all and register their own; may not touch what is another's, nor the node."""
    mine = asker.register("web", port=80)

    def stranger() -> list[object]:
        with agent.raw() as raw:
            theirs = raw.register("theirs", lifetime=["lease", 60_000])
            seen: list[object] = [theirs.owner.uid, [each.service for each in raw.list()]]
            for operation, arguments in (
                ("update", {"id": "web-80", "tag": ["x"]}),
                ("deregister", {"id": "web-80"}),
                ("register", {"service": "x", "lifetime": ["process", mine.owner.pid]}),
                ("register", {"service": "web", "port": 80}),
                ("join", {"addresses": ["127.0.0.1:1"]}),
                ("leave", {}),
            ):
                error = raw.refusal(operation, **arguments)
                seen.append((type(error).__name__, error.kind))
            return seen

    owner, services, *errors = as_user(4_001, stranger)

    assert (owner, services) == (4_001, ["theirs", "web"])
    assert errors == [
        ("Refused", "permission"),
        ("Refused", "permission"),
        ("Refused", "permission"),
        ("Conflict", "conflict"),
        ("Refused", "permission"),
        ("Refused", "permission"),
    ]
    assert asker.list("web") == [mine]
    assert asker.ask("deregister", id="theirs")["row"][1] == "theirs"


@as_root
def test_a_pretended_routing_id_changes_nothing(agent: AgentProcess, asker: Raw) -> None:
    """Who asks is read from every frame, whatever the connection calls itself."""
    asker.register("web", port=80)

    def stranger() -> str:
        context = zmq.Context()
        dealer = context.socket(zmq.DEALER)
        dealer.linger = 0
        dealer.routing_id = b"\0abcd"
        dealer.connect(f"ipc://{agent.socket}")
        dealer.send(msgpack.packb([1, 1, "deregister", {"id": "web-80"}]))
        assert dealer.poll(10_000)
        kind: str = msgpack.unpackb(dealer.recv())[2]["kind"]
        dealer.close()
        context.term()
        return kind

    assert as_user(4_001, stranger) == "permission"


def test_leave() -> None:
    """Watchers hear of it, the asker is answered, the agent ends with 0."""
    with scratch_directory() as directory, start_agent(directory) as agent:
        with agent.raw() as asker:
            asker.register("web", port=80)
            events = asker.watch()
            events.present()
            assert asker.ask("leave") == {}
            removed = next(events)
        assert (removed.kind, removed.cause) == ("removed", "node-left")
        assert agent.wait() == 0


def test_a_stream_is_no_request(agent: AgentProcess) -> None:
    """Bytes that are not ZeroMQ's are cut off by libzmq; the agent serves on."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(agent.socket)
        stream.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
        stream.shutdown(socket.SHUT_WR)
        stream.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            while stream.recv(4096):
                pass
    with agent.raw() as asker:
        assert asker.ask("ping") == {"node": "a"}
