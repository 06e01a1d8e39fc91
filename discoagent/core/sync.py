"""Pull sync: who is behind asks, who is asked keeps no state, any holder continues for another.

A chain is served as a net delta where the server's ring reaches back to the asker, else as a *scan
in order of birth*: pages of entries, each with the clock at which it was read; the last page names
all that is alive. The asker assembles pages aside and installs them in one go, so neither a busy
owner nor a server that vanishes is an obstacle, and nobody ever sees half of a table.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from discoagent.core.chain import Chain
from discoagent.core.effects import Answer, Effect, NodeState, Send
from discoagent.core.entry import Entry, ReplicaId
from discoagent.core.limits import CHAINS_PER_REQUEST, CHUNK_BYTES_MAX, CHUNKS_PER_REQUEST
from discoagent.core.membership import Membership
from discoagent.core.messages import (
    Absent,
    Delta,
    Page,
    Part,
    SyncChunk,
    SyncRequest,
    Want,
)
from discoagent.core.peer import PRESENT, Peer
from discoagent.core.ring import weight_of

REQUEST_TIMEOUT = 1.5
HEARTBEAT_PATIENCE = (
    0.5  # a heartbeat's clock may be ahead of its delta: they travel on two sockets
)
STRUCK_OUT_PAUSE = 1.0  # nobody could serve it: begin anew after this


@dataclass(slots=True)
class Assembly:
    """The pages of an unfinished scan: entries by dot, the last dot, the highest page's clock."""

    replica: ReplicaId
    after: int = 0
    floor: int = 0
    entries: dict[int, Entry] = field(default_factory=dict)

    def accept(self, page: Page) -> bool:
        """Take a page that continues this scan, read at no older clock; say whether it did."""
        if page.replica != self.replica or page.after != self.after or page.clock < self.floor:
            return False
        if not page.entries and page.live is None:
            return False
        self.entries.update(page.entries)
        self.after = max(page.entries, default=self.after)
        self.floor = page.clock
        return True

    def state(self, live: tuple[tuple[int, int], ...]) -> dict[int, Entry] | None:
        """Return exactly what the last page names as alive; None if some of it never arrived."""
        if sum(count for _, count in live) > len(self.entries):
            return None
        dots = (dot for first, count in live for dot in range(first, first + count))
        try:
            return {dot: self.entries[dot] for dot in dots}
        except KeyError:
            return None


@dataclass(slots=True)
class Lack:
    """What is known to be missing of one chain, and what is done about it."""

    replica: ReplicaId
    goal: int
    due: float
    holders: dict[str, None] = field(default_factory=dict)
    struck: set[str] = field(default_factory=set)
    request: int | None = None  # one in flight a chain
    assembly: Assembly | None = None


@dataclass(slots=True)
class Request:
    """One question in flight."""

    server: str
    nodes: list[str]
    deadline: float
    came: set[str] = field(default_factory=set)  # chains of which something of use arrived


