"""What must hold after peace: all running agents agree with what is true, and with each other."""

from typing import TYPE_CHECKING

from discoagent.core.effects import NodeState
from discoagent.core.entry import Entry, Key
from discoagent.core.replica import Replica
from discoagent.sim.step import members_of

if TYPE_CHECKING:
    from discoagent.sim.host import Host
    from discoagent.sim.world import World


def agreement(world: "World") -> str | None:
    """Say in what the running agents differ from what is true; None if in nothing."""
    running = [host for _, host in sorted(world.hosts.items()) if host.running]
    true: dict[str, dict[Key, Entry]] = {}
    for host in running:
        if host.services:
            entries = {key: registration.entry for key, registration in host.services.items()}
            true[host.name] = entries
    for host in running:
        assert host.replica is not None
        wrong = _disagrees(host, host.replica, running) or _shows_wrong(host, true)
        if wrong is not None:
            return f"{host.replica.id}: {wrong}"
    return None


def _disagrees(host: "Host", replica: Replica, running: list["Host"]) -> str | None:  # noqa: C901 - one line a rule
    if host.seeds and not replica.ready and len(running) > 1:
        return "not ready"
    members = members_of(replica)
    for other in running:
        if other is host:
            continue
        peer = members.peers.get(other.name)
        assert other.replica is not None
        if peer is None or peer.replica != other.replica.id:
            return f"{other.replica.id} is known as {peer.replica if peer else None}"
        if peer.state is not NodeState.ALIVE:
            return f"{other.name} is {peer.state}"
        if peer.node.chain.clock != other.replica.own.clock:
            return f"{other.name} at {peer.node.chain.clock}, not {other.replica.own.clock}"
    names = {other.name for other in running}
    for peer in members.peers.values():
        if peer.replica.node not in names and not peer.node.hidden:
            return f"{peer.replica} is gone, and {peer.state}"
    return None


def _shows_wrong(host: "Host", true: dict[str, dict[Key, Entry]]) -> str | None:
    shown = host.observer.shown
    if shown == true:
        return None
    more = sorted(_beyond(shown, true))
    less = sorted(_beyond(true, shown))
    return f"shows {more} too much or wrong, {less} not"


def _beyond(some: dict[str, dict[Key, Entry]], others: dict[str, dict[Key, Entry]]) -> list[str]:
    """Return what some hold that the others do not, or hold otherwise."""
    return [
        f"{key[1]}/{key[2]}@{node}"
        for node, entries in some.items()
        for key, entry in entries.items()
        if others.get(node, {}).get(key) != entry
    ]
