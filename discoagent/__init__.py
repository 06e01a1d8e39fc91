"""discoagent: masterless service discovery, a sidecar agent on each host.

    from discoagent import Disco

    with Disco() as disco:
        web = disco.register("web", port=8080)

The names below are imported when they are first used, so that the protocol (`discoagent.core`) and
`discoctl --help` load nothing they do not need.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from discoagent.checks import Check
    from discoagent.client import Disco
    from discoagent.errors import (
        AgentUnavailable,
        Conflict,
        DiscoError,
        InvalidRequest,
        NoInstance,
        Refused,
        TimeoutExpired,
    )
    from discoagent.instance import Event, Instance, Lifetime, Member, Owner
    from discoagent.presence import PresenceEvent, Tracked

__version__ = "0.1.0"

__all__ = [
    "AgentUnavailable",
    "Check",
    "Conflict",
    "Disco",
    "DiscoError",
    "Event",
    "Instance",
    "InvalidRequest",
    "Lifetime",
    "Member",
    "NoInstance",
    "Owner",
    "PresenceEvent",
    "Refused",
    "TimeoutExpired",
    "Tracked",
]

_HOMES = {
    "Check": "discoagent.checks",
    "Disco": "discoagent.client.disco",
    **dict.fromkeys(("Event", "Instance", "Lifetime", "Member", "Owner"), "discoagent.instance"),
    **dict.fromkeys(("PresenceEvent", "Tracked"), "discoagent.presence"),
}


def __getattr__(name: str) -> object:
    """Import a public name from its home at first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "discoagent.errors")), name)