class Sync:
    """Finds what is missing, asks for it, and serves others."""

    def __init__(self, members: Membership) -> None:
        self._members = members
        self._lacks: dict[str, Lack] = {}
        self._idle: dict[str, Lack] = {}  # those without a request in flight
        self._requests: dict[int, Request] = {}
        self._number = 0

    @property
    def lacking(self) -> bool:
        """Is anything known to be missing?"""
        return any(self._still_lacks(name, lack) for name, lack in self._lacks.items())

    def due(self) -> float:
        """When does the next request or timeout come up? (witnessed clock)"""
        asks = (lack.due for lack in self._idle.values())
        ends = (request.deadline for request in self._requests.values())
        return min((*asks, *ends), default=float("inf"))

    # ---- asking

    def behind(
        self, peer: Peer, clock: int, holder: str, now: float, patience: float = 0.0
    ) -> None:
        """Take in that `holder` has this peer's chain to `clock`; ask after `patience` seconds."""
        if clock <= peer.node.chain.clock or peer.state not in PRESENT:
            return
        lack = self._lacks.get(peer.replica.node)
        if lack is None or lack.replica != peer.replica:
            lack = Lack(peer.replica, clock, now + patience)
            self._lacks[peer.replica.node] = self._idle[peer.replica.node] = lack
        lack.goal = max(lack.goal, clock)
        lack.due = min(lack.due, now + patience)
        lack.holders[holder] = None

    def pump(self, now: float) -> list[Effect]:
        """Ask for all that is due, grouped by whom to ask."""
        by_server: dict[str, list[str]] = {}
        for name, lack in list(self._idle.items()):
            if not self._still_lacks(name, lack):
                del self._lacks[name], self._idle[name]
            elif lack.due <= now:
                server = self._server(name, lack, now)
                if server is not None:
                    by_server.setdefault(server, []).append(name)
        effects: list[Effect] = []
        for server, names in by_server.items():
            effects += [
                self._ask(server, names[first : first + CHAINS_PER_REQUEST], now)
                for first in range(0, len(names), CHAINS_PER_REQUEST)
            ]
        return effects

    def _still_lacks(self, name: str, lack: Lack) -> bool:
        peer = self._members.peers.get(name)
        return (
            peer is not None
            and peer.replica == lack.replica
            and peer.state in PRESENT
            and peer.node.chain.clock < lack.goal
        )

    def _server(self, name: str, lack: Lack, now: float) -> str | None:
        """Choose the owner while it is heard, else a holder that has not been struck off."""
        members = self._members
        patience = members.timing.suspect_after
        owner = members.peers[name]
        direct = max(owner.heard, owner.answered)
        if now - direct <= patience and owner.state is NodeState.ALIVE:
            lack.holders = {name: None, **lack.holders}
        for holder in lack.holders:
            peer = members.peers.get(holder)
            if peer is None or holder in lack.struck or peer.state not in PRESENT:
                continue
            return holder
        lack.struck.clear()
        lack.due = now + STRUCK_OUT_PAUSE
        return None

    def _ask(self, server: str, names: list[str], now: float) -> Effect:
        self._number += 1
        self._requests[self._number] = Request(server, names, now + REQUEST_TIMEOUT)
        wants = []
        for name in names:
            lack = self._lacks[name]
            lack.request = self._number
            del self._idle[name]
            clock = self._members.peers[name].node.chain.clock
            scan = lack.assembly
            wants.append(
                Want(lack.replica, clock, scan.after if scan else 0, scan.floor if scan else 0)
            )
        endpoint = self._members.peers[server].endpoint
        return Send((endpoint,), SyncRequest(self._number, tuple(wants)))

    def tick(self, now: float) -> list[Effect]:
        """Give up on those that did not answer, and ask others."""
        for number, request in list(self._requests.items()):
            if request.deadline <= now:
                self._close(number, strike=True, now=now)
        return self.pump(now)

    def _close(self, number: int, *, strike: bool, now: float) -> None:
        request = self._requests.pop(number)
        for name in request.nodes:
            lack = self._lacks.get(name)
            if lack is None or lack.request != number:
                continue
            lack.request = None
            self._idle[name] = lack
            lack.due = now
            if name in request.came or (request.came and not strike):
                continue  # it was of use, or had no place for this chain: it said so if it lacks it
            if strike or name != request.server:
                lack.struck.add(request.server)
            else:
                lack.due = now + STRUCK_OUT_PAUSE

    # ---- being answered

    def chunk(self, chunk: SyncChunk, sender: ReplicaId, now: float) -> list[Effect]:
        """Join what came; where a request is closed and something is still missing, ask on."""
        request = self._requests.get(chunk.number)
        if request is None or request.server != sender.node:
            self._members.counters["chunk-unasked"] += 1
            return []
        request.deadline = now + REQUEST_TIMEOUT
        effects: list[Effect] = []
        for part in chunk.parts:
            effects += self._part(part, request, now)
        if chunk.last:
            self._close(chunk.number, strike=False, now=now)
        return effects + self.pump(now)

    def _part(self, part: Part, request: Request, now: float) -> list[Effect]:
        name = part.replica.node
        peer = self._members.peers.get(name)
        lack = self._lacks.get(name)
        if peer is None or peer.replica != part.replica or name not in request.nodes:
            return []
        if lack is None:
            return []
        match part:
            case Absent():
                lack.struck.add(request.server)
                return []
            case Delta():
                segments = peer.node.chain.join(part)
                if segments:
                    request.came.add(name)
                return self._members.joined(peer, segments or [], now)
            case Page():
                return self._page(part, peer, lack, request, now)

    def _page(
        self, page: Page, peer: Peer, lack: Lack, request: Request, now: float
    ) -> list[Effect]:
        if lack.assembly is None or page.after == 0:
            lack.assembly = Assembly(page.replica)
        if not lack.assembly.accept(page):
            self._members.counters["page-out-of-line"] += 1
            return []
        request.came.add(page.replica.node)
        if peer.node.held is not None:
            peer.node.held_until = max(peer.node.held_until, now + self._members.timing.down_after)
        if page.live is None:
            return []
        state = lack.assembly.state(page.live)
        lack.assembly = None
        if state is None:
            self._members.counters["scan-broken"] += 1
            return []
        return self._members.joined(peer, peer.node.chain.install(page.clock, state), now)

    # ---- serving

    def serve(self, request: SyncRequest, sender: ReplicaId) -> list[Effect]:
        """Answer with `CHUNKS_PER_REQUEST` chunks at most, each as large as a message should be."""
        chunks: list[list[Part]] = [[]]
        weight = 0
        for part in self._parts(request, sender):
            heavy = _weight(part)
            if chunks[-1] and (
                weight + heavy > CHUNK_BYTES_MAX or len(chunks[-1]) >= CHAINS_PER_REQUEST
            ):
                if len(chunks) == CHUNKS_PER_REQUEST:
                    break
                chunks.append([])
                weight = 0
            chunks[-1].append(part)
            weight += heavy
        last = len(chunks) - 1
        return [
            Answer(sender, SyncChunk(request.number, place == last, tuple(parts)))
            for place, parts in enumerate(chunks)
        ]

    def _parts(self, request: SyncRequest, sender: ReplicaId) -> Iterator[Part]:
        for want in request.wants:
            chain = self._chain(want.replica)
            if chain is None or want.replica.node == sender.node:
                yield Absent(want.replica)
            else:
                yield from _serve(chain, want)

    def _chain(self, replica: ReplicaId) -> Chain | None:
        """Return the chain of a life that we ourselves hold present."""
        if replica == self._members.id:
            return self._members.own
        peer = self._members.peers.get(replica.node)
        if peer is None or peer.replica != replica or peer.state not in PRESENT:
            return None
        return peer.node.chain


def _serve(chain: Chain, want: Want) -> Iterator[Part]:
    if chain.clock <= want.since or chain.clock < want.floor:
        yield Absent(chain.replica)
        return
    clock, after = want.since, want.after
    while clock < chain.clock:
        delta = chain.delta_since(clock) if after == 0 else None
        if delta is not None:
            yield delta
            clock = delta.until
            continue
        page = chain.page(after)
        yield page
        if page.live is not None:
            return
        after = max(page.entries)


def _weight(part: Part) -> int:
    match part:
        case Delta():
            return sum(weight_of(entry) for entry, _ in part.added.values()) + 96 * len(
                part.removed
            )
        case Page():
            return sum(weight_of(entry) for entry in part.entries.values())
        case Absent():
            return 96
