"""`AsyncDisco` has the names of `Disco`, with the same arguments; so have its handles."""

import inspect
import subprocess
import sys
from collections.abc import Callable

import pytest

from discoagent.aio import (
    AsyncDisco,
    AsyncMixedWatch,
    AsyncPresenceWatch,
    AsyncRegistration,
    AsyncTrack,
    AsyncWatch,
)
from discoagent.client.disco import Disco
from discoagent.client.registration import Registration
from discoagent.client.track import Track
from discoagent.client.watch import MixedWatch, PresenceWatch, Watch

TWINS = [
    (Disco, AsyncDisco),
    (Registration, AsyncRegistration),
    (Track, AsyncTrack),
    (Watch, AsyncWatch),
    (PresenceWatch, AsyncPresenceWatch),
    (MixedWatch, AsyncMixedWatch),
]
ITERATED = {"watch", "watch_presence", "watch_mixed", "monitor", "read"}


def public(of: type) -> list[str]:
    """Return the names that users may use."""
    return [name for name in dir(of) if not name.startswith("_")]


def arguments(of: Callable[..., object]) -> list[tuple[str, object, object]]:
    """Return name, kind and default of each."""
    parameters = inspect.signature(of).parameters.values()
    return [(it.name, it.kind, it.default) for it in parameters]


@pytest.mark.parametrize(("blocking", "awaited"), TWINS, ids=[it[1].__name__ for it in TWINS])
def test_the_names_are_the_same(blocking: type, awaited: type) -> None:
    assert public(awaited) == public(blocking), "a name for discoagent/aio, too"


@pytest.mark.parametrize(
    ("blocking", "awaited", "name"),
    [
        (blocking, awaited, name)
        for blocking, awaited in TWINS
        for name in public(blocking)
        if callable(getattr(blocking, name))
    ],
)
def test_the_arguments_are_the_same_and_the_answer_is_awaited(
    blocking: type, awaited: type, name: str
) -> None:
    mine, theirs = getattr(awaited, name), getattr(blocking, name)

    assert arguments(mine) == arguments(theirs), "discoagent/aio has it otherwise"
    assert inspect.iscoroutinefunction(mine) is (name not in ITERATED)
    assert inspect.getdoc(mine)


def test_the_package_loads_its_names_when_they_are_used() -> None:
    program = """
import sys
import discoagent.aio
print([name for name in ("asyncio", "zmq") if name in sys.modules])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert ran.stdout == "[]\n"


def test_a_name_that_there_is_not() -> None:
    import discoagent.aio

    with pytest.raises(AttributeError, match="AsyncNothing"):
        _ = discoagent.aio.AsyncNothing
