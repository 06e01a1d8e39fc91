"""The five journeys of the protocol as transcripts: who says what to whom, and what users see."""

from discoagent.core.effects import DialOutcome, NodeState
from discoagent.core.entry import Kind
from discoagent.core.messages import DeltaMessage, Message, Parting, SyncChunk
from tests.core.cluster import Cluster, nothing_is_lost
from tests.core.vocabulary import DEREGISTERED, EXITED, LEFT, REGISTERED, entry


def deltas_from_a_to_b(by: str, to: str, message: Message) -> bool:
    """Lose what a pushes to b."""
    return (by, to) == ("a", "b") and isinstance(message, DeltaMessage)


def test_a_registration_reaches_the_watchers_of_every_node(cluster: Cluster) -> None:
    """Register -> delta -> remote join -> watcher: pushed in the same turn, no question asked."""
    cluster.start("a")
    cluster.start("b", "a")
    cluster.start("c", "a")
    cluster.said()

    cluster.put("a", entry())
    cluster.put("a", entry(body=b"v2"), word="updated")

    assert cluster.said() == [
        "a: added web/1@a, registered",
        "a -> b  Delta a.1 (1, 2] +web/1",
        "b: added web/1@a, registered",
        "a -> c  Delta a.1 (1, 2] +web/1",
        "c: added web/1@a, registered",
        "a: updated web/1@a, updated",
        "a -> b  Delta a.1 (2, 3] +web/1 -2 updated",
        "b: updated web/1@a, updated",
        "a -> c  Delta a.1 (2, 3] +web/1 -2 updated",
        "c: updated web/1@a, updated",
    ]


def test_a_query_is_answered_from_memory_and_changes_nothing(cluster: Cluster) -> None:
    """Lookup: sorted by name, id and node, and not a word is said."""
    a = cluster.start("a")
    cluster.start("b", "a")
    cluster.put("b", entry("2"), entry("1"), entry("1", name="db"))
    cluster.put("a", entry("1"))
    cluster.said()

    rows = [(it.entry.name, it.entry.id, it.node, it.overlay) for it in a.lookup(Kind.SERVICE)]

    assert rows == [
        ("db", "1", "b", None),
        ("web", "1", "a", None),
        ("web", "1", "b", None),
        ("web", "2", "b", None),
    ]
    assert [it.node for it in a.lookup(Kind.SERVICE, ["web"], "a")] == ["a"]
    assert a.names(Kind.SERVICE) == ["db", "web"]
    assert [(it.node, it.entry.name) for it in a.find(Kind.SERVICE, "1")] == [
        ("b", "db"),
        ("a", "web"),
        ("b", "web"),
    ]
    assert [it.node for it in a.find(Kind.SERVICE, "1", "web", "b")] == ["b"]
    assert cluster.said() == []


def test_a_newcomer_learns_all_of_one_seed_and_is_ready_only_then(cluster: Cluster) -> None:
    """Hello -> welcome -> sync -> ready, by way of a; it meets b too, whom a told it of.

    b need not tell it of the others again: c knows as many, which its Hello shows.
    """
    cluster.start("a")
    cluster.put("a", entry())
    cluster.start("b", "a")
    cluster.wait(1)
    cluster.said()
    ready: list[bool] = []

    def look(_by: str, to: str, message: Message) -> bool:
        if to == "c" and isinstance(message, SyncChunk):
            ready.append(cluster.running["c"].ready)
        return False

    cluster.lose = look
    c = cluster.start("c", "a")

    assert cluster.said() == [
        "c -> a  Hello, clock 1",
        "a: c.1 is alive, was new",
        "a -> c  Welcome, clock 2, b.1 at 1",
        "c: a.1 is alive, was new",
        "c: greeted a.1",
        "c: b.1 is alive, was new",
        "a -> c  SyncRequest c.1 after 0",
        "c -> b  Hello, clock 1",
        "b: c.1 is alive, was new",
        "c -> a  SyncRequest a.1 after 0, b.1 after 0",
        "c -> a  SyncChunk c.1 (0, 1] +member",
        "b -> c  Welcome, clock 1",
        "c: greeted b.1",
        "b -> c  SyncRequest c.1 after 0",
        "a -> c  SyncChunk a.1 (0, 2] +member +web/1, b.1 (0, 1] +member",
        "c: added web/1@a, registered",
        "c -> b  SyncChunk c.1 (0, 1] +member",
    ]
    assert ready == [False]
    assert c.ready


def test_a_lost_delta_is_seen_as_a_gap_and_fetched_at_once(cluster: Cluster) -> None:
    """Gap -> repair: the next delta shows it; what came beyond the gap waits in the tail."""
    cluster.start("a")
    cluster.start("b", "a")
    cluster.said()

    cluster.lose = deltas_from_a_to_b
    cluster.put("a", entry("1"))
    cluster.lose = nothing_is_lost
    cluster.put("a", entry("2"))

    assert cluster.said() == [
        "a: added web/1@a, registered",
        "a -x b  Delta a.1 (1, 2] +web/1",
        "a: added web/2@a, registered",
        "a -> b  Delta a.1 (2, 3] +web/2",
        "b -> a  SyncRequest a.1 after 1",
        "a -> b  SyncChunk a.1 (1, 3] +web/1 +web/2",
        "b: added web/1@a, registered",
        "b: added web/2@a, registered",
    ]


