"""A cluster that has been there for long: a thousand agents that greet each other one by one are
half a million greetings, and what is asked of a large world lies after them.
"""

from typing import TYPE_CHECKING

from discoagent.core.effects import Effect
from discoagent.core.messages import Delta
from discoagent.sim.step import members_of

if TYPE_CHECKING:
    from discoagent.sim.host import Host
    from discoagent.sim.world import World


def acquaint(world: "World") -> None:
    """Let each running agent know each other one and hold its chain, as if it had just told them.

    The rest of first contact is left to the agents: who tells whom of the cluster, what is ready.
    """
    running = [host for _, host in sorted(world.hosts.items()) if host.running]
    told = {host.name: _whole(host) for host in running}
    for host in running:
        effects: list[Effect] = []
        for other in running:
            if other is not host:
                effects += _meet(host, other, told[other.name])
        host.done("knows everybody", effects)


def _whole(host: "Host") -> Delta:
    assert host.replica is not None
    own = host.replica.own
    delta = own.delta_since(0)
    assert delta is not None
    assert delta.until == own.clock, "more services than one message holds"
    return delta


def _meet(host: "Host", other: "Host", delta: Delta) -> list[Effect]:
    assert host.replica is not None
    members, now = members_of(host.replica), host.clock()
    peer, effects = members.learn(delta.replica, other.endpoint, 0.0, now, direct=True)
    assert peer is not None
    peer.welcomed = True
    return effects + members.joined(peer, peer.node.chain.join(delta) or [], now)
