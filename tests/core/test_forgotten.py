"""Those that were down for so long that they were forgotten are greeted in turn, for ever."""

from discoagent.core.effects import Effect, NodeState, Send
from discoagent.core.entry import ReplicaId
from discoagent.core.greeter import FORGOTTEN_INTERVAL, Greeter
from discoagent.core.membership import Membership
from discoagent.core.messages import Hello, Refusal, RefusalKind
from discoagent.core.timing import TICK
from tests.core.vocabulary import LEFT, B, C, D, forget, meet


def greeted_at(effects: list[Effect]) -> list[str]:
    """Return where a Hello goes."""
    return [
        effect.endpoints[0]
        for effect in effects
        if isinstance(effect, Send) and isinstance(effect.message, Hello)
    ]


def bury(members: Membership, replica: ReplicaId, state: NodeState) -> None:
    """Let a forget a peer that was in that state."""
    peer = meet(members, replica)
    members.hide(peer, state, LEFT, "", 9.0)
    forget(members, peer)


def test_they_are_greeted_in_turn_for_ever(members: Membership) -> None:
    """But not those that left."""
    greeter = Greeter(members)
    for replica, state in ((B, NodeState.DOWN), (C, NodeState.LEFT), (D, NodeState.DOWN)):
        bury(members, replica, state)

    ticks = [place * FORGOTTEN_INTERVAL for place in range(1, 5)]
    greeted = [greeted_at(greeter.tick(now)) for now in ticks]

    assert sorted(greeted[:2]) == [["b:1"], ["d:1"]]
    assert greeted[2:] == greeted[:2]
    assert greeted_at(greeter.tick(ticks[-1] + TICK)) == []


def test_not_where_another_cluster_moved_in(members: Membership) -> None:
    """It refused us once, and will again."""
    greeter = Greeter(members)
    bury(members, B, NodeState.DOWN)
    greeter.tick(FORGOTTEN_INTERVAL)
    greeter.refusal(Refusal(1, RefusalKind.CLUSTER, "other", "no"), C, FORGOTTEN_INTERVAL)

    assert greeter.tick(2 * FORGOTTEN_INTERVAL) == []
