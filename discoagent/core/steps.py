"""A segment's steps as events, in the order in which the owner made them."""

from dataclasses import replace

from discoagent.core.effects import Event, EventKind
from discoagent.core.entry import UNKNOWN, Cause, CauseWord, Entry
from discoagent.core.messages import Removal
from discoagent.core.node import Node
from discoagent.core.ring import Segment

NOT_TAKEN = Removal(UNKNOWN, 0)


def steps_of(node: Node, segment: Segment) -> list[Event]:
    """Return what a segment changes of what is shown of its node; held entries are taken over.

    Each event's clock is that of its step, unless the steps between are not all told.
    """
    exact = node.held is None and segment.told
    gone = {entry.key: (entry, taken) for entry, taken in segment.gone.values() if entry.shown}
    steps: list[tuple[int, Event]] = []
    for dot, (entry, cause) in segment.added.items():
        if not entry.shown:
            continue
        before, taken = gone.pop(entry.key, (None, NOT_TAKEN))
        if before is None and (before := node.take_held(entry.key)) is not None:
            steps += _resumed(node, dot, entry, before, cause)
        else:
            steps += _changed(node, dot, entry, before, cause=cause or UNKNOWN, taken=taken)
    for entry, taken in gone.values():
        event = Event(EventKind.REMOVED, node.name, None, entry, taken.cause, taken.clock)
        steps.append((taken.clock or segment.until, event))
    steps.sort(key=lambda step: step[0])
    return [event if exact else replace(event, clock=0) for _, event in steps]


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


def _changed(
    node: Node, dot: int, entry: Entry, before: Entry | None, *, cause: Cause, taken: Removal
) -> list[tuple[int, Event]]:
    if before is None:
        return [(dot, Event(EventKind.ADDED, node.name, entry, None, cause, dot))]
    if _ends(taken.cause):  # two things in one delta: it ended, and its key was registered anew
        end = taken.clock or dot
        return [
            (end, Event(EventKind.REMOVED, node.name, None, before, taken.cause, end)),
            (dot, Event(EventKind.ADDED, node.name, entry, None, cause, dot)),
        ]
    if entry == before:
        return []
    return [(dot, Event(EventKind.UPDATED, node.name, entry, before, cause, dot))]


def _resumed(
    node: Node, dot: int, entry: Entry, before: Entry, cause: Cause | None
) -> list[tuple[int, Event]]:
    """Return how a former life's entry and the present one's of a key differ; equal: no event."""
    if entry == before:
        return []
    word = CauseWord.UPDATED if entry.same_owner(before) else CauseWord.REPLACED
    known = cause or UNKNOWN
    why = Cause(word, known.actor, known.at)
    return [(dot, Event(EventKind.UPDATED, node.name, entry, before, why))]
