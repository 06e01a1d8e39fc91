"""What ends an entry: its process, its lease, or nothing.

There is no polling: pidfds and one timer wake the loop.
"""

import asyncio
import heapq
from collections.abc import Callable, Collection, KeysView, Sequence

from discoagent.core.entry import CauseWord, Entry, Key
from discoagent.local.host.processes import Process, Processes

WRAPPER_PATIENCE = 0.025  # seconds a living wrapper has to tell how its process ended
LATE = 0.25  # seconds; a lease found expired later than this was not watched: the agent slept
HEAP_SLACK = 64


class Lease:
    """One lease: until when it runs, and when the heap will look at it next."""

    __slots__ = ("deadline", "key", "looked_at", "ttl")

    def __init__(self, key: Key, ttl: float, deadline: float) -> None:
        self.key = key
        self.ttl = ttl
        self.deadline = deadline
        self.looked_at = deadline

    def __lt__(self, other: "Lease") -> bool:
        return self.looked_at < other.looked_at


class Leases:
    """All leases on one heap with one timer. A renewal touches neither: the heap looks again."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_expired: Callable[[Sequence[Key]], None]
    ) -> None:
        self._loop = loop
        self._on_expired = on_expired
        self._leases: dict[Key, Lease] = {}
        self._heap: list[tuple[float, Lease]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._postponed = False
        self.renewed: set[Key] = set()  # since whoever keeps leases took note

    def __contains__(self, key: Key) -> bool:
        return key in self._leases

    def keys(self) -> KeysView[Key]:
        """Return the keys of all leases."""
        return self._leases.keys()

    def get(self, key: Key) -> Lease | None:
        """Return the lease of that key."""
        return self._leases.get(key)

    def grant(self, key: Key, ttl: float, left: float | None = None) -> None:
        """Begin a lease of `ttl` seconds, or change the one there is; `left` is what is left."""
        deadline = self._loop.time() + (ttl if left is None else left)
        lease = self._leases.get(key)
        if lease is not None and deadline >= lease.looked_at:
            lease.ttl, lease.deadline = ttl, deadline
            return
        lease = self._leases[key] = Lease(key, ttl, deadline)
        heapq.heappush(self._heap, (deadline, lease))
        if len(self._heap) > 2 * len(self._leases) + HEAP_SLACK:
            self._rebuild()
        self._arm()

    def renew(self, key: Key) -> None:
        """Give a lease its whole time again."""
        lease = self._leases[key]
        lease.deadline = self._loop.time() + lease.ttl
        self.renewed.add(key)

    def end(self, key: Key) -> bool:
        """Forget a lease; was there one? Its place on the heap is skipped when it comes up."""
        return self._leases.pop(key, None) is not None

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._leases.clear()
        self._heap.clear()

    def _rebuild(self) -> None:
        for lease in self._leases.values():
            lease.looked_at = lease.deadline
        self._heap = [(lease.deadline, lease) for lease in self._leases.values()]
        heapq.heapify(self._heap)

    def _arm(self) -> None:
        if not self._heap:
            return
        due = self._heap[0][0]
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        """End what has expired. After a pause of our own, renewals that lie unread go first."""
        self._timer = None
        now = self._loop.time()
        if self._heap and now - self._heap[0][0] > LATE and not self._postponed:
            self._postponed = True
            self._timer = self._loop.call_at(now + LATE, self._look)
            return
        self._postponed = False
        expired = []
        while self._heap and self._heap[0][0] <= now:
            when, lease = heapq.heappop(self._heap)
            if self._leases.get(lease.key) is not lease or lease.looked_at != when:
                continue
            if lease.deadline > now:
                lease.looked_at = lease.deadline
                heapq.heappush(self._heap, (lease.deadline, lease))
            else:
                del self._leases[lease.key]
                expired.append(lease.key)
        self._arm()
        if expired:
            self._on_expired(expired)


class Lifetimes:
    """Which of this node's entries end when. The registrar binds and releases, and is told."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_ended: Callable[[Sequence[Key], str], None],
        on_process_end: Callable[[Process], None] = lambda _: None,
        *,
        boot: str | None = None,
    ) -> None:
        """`on_ended` gets the keys of entries that ended, in their order, and the cause's word."""
        self._loop = loop
        self._on_ended = on_ended
        self._on_process_end = on_process_end
        self.processes = Processes(loop, self._process_ended, boot)
        self.leases = Leases(loop, lambda keys: on_ended(keys, CauseWord.LEASE_EXPIRED))
        self._wrappers: dict[Key, Process] = {}
        self._waiting: dict[Key, asyncio.TimerHandle] = {}

    def bind(self, key: Key, process: Process, wrapper: Process | None) -> None:
        """Let the entry live as long as this process; its wrapper may tell how it ended."""
        process.keys[key] = None
        former = self._wrappers.pop(key, None) if self._wrappers else None
        if former is not None:
            former.wrapped.pop(key, None)
        if wrapper is not None:
            self._wrappers[key] = wrapper
            wrapper.wrapped[key] = None

    def release(self, entry: Entry) -> None:
        """Whatever would have ended this entry ends it no more."""
        key = entry.key
        if self.leases.end(key):
            return
        process = self.processes.owning(entry.owner)
        if process is not None:
            process.keys.pop(key, None)
        wrapper = self._wrappers.pop(key, None)
        if wrapper is not None:
            wrapper.wrapped.pop(key, None)
        timer = self._waiting.pop(key, None)
        if timer is not None:
            timer.cancel()

    def lives(self, entry: Entry, kind: str) -> bool:
        """Has the owner of this entry, whose lifetime is of this kind, not ended yet?"""
        if kind != "process":
            return True
        process = self.processes.owning(entry.owner)
        return process is not None and not process.ended()

    def ending(self, entry: Entry) -> str:
        """Return the cause's word for an entry whose owner does not live any more."""
        process = self.processes.owning(entry.owner)
        return CauseWord.EXIT if process is None else process.ending()

    def keys(self) -> "Collection[Key]":
        """Return the keys of what ends otherwise than by its owner's end alone."""
        return self.leases.keys() | self._wrappers.keys() if self._wrappers else self.leases.keys()

    def wrapper_of(self, key: Key) -> Process | None:
        """Return the living process that may tell how this entry's process ended."""
        return self._wrappers.get(key)

    def close(self) -> None:
        """Watch nothing any more; nothing ends by this."""
        self.leases.close()
        self.processes.close()
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    def _process_ended(self, process: Process) -> None:
        """Tell what ended with a process; a living wrapper is waited for where nobody else knows
        how."""
        for key in process.wrapped:
            self._wrappers.pop(key, None)
        untold = [key for key in process.wrapped if self._waited_for(key)]
        known = process.cause != CauseWord.EXIT
        gone = []
        for key in process.keys:
            if key in self._wrappers and not known:
                self._waiting[key] = self._loop.call_later(WRAPPER_PATIENCE, self._give_up, key)
            else:
                gone.append(key)
        if untold:
            self._on_ended(untold, CauseWord.EXIT)
        if gone:
            self._on_ended(gone, process.cause)
        self._on_process_end(process)

    def _waited_for(self, key: Key) -> bool:
        """Was a wrapper's word waited for? It is not any more."""
        timer = self._waiting.pop(key, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def _give_up(self, key: Key) -> None:
        del self._waiting[key]
        wrapper = self._wrappers.pop(key, None)
        if wrapper is not None:
            wrapper.wrapped.pop(key, None)
        self._on_ended([key], CauseWord.EXIT)
