"""What happens in a world, said for a reader of its log."""

from discoagent.core.effects import (
    Answer,
    Connect,
    Dial,
    Disconnect,
    Emit,
    Event,
    EventKind,
    Redial,
    Send,
    StateChanged,
)
from discoagent.core.messages import (
    Acquaintance,
    Delta,
    DeltaMessage,
    Digest,
    DigestReply,
    Farewell,
    Message,
    Page,
    Part,
    Probe,
    ProbeReply,
    SyncChunk,
    SyncRequest,
    Welcome,
)

SIGNS = {EventKind.ADDED: "+", EventKind.UPDATED: "~", EventKind.REMOVED: "-"}


def in_words(what: object) -> str:  # noqa: C901, PLR0911 - one case an effect
    """Return a line of the log: an effect, or what was put into words already."""
    match what:
        case Emit(event):
            return f"shows {event_in_words(event)}"
        case Send(endpoints, message):
            return f"-> {', '.join(map(_host, endpoints))}: {_said(message)}"
        case Answer(to, message):
            return f"-> {to.node}: {_said(message)}"
        case StateChanged(replica, before, after, evidence):
            was = "unknown" if before is None else before
            return f"takes {replica} for {after}, was {was}" + (f": {evidence}" if evidence else "")
        case Connect(endpoint):
            return f"connects to {_host(endpoint)}"
        case Disconnect(endpoint):
            return f"hangs up on {_host(endpoint)}"
        case Redial(endpoint):
            return f"connects to {_host(endpoint)} anew"
        case Dial(endpoint):
            return f"dials {_host(endpoint)}"
        case _:
            return str(what)


def event_in_words(event: Event) -> str:
    """Return what a watcher is told: + is added, ~ is updated, - removed."""
    entry = event.entry or event.before
    assert entry is not None
    return f"{SIGNS[event.kind]} {entry.name}/{entry.id}@{event.node} {event.cause.word}"


def _host(endpoint: str) -> str:
    return endpoint.rsplit(":", 1)[0]


def _said(message: Message) -> str:
    """Return the kind of a message, and what is of interest in it."""
    told = _told(message)
    return type(message).__name__ + (f" {told}" if told else "")


def _told(message: Message) -> str:  # noqa: PLR0911 - one case a kind
    match message:
        case DeltaMessage(deltas):
            return ", ".join(map(_part, deltas))
        case Farewell(parting, _):
            return parting.name.lower()
        case Welcome(members=members) | DigestReply(_, members) | ProbeReply(_, members):
            return ", ".join(map(_acquaintance, members)) or "nobody"
        case Digest(_, known):
            return ", ".join(f"{replica.node} at {clock}" for replica, clock in known)
        case Probe(_, nodes):
            return ", ".join(nodes) or "yourself"
        case SyncRequest(_, wants):
            return ", ".join(f"{want.replica.node} after {want.since}" for want in wants)
        case SyncChunk(_, last, parts):
            return ", ".join([*map(_part, parts), *([] if last else ["and more"])])
        case _:
            return ""


def _part(part: Part) -> str:
    match part:
        case Delta(replica, since, until):
            return f"{replica.node} {since}..{until}"
        case Page(replica, after, clock, entries, live):
            end = "" if live is None else ", the last"
            return f"{replica.node} page of {len(entries)} after {after} at {clock}{end}"
        case _:
            return f"no {part.replica.node}"


def _acquaintance(told: Acquaintance) -> str:
    standing = told.standing.name.lower()
    return f"{told.replica.node} {standing} at {told.clock}, {told.age_ms / 1000:.1f} s ago"
