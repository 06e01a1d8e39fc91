"""The living processes that own, wrap or ask: one pidfd each, which wakes the loop at their end.

A pidfd stays that of one process whatever happens to the pid, so while it is held the pid cannot be
mistaken, and what was read about the process can be kept.
"""

import asyncio
import errno
import os
import select
from collections.abc import Callable

from discoagent.core.entry import CauseWord, Key
from discoagent.core.limits import OWNER_IDENTITY_BYTES
from discoagent.errors import DiscoError
from discoagent.instance import pack_actor
from discoagent.local.host import endings, owners

FACTS_KEPT = 1.0  # seconds until executable and unit are looked up again: a process may exec


class Process:
    """One living process: who it is, and what ends with it.

    `keys` are the entries that live as long as it does, `wrapped` those of which it will tell how
    their process ended; both in the order in which they came.
    """

    __slots__ = ("actor", "cause", "facts", "fd", "keys", "looked_up", "ours", "owner", "wrapped")

    def __init__(self, facts: owners.ProcessFacts, fd: int, boot: str, now: float) -> None:
        self.fd = fd
        self.cause = CauseWord.EXIT  # how it ended, as far as that is known
        self.keys: dict[Key, None] = {}
        self.wrapped: dict[Key, None] = {}
        self.ours = owners.in_our_pid_namespace(facts.pid)
        self.learn(facts, boot, now)

    def learn(self, facts: owners.ProcessFacts, boot: str, now: float) -> None:
        """Take in what was looked up; owner and actor are packed once for all entries."""
        self.facts = facts
        self.looked_up = now
        self.owner = owners.process_owner(facts, boot)
        self.actor = pack_actor(facts.owner)

    @property
    def identity(self) -> bytes:
        """Return the first bytes of the owner, which no other process has."""
        return self.owner[:OWNER_IDENTITY_BYTES]

    def ending(self) -> str:
        """Return the cause's word for its end, as far as the kernel tells."""
        return endings.cause(self.facts.pid, self.facts.start, self.fd)

    def ended(self) -> bool:
        """Ask the kernel now, for the loop may not have heard yet."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(0))


class Processes:
    """All processes that were looked up and still live."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[Process], None],
        boot: str | None = None,
    ) -> None:
        """`on_end` is called once for each process, within the turn in which the kernel tells."""
        self._loop = loop
        self._on_end = on_end
        self._boot = owners.boot_id() if boot is None else boot
        self._by_pid: dict[int, Process] = {}
        self._by_identity: dict[bytes, Process] = {}

    def __len__(self) -> int:
        return len(self._by_pid)

    def find(self, pid: int) -> Process | None:
        """Return the living process of this pid, or None."""
        process = self._by_pid.get(pid)
        if process is None:
            return self._open(pid)
        now = self._loop.time()
        if now - process.looked_up > FACTS_KEPT:
            facts = owners.facts(pid)
            if facts is None or facts.start != process.facts.start:
                return None  # it has ended; the pidfd will say so in this or the next turn
            process.learn(facts, self._boot, now)
        return process

    def living(self, pid: int) -> Process | None:
        """As `find`, but ask the kernel first: one that has ended is told of now, and if its pid is
        another's by now that one is returned."""
        held = self._by_pid.get(pid)
        if held is not None and held.ended():
            self._on_readable(held)
        return self.find(pid)

    def owning(self, owner: bytes) -> Process | None:
        """Return the living process that a packed owner names, or None."""
        return self._by_identity.get(owner[:OWNER_IDENTITY_BYTES])

    def close(self) -> None:
        """Forget all of them, without a word to anybody."""
        for process in list(self._by_pid.values()):
            self._drop(process)

    def _open(self, pid: int) -> Process | None:
        facts = owners.facts(pid)
        if facts is None:
            return None
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise DiscoError(
                    "no file descriptor is left to watch a process with: raise LimitNOFILE"
                ) from None
            raise
        if owners.start_time(pid) != facts.start:  # the pid changed hands between the two looks
            os.close(fd)
            return None
        process = Process(facts, fd, self._boot, self._loop.time())
        self._by_pid[pid] = process
        self._by_identity[process.identity] = process
        self._loop.add_reader(fd, self._on_readable, process)
        return process

    def _on_readable(self, process: Process) -> None:
        if process.keys:
            process.cause = process.ending()
        self._drop(process)
        self._on_end(process)

    def _drop(self, process: Process) -> None:
        self._loop.remove_reader(process.fd)
        os.close(process.fd)
        del self._by_pid[process.facts.pid]
        del self._by_identity[process.identity]