def test_a_lost_last_delta_is_seen_in_the_heartbeat(cluster: Cluster) -> None:
    """No later delta shows the gap: the next heartbeat's clock does."""
    cluster.start("a")
    cluster.start("b", "a")
    cluster.said()

    cluster.lose = deltas_from_a_to_b
    cluster.put("a", entry("1"))
    cluster.lose = nothing_is_lost
    cluster.wait(2)

    assert cluster.said() == [
        "a: added web/1@a, registered",
        "a -x b  Delta a.1 (1, 2] +web/1",
        "b -> a  SyncRequest a.1 after 1",
        "a -> b  SyncChunk a.1 (1, 2] +web/1",
        "b: added web/1@a, registered",
    ]


def test_a_dead_host_s_entries_are_gone_when_nobody_heard_it(cluster: Cluster) -> None:
    """Suspect -> evidence -> down -> events: the others are asked before the verdict."""
    for node in ("a", "b", "c"):
        cluster.start(node, "a")
    cluster.put("a", entry())
    cluster.wait(1)
    cluster.said()

    cluster.kill("a")
    cluster.wait(5)

    said = cluster.said()
    assert said[:6] == [
        "b -> c  Probe a",
        "b -x a  Probe ",
        "c -> b  ProbeReply a.1 1.75 s ago",
        "c -> b  Probe a",
        "c -x a  Probe ",
        "b -> c  ProbeReply a.1 1.75 s ago",
    ]
    assert [line for line in said if "Probe" not in line] == [
        "b: a.1 is suspect, was alive, silent for 2.2 s",
        "c: a.1 is suspect, was alive, silent for 2.2 s",
        "b: removed web/1@a, node-down",
        "b: a.1 is down, was suspect, silent for 4.2 s, here and to all who were asked",
        "c: removed web/1@a, node-down",
        "c: a.1 is down, was suspect, silent for 4.2 s, here and to all who were asked",
    ]
    assert cluster.running["b"].names(Kind.SERVICE) == []


def test_a_restart_of_an_agent_is_no_event(cluster: Cluster) -> None:
    """Killed -> its port refuses -> restarting -> a new life says the same again: nothing shown."""
    cluster.start("a")
    b = cluster.start("b", "a")
    cluster.put("a", entry())
    cluster.wait(1)
    cluster.said()

    cluster.kill("a", DialOutcome.REFUSED)
    cluster.wait(5)

    assert [line for line in cluster.said() if "Probe" not in line] == [
        "b: a.1 is restarting, was alive, its port refuses",
    ]
    assert [it.overlay for it in b.lookup(Kind.SERVICE)] == [NodeState.RESTARTING]

    a = cluster.start("a", "b", incarnation=2, settled=False)
    cluster.put("a", entry())
    cluster.run("a", a.settle(REGISTERED, cluster.now))

    assert cluster.said() == [
        "a -> b  Hello, clock 1",
        "b: a.2 is alive, was restarting, a new life",
        "b -> a  Welcome, clock 1",
        "a: b.1 is alive, was new",
        "a: greeted b.1",
        "b -> a  SyncRequest a.2 after 0",
        "a -> b  SyncRequest b.1 after 0",
        "a -> b  SyncChunk a.2 (0, 1] +member",
        "b -> a  SyncChunk b.1 (0, 1] +member",
        "a: added web/1@a, registered",
        "a -> b  Delta a.2 (1, 2] +web/1",
        "a -> b  Delta a.2 (2, 3] +member -1 registered",
    ]


def test_farewells(cluster: Cluster) -> None:
    """A stop is held; what ended meanwhile is told by the next life; a leave is gone at once."""
    a = cluster.start("a")
    cluster.start("b", "a")
    cluster.put("a", entry("1"), entry("2"))
    cluster.said()

    cluster.run("a", a.depart(Parting.RESTART, DEREGISTERED, cluster.now))
    cluster.kill("a")
    cluster.wait(4)

    assert cluster.said() == [
        "a -> b  Farewell RESTART",
        "b: a.1 is restarting, was alive, it said that it restarts",
    ]

    a = cluster.start("a", "b", incarnation=2, settled=False)
    cluster.put("a", entry("2"))
    cluster.said()
    cluster.run("a", a.settle(REGISTERED, cluster.now, {entry("1").key: EXITED}))
    cluster.run("a", a.depart(Parting.LEAVE, LEFT, cluster.now))

    assert cluster.said() == [
        "a -> b  Delta a.2 (2, 3] +member -1 registered",
        "b: removed web/1@a, exit:SIGKILL",
        "a: removed web/2@a, node-left",
        "a -> b  Farewell LEAVE a.2 (3, 4] -3 node-left",
        "b: removed web/2@a, node-left",
        "b: a.2 is left, was alive, it said that it leaves",
    ]
