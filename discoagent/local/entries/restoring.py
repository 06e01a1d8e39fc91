"""What becomes of the former life's entries at a start, before anybody is spoken to.

An entry lives on if its owner does; what ended meanwhile is told with its cause.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from discoagent.core.effects import Event, EventKind
from discoagent.core.entry import Cause, CauseWord, Entry, Key, Kind
from discoagent.core.replica import Replica
from discoagent.local.entries.lifetimes import Lifetimes
from discoagent.local.host import endings, owners
from discoagent.local.host.processes import Process
from discoagent.store import StoredEntry

LEASE_LEFT_MIN = 3.0  # seconds: its holder could not renew it while we were away


class Restored(NamedTuple):
    """What was registered again, and what has ended: causes by key, and as events."""

    kept: list[StoredEntry]
    ended: dict[Key, Cause]
    events: list[Event]


def restore(
    rows: Iterable[StoredEntry],
    *,
    replica: Replica,
    lifetimes: Lifetimes,
    revive: Callable[[Entry], None],
    now: float,
    wall_ms: int,
) -> Restored:
    """Register what still lives, without a word to anybody; `revive` goes on with its checks."""
    restored = Restored([], {}, [])
    # Who holds these entries from the former life sees no difference; who had given the node up
    # sees them return.
    back = Cause(CauseWord.NODE_RETURNED, b"", wall_ms)
    for row in rows:
        if row.kind == Kind.MEMBER:
            continue
        entry = Entry(Kind(row.kind), row.name, row.id, row.owner, row.body)
        if _bound(row, entry, lifetimes, wall_ms):
            replica.put(entry, back, now)
            revive(entry)
            restored.kept.append(row)
        else:
            cause = Cause(_ending(entry), b"", wall_ms)
            restored.ended[entry.key] = cause
            restored.events.append(
                Event(EventKind.REMOVED, replica.id.node, None, entry, cause, clock=0)
            )
    return restored


def _ending(entry: Entry) -> str:
    """Return how the process of an entry ended, which nobody may have reaped yet."""
    named = owners.process_of(entry.owner)
    assert named is not None  # what is kept otherwise ends when that is seen
    return endings.cause(*named, None)


def _bound(row: StoredEntry, entry: Entry, lifetimes: Lifetimes, wall_ms: int) -> bool:
    """Bind an entry to what ends it; False if that has ended."""
    named = owners.process_of(row.owner)
    if named is not None:
        process = lifetimes.processes.find(named[0])
        if process is None or process.identity != row.owner[: len(process.identity)]:
            return False  # ended, of another boot, or the pid is another's by now
        lifetimes.bind(entry.key, process, _wrapper(row, lifetimes))
    elif row.ttl_ms is not None:
        ttl = row.ttl_ms / 1000
        left = ((row.deadline_ms or 0) - wall_ms) / 1000
        lifetimes.leases.grant(entry.key, ttl, left=max(min(left, ttl), LEASE_LEFT_MIN))
    return True


def _wrapper(row: StoredEntry, lifetimes: Lifetimes) -> Process | None:
    if row.wrapper_pid is None:
        return None
    wrapper = lifetimes.processes.find(row.wrapper_pid)
    return wrapper if wrapper is not None and wrapper.facts.start == row.wrapper_start else None
