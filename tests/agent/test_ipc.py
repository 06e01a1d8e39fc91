"""The local socket alone: no request is left lying, whatever else is called on the socket."""

import asyncio
import contextlib
import os
import select
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest
import zmq

from discoagent import ipc
from discoagent.errors import Conflict, InvalidRequest
from discoagent.ipc import LocalSocket
from tests.agent.harness import DEADLINE, scratch_directory


class Door:
    """A local socket that notes what is asked, and a client of it."""

    def __init__(self, directory: Path) -> None:
        self.asked: list[tuple[bytes, bytes]] = []
        self.gone: list[bytes] = []
        self.arrived = asyncio.Event()
        self.socket = LocalSocket(str(directory / "s"), take=self._take, on_gone=self.gone.append)
        self.socket.start()
        self._context = zmq.Context()
        self.client = self._context.socket(zmq.DEALER)
        self.client.linger = 0
        self.client.rcvhwm = 1
        self.client.connect(f"ipc://{directory}/s")

    def _take(self, name: bytes, peer: str, frame: "bytes | memoryview") -> None:
        assert peer == f"localhost:{os.getuid()}:{os.getgid()}:{os.getpid()}"
        self.asked.append((name, bytes(frame)))
        self.arrived.set()

    async def until_asked(self, number: int) -> bytes:
        """Wait for the request of that number; return who asked."""
        async with asyncio.timeout(DEADLINE):
            while len(self.asked) < number:
                self.arrived.clear()
                await self.arrived.wait()
        return self.asked[number - 1][0]

    def close(self) -> None:
        """Hang up on both sides."""
        self.client.close()
        self._context.term()
        self.socket.close()


def at_a_door(story: Callable[[Door], Coroutine[None, None, None]]) -> None:
    """Run a story with a local socket and one client."""

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Door]:
        with scratch_directory() as directory:
            door = Door(directory)
            try:
                yield door
            finally:
                door.close()

    async def run() -> None:
        async with opened() as door:
            await story(door)

    asyncio.run(run())


@pytest.mark.parametrize("eater", ["gone", "kept"])
def test_a_signal_that_another_call_ate(eater: str) -> None:
    """A send that comes to nothing eats the signal of a request, which is read all the same."""

    async def story(door: Door) -> None:
        door.client.send(b"one")
        name = await door.until_asked(1)
        await asyncio.to_thread(lambda: None)  # the first request's turn is over
        door.client.send(b"two")
        select.select([door.socket._router.FD], [], [], DEADLINE)
        if eater == "gone":
            assert not door.socket.send(b"nobody", b"answer")
        else:
            while not door.socket._unread:
                assert door.socket.send(name, bytes(50_000))
        await door.until_asked(2)

    at_a_door(story)


def test_a_slow_reader_gets_all_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What found no room is sent when there is some, and nothing overtakes it."""
    monkeypatch.setattr(ipc, "ANSWERS_QUEUED_MAX", 2)

    async def story(door: Door) -> None:
        door.client.send(b"one")
        name = await door.until_asked(1)
        answers = [bytes([number]) * 20_000 for number in range(200)]
        for answer in answers:
            assert door.socket.send(name, answer)
        assert door.socket.counters["late"] > 0

        received = await asyncio.to_thread(lambda: [door.client.recv() for _ in answers])
        assert received == answers
        assert not door.socket._unread
        assert not door.socket._unread_bytes

    at_a_door(story)


def test_who_never_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound all that waits is dropped, and the watches are told."""
    monkeypatch.setattr(ipc, "UNREAD_BYTES_MAX", 1_000_000)

    async def story(door: Door) -> None:
        door.client.send(b"one")
        name = await door.until_asked(1)
        while door.socket.send(name, bytes(50_000)):
            assert sum(door.socket._unread_bytes.values()) <= 1_000_000
        assert door.gone == [name]
        assert door.socket.counters["unread"] == 21
        assert not door.socket._unread

    at_a_door(story)


def test_who_goes_while_answers_wait() -> None:
    """They are dropped with it."""

    async def story(door: Door) -> None:
        door.client.send(b"one")
        name = await door.until_asked(1)
        while not door.socket._unread:
            assert door.socket.send(name, bytes(50_000))
        door.client.close()
        async with asyncio.timeout(DEADLINE):
            while not door.gone:
                await asyncio.to_thread(lambda: None)
        assert door.gone == [name]
        assert not door.socket._unread

    at_a_door(story)


def test_several_frames_are_one_refused_request() -> None:
    """All of them are read, none of them is taken for a request."""

    async def story(door: Door) -> None:
        door.client.send_multipart([b"a", b"b", b"c"])
        door.client.send(b"two")
        await door.until_asked(2)
        assert [frame for _, frame in door.asked] == [b"", b"two"]

    at_a_door(story)


def test_a_taken_path() -> None:
    """The lock is held as long as the socket, and no longer."""

    async def story(door: Door) -> None:
        with pytest.raises(Conflict, match=str(os.getpid())):
            LocalSocket(door.socket.path, take=door._take)
        door.client.send(b"one")
        await door.until_asked(1)

    at_a_door(story)
    with scratch_directory() as directory:
        with pytest.raises(InvalidRequest, match="107"):
            LocalSocket(str(directory / ("x" * 107)), take=lambda *_: None)
        first = LocalSocket(str(directory / "s"), take=lambda *_: None)
        first.close()
        second = LocalSocket(str(directory / "s"), take=lambda *_: None)
        second.close()
        assert list(directory.iterdir()) == []
