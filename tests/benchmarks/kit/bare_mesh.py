"""The floor of a crowd: one bare node of a full mesh, without any logic.

It has the sockets of an agent, with the same options: a ROUTER, a PUB, one SUB and a DEALER for
each peer. It publishes a frame as long as a heartbeat each second, and reads what came by its
SUB every quarter of one.
"""

import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import zmq

from discoagent.core.timing import TICK
from discoagent.mesh.sockets import (
    new_context,
    new_dealer,
    new_publisher,
    new_router,
    new_subscriber,
)
from tests.benchmarks.kit.processes import ROOT

PREFIX = b"crowd   "
HEARTBEAT_BYTES = 68
PR_SET_PDEATHSIG = 1


def node(number: int, ports: list[int]) -> None:
    """Be one of them for ever; `ports` are those of all, in pairs of ROUTER and PUB."""
    context = new_context()
    router, publisher = new_router(context), new_publisher(context)
    subscriber = new_subscriber(context, PREFIX)
    router.bind(f"tcp://127.0.0.1:{ports[2 * number]}")
    publisher.bind(f"tcp://127.0.0.1:{ports[2 * number + 1]}")
    print("ready", flush=True)
    sys.stdin.readline()  # until all are bound
    dealers = []
    for other in set(range(len(ports) // 2)) - {number}:
        dealer = new_dealer(context, os.urandom(8))
        dealer.connect(f"tcp://127.0.0.1:{ports[2 * other]}")
        subscriber.connect(f"tcp://127.0.0.1:{ports[2 * other + 1]}")
        dealers.append(dealer)
    heartbeat = PREFIX + bytes(HEARTBEAT_BYTES - len(PREFIX))
    publish_at = 0.0
    while True:
        now = time.monotonic()
        if now >= publish_at:
            publisher.send(heartbeat, zmq.NOBLOCK)
            publish_at = now + random.uniform(0.9, 1.1)
        while subscriber.poll(0):
            subscriber.recv(zmq.NOBLOCK)
        router.poll(int(TICK * 1000))


@contextmanager
def crowd(ports: list[int]) -> Iterator[list[int]]:
    """Run a mesh of one node for each pair of ports; yield their pids."""
    with ExitStack() as stack:
        processes = [_started(number, ports) for number in range(len(ports) // 2)]
        for process in processes:
            stack.callback(_end, process)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        yield [process.pid for process in processes]


def _started(number: int, ports: list[int]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", __name__, str(number), *map(str, ports)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.communicate()


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    node(int(sys.argv[1]), [int(port) for port in sys.argv[2:]])
