"""What a thousand tcp checks at 5 s take of a core, beside a loop that does nothing but connect.

The floor is a bare asyncio loop that makes as many connections a second to the same port, each in a
timer of its own, and closes them. The agent's share when it is idle is taken off.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import create_server, socket

from discoagent.checks import Check
from tests.agent.harness import scratch_directory, start_agent, wait_until
from tests.benchmarks.kit import load
from tests.benchmarks.kit.processes import ROOT, load_of
from tests.benchmarks.kit.report import at_most, row, title

CHECKS = 1_000
INTERVAL = 5.0
SECONDS = 30.0
SERVICE = "checked"
CONNECTS = """
import asyncio, socket
PORT, COUNT, INTERVAL = %d, %d, %r
def connect(loop, due):
    it = socket.socket()
    it.setblocking(False)
    it.connect_ex(("127.0.0.1", PORT))
    it.connect_ex(("127.0.0.1", PORT))
    it.close()
    loop.call_at(due + INTERVAL, connect, loop, due + INTERVAL)
loop = asyncio.new_event_loop()
for number in range(COUNT):
    due = loop.time() + INTERVAL * number / COUNT
    loop.call_at(due, connect, loop, due)
print("ready", flush=True)
loop.run_forever()
"""


def main(*, checks: int = CHECKS, interval: float = INTERVAL, seconds: float = SECONDS) -> None:
    """Measure, and print the figure beside its floor."""
    title(f"checks: {checks:,} tcp checks, one each {interval:g} s")
    with scratch_directory() as directory, _listening() as port, start_agent(directory) as agent:
        idle = load_of([agent.pid], seconds)
        floor = _floor(port, checks, interval, seconds)
        with load.Bare(agent.socket) as asker:
            asker.pipeline(list(_registrations(checks, port, interval)))

            def passing() -> int:
                found = asker.question("services")["services"]
                return int(dict(found)[SERVICE].get("passing", 0))

            wait_until(lambda: passing() == checks)
            load.pause(interval)  # the first round is made at once, the second is spread
            busy = load_of([agent.pid], seconds) - idle
    row(
        f"{checks} checks, share of a core",
        f"{busy:.2f} %",
        f"{floor:.2f} %",
        at_most("CPU", busy, 10, " %"),
        ratio=busy / floor,
    )


def _registrations(checks: int, port: int, interval: float) -> Iterator[bytes]:
    check = Check.tcp(f"127.0.0.1:{port}", interval=interval).packed()
    for number in range(checks):
        what = {**load.record(number, SERVICE), "lifetime": ["static"], "checks": [check]}
        yield load.request(number, "register", **what)


def _floor(port: int, checks: int, interval: float, seconds: float) -> float:
    command = [sys.executable, "-c", CONNECTS % (port, checks, interval)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            return load_of([process.pid], seconds)
        finally:
            process.kill()


@contextmanager
def _listening() -> Iterator[int]:
    """Accept all connections on a port, and hang up."""
    with create_server(("127.0.0.1", 0), backlog=4_096) as listener:
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def _accept(listener: socket) -> None:
    while True:
        try:
            listener.accept()[0].close()
        except OSError:
            return
