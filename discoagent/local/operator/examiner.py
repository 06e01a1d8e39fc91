"""Finds out how this agent is connected: it dials its peers, and asks them how they see us.

The questions are the detector's own (`Probe`), numbered apart from its own, so that a peer of any
version answers them.
"""

import asyncio
import os
import pwd
import resource
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from discoagent import __version__
from discoagent.core.effects import DialOutcome, NodeState, Refused
from discoagent.core.messages import Envelope, Message, Probe, ProbeReply
from discoagent.core.replica import Replica
from discoagent.core.telling import MemberView
from discoagent.endpoints import Endpoint, parse
from discoagent.local.host.clock import Clock
from discoagent.local.operator import inbound
from discoagent.local.operator.about import About
from discoagent.local.operator.diagnosis import diagnose
from discoagent.local.operator.facts import Diagnosis, Facts, PeerFacts, RefusalFacts, StateFacts
from discoagent.mesh.dialling import dial
from discoagent.store import Store
from discoagent.wire import WireError
from discoagent.wire.extensions import wall_clock

NUMBERS_FROM = 2**52  # the detector's begin at 1
ANSWER_SECONDS = 1.5
REFUSALS_KEPT = 32
PEERS_MAX = 64  # examined at a time: the others are alike
DIALS_AT_ONCE = 32
INBOUND_LOOKS, INBOUND_PAUSE = 20, 0.15  # seconds: 3 in all for a connection to come in


class _Answer(NamedTuple):
    hears_us: float | None
    skew: float | None


class Examiner:
    """One life's. `send` is the transport's."""

    def __init__(
        self,
        *,
        replica: Replica,
        about: About,
        send: Callable[[Iterable[str], Message], None],
        clock: Clock,
        store: Store,
        service_problems: Callable[[], Iterable[object]],
    ) -> None:
        """`store` keeps what outlives a restart; `service_problems`: of the service files."""
        self._replica = replica
        self._about = about
        self._send = send
        self._now = clock.now
        self._wall_ms = clock.wall_ms
        self._store = store
        self._service_problems = service_problems
        self._number = NUMBERS_FROM
        self._asked: dict[int, tuple[float, asyncio.Future[_Answer]]] = {}
        self._refusals: deque[tuple[float, str, str]] = deque(maxlen=REFUSALS_KEPT)

    def refused(self, effect: Refused) -> None:
        """Remember that a greeting came to nothing."""
        self._remember(effect.kind.name.lower(), effect.text)

    def nonsense(self, peer: str, error: WireError) -> None:
        """Remember that a peer sent what cannot be read, if that is a matter of versions."""
        if error.reason == "version":
            self._remember("wire", f"{peer} speaks another wire {error}")

    def _remember(self, word: str, text: str) -> None:
        for former in [it for it in self._refusals if it[2] == text]:
            self._refusals.remove(former)
        self._refusals.append((self._now(), word, text))

    def takes(self, envelope: Envelope) -> bool:
        """Take the answer to a question of ours; False if it is none."""
        reply = envelope.message
        if type(reply) is not ProbeReply or reply.number < NUMBERS_FROM:
            return False
        at, waiting = self._asked.pop(reply.number, (0.0, None))
        if waiting is not None and not waiting.done():
            own = self._replica.id
            ages = [it.age_ms / 1000 for it in reply.members if it.replica == own]
            wall = wall_clock(envelope.extensions)
            middle = self._wall_ms() - (self._now() - at) * 500
            skew = None if wall is None else (wall - middle) / 1000
            waiting.set_result(_Answer(ages[0] if ages else None, skew))
        return True

    async def examine(self) -> list[Diagnosis]:
        """Find out, and say what is wrong."""
        status = self._about.status()
        own, record = self._replica.id.node, self._replica.own.record
        members = self._replica.members(self._now())
        views = [view for view in members if view.replica.node != own]
        limit = asyncio.Semaphore(DIALS_AT_ONCE)
        peers, (advertised, publisher), missed = await asyncio.gather(
            asyncio.gather(*(self._peer(view, limit) for view in views[:PEERS_MAX])),
            _both_ports(self._replica.endpoint, limit),
            _missed(views, parse(str(status["bind"])).port),
        )
        return diagnose(
            Facts(
                node=own,
                version=__version__,
                uptime=status["uptime_ms"] / 1000,
                boot=record.boot if record else "",
                bind=str(status["bind"]),
                advertise=self._replica.endpoint,
                advertised=advertised,
                publisher=publisher,
                ready=bool(status["ready"]),
                alone=bool(status["alone"]),
                isolated=bool(status["isolated"]),
                secure=bool(status["secure"]),
                files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
                store=_look_at(self._store),
                suspect_after=self._replica.timing.suspect_after,
                service_problems=tuple(map(str, self._service_problems())),
                peers=tuple(
                    peer._replace(
                        missed_at=tuple(port for port in missed if peer.endpoint in missed[port])
                    )
                    for peer in peers
                ),
                refusals=tuple(
                    RefusalFacts(word, text, self._now() - at) for at, word, text in self._refusals
                ),
            )
        )

    async def _peer(self, view: MemberView, limit: asyncio.Semaphore) -> PeerFacts:
        answer, (router, publisher) = await asyncio.gather(
            self._ask(view.endpoint), _both_ports(view.endpoint, limit)
        )
        return PeerFacts(
            node=view.replica.node,
            endpoint=view.endpoint,
            state=view.state,
            heard=view.heard,
            router=router,
            publisher=publisher,
            answered=answer is not None,
            hears_us=answer.hears_us if answer else None,
            skew=answer.skew if answer else None,
            boot=view.record.boot if view.record else "",
            version=view.record.version if view.record else "",
        )

    async def _ask(self, endpoint: str) -> _Answer | None:
        self._number += 1
        number = self._number
        waiting: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._asked[number] = (self._now(), waiting)
        self._send((endpoint,), Probe(number, (self._replica.id.node,)))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await waiting
        except TimeoutError:
            return None
        finally:
            self._asked.pop(number, None)


async def _both_ports(text: str, limit: asyncio.Semaphore) -> tuple[DialOutcome, DialOutcome]:
    """Dial the two ports of the agent at an endpoint: of its ROUTER, and of its PUB."""
    endpoint = parse(text)

    async def dialled(each: Endpoint) -> DialOutcome:
        async with limit:
            return await dial(str(each))

    return await asyncio.gather(
        dialled(endpoint), dialled(Endpoint(endpoint.host, endpoint.port + 1))
    )


async def _missed(views: Iterable[MemberView], port: int) -> dict[int, set[str]]:
    """Return, for both our ports, from which of the peers that are alive nothing comes in.

    Who has just been met is given a moment.
    """
    alive = [view.endpoint for view in views if view.state is NodeState.ALIVE]
    found = {each: set(alive) for each in (port, port + 1)}
    for _ in range(INBOUND_LOOKS):
        found = {each: missed & inbound.missed(alive, each) for each, missed in found.items()}
        if not any(found.values()):
            break
        await asyncio.sleep(INBOUND_PAUSE)
    return found


def _look_at(store: Store) -> StateFacts | None:
    directory, trouble = store.directory, store.trouble
    if directory is None:
        return None
    return StateFacts(str(directory), _stranger(directory), trouble, _free(directory))


def _stranger(directory: Path) -> str | None:
    """Return the user whose directory this is, if that is neither root nor we."""
    try:
        uid = directory.stat().st_uid
    except OSError:
        return None
    if uid in (0, os.geteuid()):
        return None
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"uid {uid}"


def _free(directory: Path) -> int | None:
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
