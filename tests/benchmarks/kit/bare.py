"""The floors: bare ZeroMQ, each in a process of its own, as simple as it can be written.

    echo    what arrives on an ipc ROUTER goes back as it came
    front   what arrives on an ipc ROUTER goes on over a DEALER (tcp)
    back    what arrives on a ROUTER (tcp) goes on over an ipc ROUTER, to whoever said a word there

`front` and `back` are the way of a registration from an application on one host to a watcher on
another: client -> ROUTER -> DEALER -> ROUTER -> ROUTER -> client, without any logic.
"""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq

PR_SET_PDEATHSIG = 1
ROOT = Path(__file__).parents[3]


def echo(address: str) -> None:
    """Send everything back."""
    socket = _bound(zmq.ROUTER, address)
    print("ready", flush=True)
    while True:
        name, frame = socket.recv(), socket.recv()
        socket.send(name, zmq.SNDMORE)
        socket.send(frame)


def front(address: str, peer: str) -> None:
    """Pass on what applications say."""
    socket = _bound(zmq.ROUTER, address)
    dealer = socket.context.socket(zmq.DEALER)
    dealer.connect(peer)
    print("ready", flush=True)
    while True:
        socket.recv()
        dealer.send(socket.recv())


def back(address: str) -> None:
    """Pass on what the peer says to the watcher; its first word tells who that is."""
    socket = _bound(zmq.ROUTER, address)
    peer = _bound(zmq.ROUTER, "tcp://127.0.0.1:*", socket.context)
    print(peer.get_string(zmq.LAST_ENDPOINT).rstrip("\0"), flush=True)
    watcher = socket.recv()
    socket.recv()
    while True:
        peer.recv()
        frame = peer.recv()
        socket.send(watcher, zmq.SNDMORE)
        socket.send(frame)


def _bound(
    kind: int, address: str, context: "zmq.Context[zmq.Socket[bytes]] | None" = None
) -> "zmq.Socket[bytes]":
    socket = (context or zmq.Context()).socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.set_hwm(0)
    socket.bind(address)
    return socket


@contextmanager
def running(role: str, *arguments: str) -> Iterator[str]:
    """Run one of them; yields the word that it says once it is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.kit.bare", role, *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def chain(directory: Path) -> Iterator[tuple[str, str]]:
    """Run `front` and `back`; yields where applications speak and where watchers listen."""
    near, far = f"ipc://{directory}/front", f"ipc://{directory}/back"
    with running("back", far) as peer, running("front", near, peer):
        yield near, far


ROLES: dict[str, Callable[..., None]] = {"echo": echo, "front": front, "back": back}

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    ROLES[sys.argv[1]](*sys.argv[2:])
