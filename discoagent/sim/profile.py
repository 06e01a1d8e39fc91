"""How bad a world is. A swarm draws a profile for each seed, so that every kind of bad luck gets
worlds of its own.
"""

import functools
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import ModuleType

from discoagent.core import chain, ring, sync
from discoagent.core.timing import Timing

PATIENT = Timing()
BRISK = Timing(restart_grace=7.0, forget_after=25.0)
GRACELESS = Timing(restart_grace=0.0, forget_after=30.0)
NEARBY = (0.0005, 0.003)  # seconds, from the quickest to the slowest message
LARGE = 64  # nodes above which a world that was asked for begins with all acquainted
AS_THEY_ARE = nullcontext()
SHORT_GRACE = Timing(suspect_after=2.0, down_after=4.0, restart_grace=4.5, settle_after=2.2)

Settings = tuple[tuple[ModuleType, str, int], ...]


@dataclass(frozen=True, slots=True)
class Knobs:
    """Limits of the core made so small that a world of a few entries reaches them; None: as they
    are.
    """

    ring_steps: int | None = None
    chunk_entries: int | None = None
    chunk_bytes: int | None = None
    chunks: int | None = None
    tail: int | None = None

    def applied(self) -> AbstractContextManager[None]:
        """Let the core run under these limits for as long as this lasts."""
        wanted = _settings(self)
        return self._applied(wanted) if wanted else AS_THEY_ARE

    @staticmethod
    @contextmanager
    def _applied(wanted: "Settings") -> Iterator[None]:
        before = [(module, name, getattr(module, name)) for module, name, _ in wanted]
        for module, name, value in wanted:
            setattr(module, name, value)
        try:
            yield
        finally:
            for module, name, value in before:
                setattr(module, name, value)


@functools.cache
def _settings(knobs: Knobs) -> Settings:
    """Return which constants of which modules are to have which values."""
    settings = (
        (ring, "RING_STEPS_MIN", knobs.ring_steps),
        (ring, "CHUNK_ENTRIES_MAX", knobs.chunk_entries),
        (chain, "CHUNK_ENTRIES_MAX", knobs.chunk_entries),
        (sync, "CHUNK_BYTES_MAX", knobs.chunk_bytes),
        (sync, "CHUNKS_PER_REQUEST", knobs.chunks),
        (chain, "TAIL_MAX", knobs.tail),
    )
    return tuple((module, name, value) for module, name, value in settings if value is not None)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a world's network and hosts are like.

    Times in seconds, rates per second over the whole world. `newcomers`: so many nodes more join
    in the midst of it, by one seed each. `ordered`: frames of one connection stay in order, as over
    TCP. `late`: heartbeats of a cut arrive after it, all at once. `clogs`: nothing arrives one way
    between two hosts for a while, and then all of it. `pacing`: a flush waits up to this long.
    `skew`: host clocks run this much fast or slow. `services`: so many registrations a node from
    the beginning on. `boot`: between two first starts, one of these passes; `acquainted`: instead,
    all have known each other for long when it begins. `outage`: how long a cut, a clog, an absence
    or a pause lasts at most, where `..._lasts` does not say so for one kind.
    """

    nodes: int = 3
    newcomers: int = 0
    seconds: float = 40.0
    latency: tuple[float, float] = NEARBY
    ordered: bool = True
    loss: float = 0.0
    duplicates: float = 0.0
    late: bool = False
    pacing: float = 0.0
    skew: float = 0.0
    writes: float = 0.0
    cuts: float = 0.0
    clogs: float = 0.0
    crashes: float = 0.0
    pauses: float = 0.0
    forgets: float = 0.0
    outage: float = 8.0
    cut_lasts: float | None = None
    clog_lasts: float | None = None
    away_lasts: float | None = None
    pause_lasts: float | None = None
    services: int = 0
    boot: tuple[float, ...] = (0.0, 0.0, 0.3, 3.0)
    acquainted: bool = False
    quiet: float = 30.0
    mixed: bool = False
    timing: Timing = PATIENT
    knobs: Knobs = Knobs()

    @classmethod
    def asked(
        cls,
        *,
        nodes: int = 5,
        services: int = 2,
        seconds: float = 40.0,
        loss: float = 0.0,
        partition: float | None = None,
        churn: float = 0.0,
        pause: float | None = None,
        restart: float | None = None,
        clog: float | None = None,
        latency: float | None = None,
        duplicates: float = 0.0,
        skew: float = 0.0,
    ) -> "Profile":
        """Return a world in which nothing happens but what is asked for.

        `partition`, `pause`, `restart` and `clog` say how long such trouble lasts at most; None:
        there is none. `latency`: the longest way of a message, the shortest is a tenth of it.
        """

        def rate(lasts: float | None) -> float:
            """About two at least in the whole run, and as much time with as without."""
            return 0.0 if lasts is None else max(2 / seconds, 0.5 / max(lasts, 1.0))

        return cls(
            nodes=nodes,
            seconds=seconds,
            loss=loss,
            writes=churn,
            cuts=rate(partition),
            crashes=rate(restart),
            pauses=rate(pause),
            clogs=rate(clog),
            latency=NEARBY if latency is None else (latency / 10, latency),
            duplicates=duplicates,
            skew=skew,
            cut_lasts=partition,
            clog_lasts=clog,
            away_lasts=restart,
            pause_lasts=pause,
            services=services,
            boot=(0.0, 0.02),
            acquainted=nodes > LARGE,
            quiet=30.0 if nodes <= LARGE else 10.0,
        )

    @classmethod
    def swarm(cls, seed: int) -> "Profile":
        """Draw a profile; most kinds of trouble are absent from most worlds."""
        luck = random.Random(f"profile {seed}")

        def rarely(*values: float) -> float:
            return luck.choice(values) if luck.random() < 0.4 else 0.0

        slow = luck.choice((0.003, 0.003, 0.02, 0.15, 0.8))
        small = luck.random() < 0.5
        return cls(
            nodes=luck.choice((2, 3, 3, 3, 4, 5)),
            seconds=luck.choice((15.0, 30.0, 45.0)),
            latency=(slow / 10, slow),
            ordered=luck.random() < 0.5,
            loss=rarely(0.02, 0.1, 0.3),
            duplicates=rarely(0.05, 0.3),
            late=luck.random() < 0.3,
            pacing=rarely(0.05, 0.4),
            skew=rarely(0.01, 0.05),
            writes=luck.choice((0.3, 2.0, 2.0, 10.0)),
            cuts=rarely(0.1, 0.3),
            crashes=rarely(0.1, 0.3),
            pauses=rarely(0.05, 0.2),
            outage=luck.choice((1.0, 4.0, 12.0, 35.0)),
            timing=luck.choice((PATIENT, BRISK, BRISK, SHORT_GRACE, GRACELESS)),
            knobs=Knobs(
                ring_steps=luck.choice((2, 8)) if small else None,
                chunk_entries=luck.choice((1, 2, 5)) if small else None,
                chunks=luck.choice((1, 2)) if small else None,
                tail=luck.choice((1, 3)) if small else None,
                chunk_bytes=luck.choice((200, 1_000)) if small else None,
            ),
            newcomers=luck.choice((0, 0, 0, 1, 2)),
            forgets=rarely(0.1, 0.3),
            mixed=luck.random() < 0.3,
            clogs=_clogs(seed),
        )


def _clogs(seed: int) -> float:
    """Draw how often a way is clogged, by luck of its own: all else of a seed is as without it."""
    luck = random.Random(f"clogs {seed}")
    return luck.choice((0.05, 0.1, 0.3)) if luck.random() < 0.3 else 0.0
