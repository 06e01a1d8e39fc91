"""Short words for the core's tests: entries, records, chains made of steps, peers, effects."""

from collections.abc import Iterable

from discoagent.core.chain import Chain
from discoagent.core.effects import Effect, Emit, Event, EventKind, Send
from discoagent.core.entry import Cause, Entry, Kind, MemberRecord, ReplicaId
from discoagent.core.membership import Membership, member_entry
from discoagent.core.messages import Delta, Part, SyncChunk, SyncRequest, Want
from discoagent.core.peer import Peer

OWNER = b"owner-01" + b" and more"
OTHER_OWNER = b"owner-02" + b" and more"

A, B, C, D = (ReplicaId(node, 1) for node in "abcd")

REGISTERED = Cause("registered", b"", 1)
UPDATED = Cause("updated", b"", 2)
DEREGISTERED = Cause("deregistered", b"", 3)
EXITED = Cause("exit:SIGKILL", b"", 4)
LEFT = Cause("node-left", b"", 5)


def entry(
    instance: str = "1", body: bytes = b"v1", *, name: str = "web", owner: bytes = OWNER
) -> Entry:
    """Return a version of a service's instance."""
    return Entry(Kind.SERVICE, name, instance, owner, body)


def record(endpoint: str = "a:1", *, settled: bool = True, boot: str = "") -> MemberRecord:
    """Return what a node says of itself."""
    return MemberRecord(endpoint, "0", settled=settled, boot=boot)


def member(*, settled: bool = True, boot: str = "") -> Entry:
    """Return the entry of a node's record."""
    return member_entry(record(settled=settled, boot=boot))


Step = tuple[Entry, Cause]  # a registration or an update; a withdrawal where the body is b""


def step(chain: Chain, each: Step) -> None:
    """Let a chain's owner make a step, if it is one."""
    what, why = each
    if what.body == b"":
        chain.withdraw(what.key, why)
    else:
        chain.put(what, why)


def chain_of(*steps: Step, replica: ReplicaId = A, flush_after: Iterable[int] = ()) -> Chain:
    """Return a chain of those steps; its owner pushed after those clocks."""
    chain, flushes = Chain(replica), set(flush_after)
    pushed = 0
    for each in steps:
        step(chain, each)
        if chain.clock in flushes and chain.clock > pushed:
            chain.deltas_after(pushed)
            pushed = chain.clock
    return chain


State = tuple[int, int, dict[int, Entry]]


def state(chain: Chain) -> State:
    """Return all of a chain that has to agree between replicas."""
    return chain.clock, chain.hash, dict(chain.live())


def added(node: str, what: Entry, why: Cause = REGISTERED, clock: int = 0) -> Emit:
    """Return the effect that tells of a new entry."""
    return Emit(Event(EventKind.ADDED, node, what, None, why, clock))


def updated(node: str, what: Entry, before: Entry, why: Cause = UPDATED, clock: int = 0) -> Emit:
    """Return the effect that tells of an entry's new version."""
    return Emit(Event(EventKind.UPDATED, node, what, before, why, clock))


def removed(node: str, before: Entry, why: Cause = DEREGISTERED, clock: int = 0) -> Emit:
    """Return the effect that tells of an entry that is gone."""
    return Emit(Event(EventKind.REMOVED, node, None, before, why, clock))


def meet(members: Membership, replica: ReplicaId, *, heard: bool = True) -> Peer:
    """Let a know another, heard now or only told of."""
    endpoint = f"{replica.node}:1"
    peer, _ = members.learn(replica, endpoint, 0.0, 10.0, direct=heard)
    assert peer is not None
    return peer


def register(members: Membership, *entries: Entry) -> None:
    """Let a register entries of its own."""
    for it in entries:
        before = members.own.put(it, REGISTERED)
        members.presence.stepped(members.me, before, it, REGISTERED)


def join(members: Membership, peer: Peer, *deltas: Delta) -> list[Effect]:
    """Let a join deltas of another."""
    effects: list[Effect] = []
    for delta in deltas:
        effects += members.joined(peer, peer.node.chain.join(delta) or [], 10.0)
    return effects


def forget(members: Membership, peer: Peer) -> list[Effect]:
    """Let a forget another, because it was long ago."""
    return members.forget(peer, "long ago", members.cause("node-forgotten"), 20.0)


def ask(to: ReplicaId, number: int, *wants: Want) -> Send:
    """Return the effect that asks for chains."""
    return Send((f"{to.node}:1",), SyncRequest(number, wants))


def chunk(number: int, *parts: Part, last: bool = True) -> SyncChunk:
    """Return an answer."""
    return SyncChunk(number, last, parts)


def snapshot(of: ReplicaId, *entries: Entry) -> Delta:
    """Return a chain's whole state as a delta."""
    steps = ((it, REGISTERED) for it in (member(), *entries))
    delta = chain_of(*steps, replica=of).delta_since(0)
    assert delta is not None
    return delta
