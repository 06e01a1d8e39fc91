"""The client library: `Disco` and its parts, without asyncio.

The names below are imported from their modules when they are first used (PEP 562).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from discoagent.client.disco import Disco
    from discoagent.client.registration import Registration
    from discoagent.client.track import Track
    from discoagent.client.watch import Watch

__all__ = ["Disco", "Registration", "Track", "Watch"]


def __getattr__(name: str) -> object:
    """Import a public name from its module at first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{name.lower()}"), name)
