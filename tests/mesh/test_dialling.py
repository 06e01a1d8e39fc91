"""What a plain connect tells of an endpoint."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from discoagent.core.effects import DialOutcome
from discoagent.mesh.dialling import dial
from tests.mesh.peers import Peer, peers, run


async def at_a_listener(said: Callable[[asyncio.StreamWriter], None]) -> DialOutcome:
    """Dial somebody who accepts and then does `said`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said(writer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await dial(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")


@run
async def test_an_agent() -> None:
    """It says its greeting first."""
    with peers(Peer("a")) as (a,):
        assert await dial(a.endpoint) is DialOutcome.OPEN


@run
async def test_nobody() -> None:
    """The host refuses."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    assert await dial(f"127.0.0.1:{port}") is DialOutcome.REFUSED


@run
async def test_a_process_that_hangs() -> None:
    """It accepts, or its kernel does, and says nothing."""
    assert await at_a_listener(lambda _: None) is DialOutcome.MUTE


@run
async def test_a_process_that_ends_just_now() -> None:
    """The connection ends before a word is said on it."""
    assert await at_a_listener(lambda writer: writer.close()) is DialOutcome.REFUSED
    assert await at_a_listener(lambda writer: writer.transport.abort()) is DialOutcome.REFUSED


@run
async def test_a_name_that_nobody_has() -> None:
    """Nothing is known of any host."""
    assert await dial("nobody.invalid:7800") is DialOutcome.SILENT


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConnectionResetError(), DialOutcome.REFUSED),  # accepted by a listener about to close
        (OSError(113, "No route to host"), DialOutcome.SILENT),
        (TimeoutError(), DialOutcome.SILENT),
    ],
)
def test_what_the_kernel_says_of_a_connect(
    monkeypatch: pytest.MonkeyPatch, error: OSError, outcome: DialOutcome
) -> None:
    """A reset is an answer of the host itself; no answer is none."""

    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(asyncio, "open_connection", fail)

    assert asyncio.run(dial("127.0.0.1:7800")) is outcome
