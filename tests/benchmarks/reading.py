"""What reading costs: in the agent, through the client library, and as a whole `discoctl list`.

`list` of 10,000 instances in the agent (looked up, sorted and packed, without the socket), beside
the same rows sorted as plain tuples and packed; then through the client, as instances, beside an
echo of the same bytes; `get` of one, beside an echo of its question. The command line is a whole
process, beside `python -c "import zmq, msgpack, click"`.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgpack

from discoagent import api
from discoagent.client import Disco
from discoagent.core.entry import Cause, Entry, Kind, MemberRecord
from discoagent.core.replica import Replica
from discoagent.core.timing import Timing
from discoagent.local.requests.operations import List
from discoagent.local.requests.queries import Queries, Row
from tests.agent.harness import AgentProcess, Cluster
from tests.benchmarks.kit import bare, load
from tests.benchmarks.kit.report import at_most, in_turns, timed, times, title

ROUNDS = 5
ENTRIES = 10_000
SERVICE = "web"
IMPORTS = "import zmq, msgpack, click"
DISCOCTL = "from discoagent.cli import main; main()"  # what the console script does
ROOT = Path(__file__).parents[2]


class Samples(NamedTuple):
    """How often each is measured in a round."""

    lists: int = 10
    gets: int = 400
    processes: int = 8


def main(*, rounds: int = ROUNDS, samples: Samples | None = None, entries: int = ENTRIES) -> None:
    """Measure, and print each figure beside its floor."""
    often = samples or Samples()
    title(f"reading: {entries:,} instances of one service, on one agent")
    with Cluster("a") as cluster:
        agent = cluster["a"]
        with load.fill(agent, entries, SERVICE) as asker:
            rows = _rows(asker)
            _in_the_agent(rows, rounds, often.lists)
            _through_the_client(agent, rows, rounds, often)
    with Cluster("a") as cluster, load.fill(cluster["a"], 10, SERVICE):
        _command_line(cluster, rounds, often.processes)


def _rows(asker: load.Bare) -> list[Row]:
    """Return all rows that the agent has."""
    asker.send(load.request(1, "list", services=[SERVICE]))
    rows: list[Row] = []
    while True:
        _, status, body = msgpack.unpackb(asker.receive())
        if status == api.Status.DONE:
            return rows
        rows += map(tuple, body)


def _in_the_agent(rows: Sequence[Row], rounds: int, samples: int) -> None:
    """Ask a replica in this process that holds the same entries."""
    record = MemberRecord("127.0.0.1:7800", "0")
    replica = Replica(node="a", incarnation=1, cluster="c", record=record, timing=Timing(), now=0.0)
    for name, instance, _, _, owner, body in rows:
        entry = Entry(Kind.SERVICE, name, instance, owner, body)
        replica.put(entry, Cause("registered", b"", 0), 0.0)
    queries = Queries(replica)
    plain = {row[:2]: row for row in rows}

    def listed(call: List) -> bytes:
        return api.more(1, queries.rows(call))

    def plainly() -> bytes:
        return api.more(1, [plain[key] for key in sorted(plain)])

    for usable, which in ((False, "all"), (True, "usable ones")):
        figure = partial(listed, List((SERVICE,), usable=usable))
        pair = in_turns(rounds, samples, timed(figure), timed(plainly))
        name = f"list {len(rows):,} in the agent, {which}"
        times(name, pair, at_most("p50", pair.figure.p50, 5, " ms"))


def _through_the_client(
    agent: AgentProcess, rows: Sequence[Row], rounds: int, often: Samples
) -> None:
    address = f"ipc://{agent.socket}.echo"
    page = api.more(1, rows)
    name = f"{SERVICE}/{rows[0][1]}"
    question = load.request(1, "get", id=name)
    with Disco(agent.socket) as disco, bare.running("echo", address), load.Bare(address) as echo:
        figure, floor = timed(partial(disco.list, SERVICE)), timed(partial(echo.ask, page))
        pair = in_turns(rounds, often.lists, figure, floor)
        what = f"list {len(rows):,} through the client"
        times(what, pair, at_most("p50", pair.figure.p50, 40, " ms"))
        figure, floor = timed(partial(disco.get, name)), timed(partial(echo.ask, question))
        pair = in_turns(rounds, often.gets, figure, floor)
        times("get one through the client", pair, at_most("p50", pair.figure.p50, 0.2, " ms"))


def _command_line(cluster: Cluster, rounds: int, samples: int) -> None:
    compiled = cluster.directory / "compiled"
    figure = _process(compiled, "-c", DISCOCTL, "--socket", cluster["a"].socket, "list")
    floor = _process(compiled, "-c", IMPORTS)
    for first in (figure, floor):
        first()
    pair = in_turns(rounds, samples, timed(figure), timed(floor))
    times("discoctl list, whole process", pair, at_most("p50", pair.ratio, 1.25, "x floor"))


def _process(compiled: Path, *arguments: str) -> Callable[[], object]:
    """Return what runs a Python; all that it loads is compiled, as it is once it is installed."""
    unlike = ("DISCO", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(unlike)}
    return partial(
        subprocess.run,
        [sys.executable, *arguments],
        stdout=subprocess.DEVNULL,
        check=True,
        env=kept | {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(compiled)},
        timeout=30,
    )
