"""What events look like to people: a line each. Pure."""

from collections.abc import Callable, Iterator

from discoagent.cli.presence_views import said
from discoagent.cli.views import endpoint, lifetime, owner, pairs, plain, words
from discoagent.instance import Event, Instance
from discoagent.presence import AnyEvent, PresenceEvent


def event_line(event: AnyEvent, *, wide: bool = False) -> tuple[str, str, str]:
    """One change as (time, kind, the rest of the line)."""
    if isinstance(event, PresenceEvent):
        return event.at, event.kind, _presence_line(event, wide=wide)
    return event.at, event.kind, _instance_line(event, wide=wide)


def event_names(event: AnyEvent) -> list[str]:
    """The name of the instance, or the key, that a change is about; of a mark there is none."""
    if isinstance(event, PresenceEvent):
        return [] if event.key is None else [plain(event.key)]
    about = event.instance or event.before
    return [about.name] if about else []


def _presence_line(event: PresenceEvent, *, wide: bool) -> str:
    if event.topic is None or event.key is None:
        return _mark(event)
    parts = [plain(event.topic), plain(event.key)]
    if event.meta is not None and event.before is not None:
        parts.append(f"{said(event.before)} -> {said(event.meta)}")
    else:
        parts.append(said(event.meta or event.before or {}))
    if event.cause:
        parts.append(f"cause={event.cause}")
    if wide:
        parts.append(f"by={owner(event.actor)}")
        parts.append(f"ref={(event.meta or event.before or {}).get('ref')}")
    return " ".join(parts)


def _mark(event: AnyEvent) -> str:
    return f"node {event.node}" if event.node else ""


def _instance_line(event: Event, *, wide: bool) -> str:
    about = event.instance or event.before
    if about is None:
        return _mark(event)
    parts = [about.name, plain(endpoint(about.address, about.port))]
    if event.kind == "updated" and event.instance and event.before:
        parts.extend(_differences(event.before, event.instance))
    elif event.kind == "added":
        parts.append(about.state)
        parts.extend([f"tags={words(about.tags)}"] if about.tags else [])
    if event.cause:
        parts.append(f"cause={event.cause}")
    if wide:
        parts.append(f"by={owner(event.actor)}")
        parts.append(f"meta={pairs(about.meta)}")
    return " ".join(parts)


def _differences(before: Instance, after: Instance) -> Iterator[str]:
    """What an update changed, field by field."""
    shown: tuple[tuple[str, Callable[[Instance], str]], ...] = (
        ("address", lambda it: plain(endpoint(it.address, it.port))),
        ("state", lambda it: it.state),
        ("tags", lambda it: words(it.tags)),
        ("meta", lambda it: pairs(it.meta)),
        ("lifetime", lambda it: lifetime(it.lifetime)),
    )
    for name, cell in shown:
        if (was := cell(before)) != (now := cell(after)):
            yield f"{name}: {was} -> {now}"
