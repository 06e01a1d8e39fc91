"""What a restart makes the mesh carry: counted, message by message."""

from collections import Counter

import pytest

from discoagent import wire
from discoagent.core.effects import Answer, Effect, Send
from discoagent.core.entry import Cause, Entry, Kind, MemberRecord
from discoagent.core.messages import Envelope
from discoagent.core.replica import Replica
from discoagent.core.timing import Timing

CAUSE = Cause("registered", b"", 1)


def replica(node: str, incarnation: int, entries: int) -> Replica:
    """Return a replica that has that many entries, and is settled."""
    it = Replica(
        node=node,
        incarnation=incarnation,
        cluster="c",
        record=MemberRecord(f"{node}:1", "0"),
        timing=Timing(),
        now=0.0,
    )
    for number in range(entries):
        it.put(Entry(Kind.SERVICE, "web", str(number), bytes(8), bytes(100)), CAUSE, 0.0)
    it.settle(CAUSE, 0.0)
    return it


def carry(nodes: dict[str, Replica], sender: Replica, effects: list[Effect]) -> Counter[str]:
    """Deliver all that comes of these effects; return the bytes that each node was sent."""
    carried: Counter[str] = Counter()
    mail = [(sender, effect) for effect in effects]
    while mail:
        came_from, effect = mail.pop(0)
        match effect:
            case Send(endpoints, message):
                to = [nodes[endpoint.partition(":")[0]] for endpoint in endpoints]
            case Answer(asker, message):
                to = [nodes[asker.node]]
            case _:
                continue
        for each in to:
            carried[each.id.node] += len(wire.encode(message, came_from.id))
            effects = each.receive(Envelope(message, came_from.id), 0.0)
            mail += [(each, effect) for effect in effects + each.flush(0.0)]
    return carried


def restart(own: int, foreign: int) -> Counter[str]:
    """Restart one of three nodes; return the bytes that each of them was sent for it."""
    nodes = {"a": replica("a", 1, own), "b": replica("b", 1, foreign), "c": replica("c", 1, 0)}
    for node in nodes.values():
        carry(nodes, node, node.seeds([f"{other}:1" for other in nodes], 0.0))
    nodes["a"] = replica("a", 2, own)
    carried = carry(nodes, nodes["a"], nodes["a"].seeds(["b:1", "c:1"], 0.0))
    for node in nodes.values():
        assert sum(1 for _ in node.lookup(Kind.SERVICE)) == own + foreign
    return carried


@pytest.mark.parametrize("own", [10, 1_000])
def test_others_are_sent_that_node_s_entries_alone(own: int) -> None:
    """However many there are of others, which are sent once, to the one that has forgotten them."""
    few, many = restart(own, 10), restart(own, 3_000)

    for node in ("b", "c"):
        assert abs(many[node] - few[node]) < 200
        assert many[node] < 1_000 + 300 * own
    assert many["a"] < 2_000 + 300 * 3_000
