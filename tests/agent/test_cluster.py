"""Agents together: readiness, joining, what is seen elsewhere, and how an agent goes and comes."""

import signal
import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from discoagent.errors import Conflict
from discoagent.instance import Body
from tests.agent.harness import (
    DEADLINE,
    Cluster,
    Raw,
    scratch_directory,
    start_agent,
    wait_until,
)
from tests.agent.local_world import a_process

GRACE = {"timing.restart_grace": "6s"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three agents that nobody ends."""
    with Cluster("a", "b", "c") as running:
        yield running


def test_registered_here_seen_there(cluster: Cluster) -> None:
    """Added, updated with before and after, removed with its cause and actor, on every agent."""
    with cluster["a"].raw() as asker, cluster["b"].raw() as b, cluster["c"].raw() as c:
        watches = [b.watch("web"), c.watch("web")]
        for events in watches:
            assert events.present() == []
        web = asker.register("web", port=80)
        asker.ask("update", id="web-80", tag=["v2"])
        asker.ask("deregister", id="web-80")
        for events in watches:
            added, updated, removed = next(events), next(events), next(events)
            assert (added.kind, added.instance, added.cause) == ("added", web, "registered")
            assert (updated.kind, updated.before, updated.cause) == ("updated", web, "updated")
            assert (removed.kind, removed.before) == ("removed", updated.instance)
            assert removed.cause == "deregistered"
            assert removed.actor == web.owner


def test_a_process_ends_there_too(cluster: Cluster) -> None:
    """The cause is that of its own agent."""
    with cluster["a"].raw() as asker, cluster["b"].raw() as watcher, a_process() as process:
        events = watcher.watch("job")
        events.present()
        asker.register("job", lifetime=["process", process.pid])
        process.kill()
        assert [next(events).cause, next(events).cause] == ["registered", "exit:SIGKILL"]


def test_ids_in_the_whole_cluster(cluster: Cluster) -> None:
    """This node's own is preferred; another node's is refused with the node to go to."""
    with cluster["a"].raw() as a, cluster["b"].raw() as b:
        a.register("db", id="one", lifetime=["static"])
        wait_until(lambda: b.list("db"))
        error = b.refusal("deregister", id="one")
        assert (error.code, error.kind) == (4, "other-node")
        assert "node a" in error.message

        b.register("db", id="one", lifetime=["static"])
        assert b.ask("deregister", id="db/one")["row"][2] == "b"
        assert b.ask("get", id="one")["row"][2] == "a"
        with cluster["c"].raw() as c:
            b.register("db", id="one", lifetime=["static"])
            wait_until(lambda: len(c.list("db")) == 2)
            several = c.refusal("get", id="db/one")
            assert several.kind == "ambiguous"
            assert "db/one@a, db/one@b" in several.message
        b.ask("deregister", id="one")
        a.ask("deregister", id="one")


def test_ten_thousand_reach_everybody(cluster: Cluster) -> None:
    """And an agent that joins then is ready only once it has them all."""
    total = 10_000
    with cluster["a"].raw() as asker, cluster["b"].raw() as b:
        for number in range(total):
            asker.send("register", service="bulk", id=f"b{number}", lifetime=["static"])
        assert all(asker.receive()[1] == 0 for _ in range(total))
        wait_until(lambda: b.ask("services")["services"] == [["bulk", {"passing": total}]])
        newcomer = cluster.start("d")
        with newcomer.raw() as d:
            assert d.ask("services") == {
                "services": [["bulk", {"passing": total}]],
                "partial": False,
            }
        for number in range(total):
            asker.send("deregister", id=f"bulk/b{number}@a")
        assert all(asker.receive()[1] == 0 for _ in range(total))
        wait_until(lambda: b.ask("services")["services"] == [])
        newcomer.stop(signal.SIGTERM)


def test_alone_with_seeds() -> None:
    """Not ready until 2 s without anybody have passed; queries are partial before, changes not."""
    with (
        scratch_directory() as directory,
        start_agent(directory, join=["127.0.0.1:1"], ready=False) as agent,
        agent.raw() as asker,
    ):
        status = asker.ask("status")
        assert (status["ready"], status["alone"]) == (False, False)
        web = asker.register("web", port=80)
        assert asker.ask("get", id="web-80")["partial"] is True
        assert asker.ask("services")["partial"] is True

        events = asker.watch()
        found = asker.ask("get", id="web-80", wait_ms=10_000)
        assert found["partial"] is False
        assert [event.instance for event in events.present()] == [web]
        status = asker.ask("status", ready_ms=10_000)
        assert (status["ready"], status["alone"]) == (True, True)
        assert "127.0.0.1:1" in agent.logged("warning: no peer was reached in 2 s")
        agent.logged("ready node=a ")


def test_a_seed_by_name() -> None:
    """A DNS name is looked up, and every address of it tried."""
    with scratch_directory() as directory, start_agent(directory, "a") as first:
        port = first.bind.rpartition(":")[2]
        with start_agent(directory, "b", join=[f"localhost:{port}"]) as second:
            status = second.status()
            assert (status["alone"], status["members"]) == (False, {"alive": 2})


def test_join_by_hand() -> None:
    """Results by address: reached, itself, nobody there, another cluster."""
    with (
        scratch_directory() as directory,
        start_agent(directory, "a") as a,
        start_agent(directory, "b") as b,
        start_agent(directory, "x", cluster="other") as x,
        b.raw() as asker,
    ):
        addresses = [a.bind, b.bind, "127.0.0.1:1", x.bind]
        results = asker.ask("join", addresses=addresses, wait_ms=round(DEADLINE * 1000))["results"]
        assert [result[0] for result in results] == addresses
        assert [(ok, code) for _, ok, _, code in results] == [
            (True, 0),
            (True, 0),
            (False, 1),
            (False, 4),
        ]
        assert results[2][2] == "nobody listens at 127.0.0.1:1: connection refused"
        assert "'test'" in results[3][2]
        assert "'other'" in results[3][2]
        for agent in (b, x):
            line = agent.logged("belongs to cluster")
            assert "'test'" in line
            assert "'other'" in line
            assert sum("belongs to cluster" in each for each in agent.lines) == 1
        assert {member["node"] for member in asker.ask("members")["members"]} == {"a", "b"}
        with x.raw() as other:
            assert [each["node"] for each in other.ask("members")["members"]] == ["x"]


class Mail(socketserver.BaseRequestHandler):
    """Says something to whoever connects, as a mail server does."""

    def handle(self) -> None:
        """Say it, and hear nothing."""
        self.request.sendall(b"220 mail.example.com ESMTP\r\n")


def test_join_where_somebody_else_listens() -> None:
    """What was seen there is said beside the time that was waited: mute, or no agent."""
    with (
        scratch_directory() as directory,
        start_agent(directory, "a") as a,
        a.raw() as asker,
        socket.create_server(("127.0.0.1", 0)) as mute,
        socketserver.TCPServer(("127.0.0.1", 0), Mail) as mail,
    ):
        serving = threading.Thread(target=mail.serve_forever)
        serving.start()
        try:
            ports = (mute.getsockname()[1], mail.server_address[1])
            quiet, talking = (f"127.0.0.1:{port}" for port in ports)
            results = asker.ask("join", addresses=[quiet, talking], wait_ms=4_000)["results"]
        finally:
            mail.shutdown()
            serving.join()

    assert [error for *_, error, _ in results] == [
        f"no answer from {quiet} in 4 s: somebody accepts there, and says nothing",
        f"no answer from {talking} in 4 s: somebody speaks there; is that an agent's `bind` port?",
    ]


def test_a_living_namesake_ends_the_newcomer() -> None:
    """Exit 6, with the place where the name is in use, said once."""
    with (
        scratch_directory() as directory,
        start_agent(directory, "a") as first,
        scratch_directory() as elsewhere,
        start_agent(elsewhere, "a", join=[first.bind], ready=False) as second,
    ):
        assert second.wait() == Conflict.code
        said = f"error: node name a is in use at {first.bind}, heard 0.0 s ago"
        assert [line for line in second.lines if line.startswith("error")] == [said]


def test_an_operator_joins_where_the_name_is_taken() -> None:
    """It is told so, with the code of a conflict; the agent that it asked serves on."""
    with (
        scratch_directory() as directory,
        start_agent(directory, "a") as first,
        scratch_directory() as elsewhere,
        start_agent(elsewhere, "a") as second,
        second.raw() as asker,
    ):
        ((_, ok, error, code),) = asker.ask("join", addresses=[first.bind])["results"]

        assert (ok, code) == (False, Conflict.code)
        assert f"in use at {first.bind}" in error
        assert asker.register("web", port=80) == asker.list()[0]


def test_leave_is_at_once() -> None:
    """Every entry is removed elsewhere, the node has left, its agent ends with 0."""
    with Cluster("a", "b") as pair, pair["b"].raw() as watcher:
        events = watcher.watch()
        events.present()
        with pair["a"].raw() as asker:
            asker.register("web", port=80)
            asker.ask("leave")
        assert [next(events).cause, next(events).cause] == ["registered", "node-left"]
        assert pair["a"].wait() == 0
        assert states(watcher)["a"] == "left"


def test_a_stopped_agent_is_held_then_gone() -> None:
    """After SIGTERM its entries stay for the grace, shown as restarting; then they are gone."""
    with Cluster("a", "b", settings=GRACE) as pair, pair["b"].raw() as watcher:
        events = watcher.watch()
        events.present()
        with pair["a"].raw() as asker:
            asker.register("web", port=80, lifetime=["static"])
        assert next(events).kind == "added"
        assert pair["a"].stop() == 0
        wait_until(lambda: states(watcher)["a"] == "restarting")
        (held,) = watcher.list("web", usable=True)
        assert held.state == "restarting"
        assert watcher.ask("services")["services"] == [["web", {"restarting": 1}]]
        removed = next(events)
        assert (removed.kind, removed.cause) == ("removed", "node-down")
        assert watcher.list() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_makes_no_event(number: signal.Signals) -> None:
    """Who held a registration says it again with what it was told; nobody sees anything."""
    with Cluster("a", "b", settings=GRACE) as pair, pair["b"].raw() as watcher:
        events = watcher.watch()
        events.present()
        with pair["a"].raw() as asker:
            asker.register("web", port=80)
            row = asker.ask("update", id="web-80", tag=["v2"])["row"]
        assert [next(events).kind, next(events).kind] == ["added", "updated"]
        told = Body.unpack(row[5])
        pair["a"].stop(number)
        pair.start("a")
        with pair["a"].raw() as asker:
            again = asker.ask(
                "register",
                service="web",
                port=80,
                tags=told.tags,
                ref=told.ref,
                registered_ms=told.registered_ms,
                updated_ms=told.updated_ms,
            )
            assert again == {"row": row, "adopted": True}
            asker.register("last", lifetime=["static"])
            assert next(events).instance == asker.list("last")[0]
        assert states(watcher) == {"a": "alive", "b": "alive"}


def states(asker: Raw) -> dict[str, str]:
    """Return node -> state as this agent sees it."""
    return {member["node"]: member["state"] for member in asker.ask("members")["members"]}
