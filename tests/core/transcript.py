"""Messages and effects as the lines of a script."""

from discoagent.core.effects import (
    Effect,
    Emit,
    Event,
    Greeted,
    Namesake,
    Outranked,
    Redial,
    Refused,
    StateChanged,
)
from discoagent.core.entry import Entry, Kind
from discoagent.core.messages import (
    Absent,
    Delta,
    DeltaMessage,
    Digest,
    DigestReply,
    Farewell,
    Heartbeat,
    Hello,
    Message,
    Page,
    Part,
    Probe,
    ProbeReply,
    Refusal,
    Seen,
    SeenReply,
    SyncChunk,
    SyncRequest,
    Welcome,
)


def noted(node: str, effect: Effect) -> list[str]:  # noqa: C901, PLR0911 - one flat case an effect
    """Return the lines that tell of what a node does beside sending; of links and dials, none."""
    match effect:
        case Emit():
            return [f"{node}: {of_event(effect.event)}"]
        case StateChanged():
            before = effect.before or "new"
            because = f", {effect.evidence}" if effect.evidence else ""
            return [f"{node}: {effect.replica} is {effect.after}, was {before}{because}"]
        case Refused() if effect.by_us:
            return [f"{node}: refuses {effect.peer}, {effect.kind.name}"]
        case Refused():
            return [f"{node}: is refused by {effect.peer}, {effect.kind.name}"]
        case Greeted():
            return [f"{node}: greeted {effect.peer}"]
        case Outranked():
            return [f"{node}: outranked by {effect.incarnation}"]
        case Namesake():
            return [f"{node}: {effect.text}"]
        case Redial():
            return [f"{node}: redials {effect.endpoint}"]
        case _:
            return []


def told(message: Message) -> str:  # noqa: C901, PLR0911, PLR0912 - a case a message kind
    """Return a message as a line of a script shows it."""
    match message:
        case Hello():
            return f"Hello, clock {message.clock}"
        case Welcome():
            others = "".join(f", {it.replica} at {it.clock}" for it in message.members)
            return f"Welcome, clock {message.clock}{others}"
        case DeltaMessage():
            return "Delta " + ", then ".join(map(of_delta, message.deltas))
        case SyncRequest():
            wants = ", ".join(
                f"{want.replica} after {want.since}"
                + (f", scan after {want.after} at {want.floor}" if want.floor else "")
                for want in message.wants
            )
            return f"SyncRequest {wants}"
        case SyncChunk():
            return "SyncChunk " + ", ".join(map(of_part, message.parts))
        case Digest():
            return "Digest " + ", ".join(f"{known} at {clock}" for known, clock in message.known)
        case DigestReply():
            return "DigestReply " + ", ".join(
                f"{it.replica} at {it.clock}" for it in message.members
            )
        case Farewell():
            closing = f" {of_delta(message.delta)}" if message.delta else ""
            return f"Farewell {message.parting.name}{closing}"
        case Refusal():
            return f"Refusal {message.kind.name}"
        case Probe():
            return "Probe " + ", ".join(message.nodes)
        case ProbeReply():
            heard = (f"{it.replica} {it.age_ms / 1000:g} s ago" for it in message.members)
            return "ProbeReply " + ", ".join(heard)
        case Seen():
            return "Seen " + ", ".join(f"{goal} at {clock}" for goal, clock in message.goals)
        case SeenReply():
            behind = ", ".join(f"{goal} at {clock}" for goal, clock in message.behind)
            return f"SeenReply {behind or 'all'}"
        case Heartbeat():
            return f"Heartbeat {message.beat}, clock {message.clock}"


def of_delta(delta: Delta) -> str:
    """Return a delta as a line of a script shows it."""
    names = [f" +{of_entry(delta.added[dot][0])}" for dot in sorted(delta.added)]
    gone = [f" -{dot} {delta.removed[dot].cause.word}" for dot in sorted(delta.removed)]
    return f"{delta.replica} ({delta.since}, {delta.until}]" + "".join(names + gone)


def of_part(part: Part) -> str:
    """Return one chain's part of a chunk as a line of a script shows it."""
    match part:
        case Delta():
            return of_delta(part)
        case Page():
            last = "" if part.live is None else ", last"
            return f"{part.replica} page after {part.after} of {len(part.entries)}{last}"
        case Absent():
            return f"{part.replica} absent"


def of_entry(it: Entry) -> str:
    """Return an entry as a line of a script shows it."""
    return "member" if it.kind is Kind.MEMBER else f"{it.name}/{it.id}"


def of_event(event: Event) -> str:
    """Return an event as a line of a script shows it."""
    of = event.entry or event.before
    assert of is not None
    return f"{event.kind} {of_entry(of)}@{event.node}, {event.cause.word}"
