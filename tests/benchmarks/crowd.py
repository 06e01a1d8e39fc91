"""Many agents on one machine: how soon they agree, and what all of them take together when idle.

They start at once, so that on few cores most of the time is the start of so many interpreters. The
clock starts when the last process is started, and when the last of them is ready; it stops when
every agent lists all of them alive. Idle time is beside a bare mesh of as many processes, with the
same sockets, options and interval.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from tests.agent.harness import AgentProcess, Raw, scratch_directory, start_agent, wait_until
from tests.benchmarks.kit.bare_mesh import crowd
from tests.benchmarks.kit.load import pause
from tests.benchmarks.kit.processes import load_of, resident
from tests.benchmarks.kit.report import at_most, row, title

AGENTS = 64
SECONDS = 30.0
SETTLE_SECONDS = 10.0  # after which nobody greets, syncs or asks any more
DEADLINE = 120.0


def main(*, agents: int = AGENTS, seconds: float = SECONDS, settle: float = SETTLE_SECONDS) -> None:
    """Measure, and print each figure beside its floor."""
    title(f"crowd: {agents} agents on this machine, each knows all")
    with crowd(_ports(agents)) as pids:
        pause(settle)
        floor, floor_memory = load_of(pids, seconds), sum(map(resident, pids))
    with _agents(agents) as (processes, began):
        ready = time.monotonic()
        with ExitStack() as stack:
            for asker in [stack.enter_context(agent.raw()) for agent in processes]:
                wait_until(partial(_knows, asker, agents), DEADLINE)
            agreed = time.monotonic()
        for since, words in ((began, "start"), (ready, "is ready")):
            took = agreed - since
            figure = f"all know each other after the last {words}"
            row(figure, f"{took:.2f} s", "-", at_most("time", took, 2, " s"))
        pause(settle)
        pids = [agent.pid for agent in processes]
        busy, memory = load_of(pids, seconds), sum(map(resident, pids))
    row(
        "idle, share of a core, all together",
        f"{busy:.1f} %",
        f"{floor:.1f} %",
        at_most("CPU", busy / floor, 1.3, "x floor"),
        ratio=busy / floor,
    )
    row(
        "memory of all",
        f"{memory / 2**20:.0f} MiB",
        f"{floor_memory / 2**20:.0f} MiB",
        ratio=memory / floor_memory,
    )


@contextmanager
def _agents(count: int) -> Iterator[tuple[list[AgentProcess], float]]:
    """Start so many, who look for the first; yield them, and when the last was started."""
    with scratch_directory() as directory, ExitStack() as stack:
        started: list[AgentProcess] = []
        began = 0.0
        for number in range(count):
            began = time.monotonic()
            join = [started[0].bind] if started else []
            last = start_agent(directory, f"n{number}", join=join, ready=not started)
            started.append(stack.enter_context(last))
        for agent in started:
            agent.logged("ready ")
        yield started, began


def _knows(asker: Raw, count: int) -> bool:
    states = [member["state"] for member in asker.ask("members")["members"]]
    return states.count("alive") == count


def _ports(nodes: int) -> list[int]:
    """Return free ports, two for each node."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2 * nodes)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
