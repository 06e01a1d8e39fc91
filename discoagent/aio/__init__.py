"""The client library for asyncio: `AsyncDisco`, with the names of `Disco`.

    import asyncio
    from discoagent.aio import AsyncDisco

    async def main():
        async with AsyncDisco() as disco:
            web = await disco.register("web", port=8080, tags=["v2"])
            print(await disco.list("db"))
            async for event in disco.watch("db"):
                print(event.kind, event.instance)

    asyncio.run(main())

Whatever asks the agent is awaited and raises what `Disco` raises. A watch is iterated over at once,
or awaited first to know that the agent is there. One client belongs to one event loop, in which any
task may use it; neither threads nor forks may share it.

**Cancelling** is safe anywhere. A query is forgotten. A change goes on in the background until it
is known what became of it, and what was to be registered is ended again, for nobody has its handle.
A watch loses no event by it.

It is the same protocol and the same bookkeeping as in `discoagent.client`; here are the loop's
tasks in place of threads. The names below are imported when they are first used (PEP 562).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from discoagent.aio.disco import AsyncDisco
    from discoagent.aio.handles import AsyncRegistration, AsyncTrack
    from discoagent.aio.watch import AsyncMixedWatch, AsyncPresenceWatch, AsyncWatch

__all__ = [
    "AsyncDisco",
    "AsyncMixedWatch",
    "AsyncPresenceWatch",
    "AsyncRegistration",
    "AsyncTrack",
    "AsyncWatch",
]

_HOMES = {
    "AsyncDisco": "discoagent.aio.disco",
    **dict.fromkeys(("AsyncRegistration", "AsyncTrack"), "discoagent.aio.handles"),
}


def __getattr__(name: str) -> object:
    """Import a public name from its home at first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "discoagent.aio.watch")), name)
