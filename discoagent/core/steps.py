"""A segment's steps as events, in the order in which the owner made them."""

from operator import itemgetter

from discoagent.core.effects import Event, EventKind
from discoagent.core.entry import UNKNOWN, Cause, CauseWord, Entry
from discoagent.core.messages import Removal
from discoagent.core.node import Node
from discoagent.core.ring import Segment

NOT_TAKEN = Removal(UNKNOWN, 0)
CHANGES = frozenset(
    {CauseWord.UPDATED, CauseWord.CHECK, CauseWord.MAINT, CauseWord.DRAINED, CauseWord.RELOAD}
)
_Step = tuple[int, EventKind, Entry | None, Entry | None, Cause]
"""Its clock, its kind, the entry and that before, the cause."""


def steps_of(node: Node, segment: Segment) -> list[Event]:
    """Return what a segment changes of what is shown of its node; held entries are taken over.

    Each event's clock is that of its step, unless the steps between are not all told.
    """
    exact = node.held is None and segment.told
    gone = {entry.key: (entry, taken) for entry, taken in segment.gone.values() if entry.shown}
    steps: list[_Step] = []
    for dot, (entry, cause) in segment.added.items():
        if not entry.shown:
            continue
        before, taken = gone.pop(entry.key, (None, NOT_TAKEN))
        if before is None and (before := node.take_held(entry.key)) is not None:
            steps += _resumed(dot, entry, before, cause)
        elif before is None:
            steps.append((dot, EventKind.ADDED, entry, None, cause or UNKNOWN))
        else:
            steps += _changed(dot, entry, before, cause or UNKNOWN, taken)
    for entry, taken in gone.values():
        clock = taken.clock or segment.until
        steps.append((clock, EventKind.REMOVED, None, entry, taken.cause))
    steps.sort(key=itemgetter(0))
    return [
        Event(kind, node.name, entry, before, cause, clock if exact else 0)
        for clock, kind, entry, before, cause in steps
    ]


def steps_after(node: Node, clock: int) -> list[Event] | None:
    """Return what changed of the node's chain after `clock`; None where that is not known.

    All befores are whole. Nothing is held, for that would not be in the chain.
    """
    if clock == node.chain.clock:
        return []
    segments = node.chain.segments_after(clock)
    if segments is None:
        return None
    events = [event for segment in segments for event in steps_of(node, segment)]
    return [event for event in events if not 0 < event.clock <= clock]


def _ends(cause: Cause) -> bool:
    """Did the step with this cause end the entry, rather than change it?"""
    return cause.word in (CauseWord.DEREGISTERED, CauseWord.LEASE_EXPIRED) or cause.word.startswith(
        CauseWord.EXIT
    )


def _changed(dot: int, entry: Entry, before: Entry, cause: Cause, taken: Removal) -> list[_Step]:
    if _ends(taken.cause):  # two things in one delta: it ended, and its key was registered anew
        return [
            (taken.clock or dot, EventKind.REMOVED, None, before, taken.cause),
            (dot, EventKind.ADDED, entry, None, cause),
        ]
    if entry == before:
        return []
    return [(dot, EventKind.UPDATED, entry, before, cause)]


def _resumed(dot: int, entry: Entry, before: Entry, cause: Cause | None) -> list[_Step]:
    """Return how a former life's entry and the present one's of a key differ; equal: no event.

    The present life's own step may be no more than that it was taken over or said again; only what
    changed it since is told as its cause.
    """
    if entry == before:
        return []
    known = cause or UNKNOWN
    word = known.word if known.word in CHANGES else CauseWord.UPDATED
    if not entry.same_owner(before):
        word = CauseWord.REPLACED
    why = Cause(word, known.actor, known.at)
    return [(dot, EventKind.UPDATED, entry, before, why)]
