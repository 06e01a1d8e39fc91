"""How soon a registration on one agent is seen by a watcher on another.

One at a time after quiet, from the application's send to the watcher's receipt; beside the bare
ZeroMQ chain (client -> ROUTER -> DEALER -> ROUTER -> ROUTER -> client) without any logic. Then the
same with 100,000 entries resident on every agent.
"""

import time
from collections.abc import Callable

from tests.agent.harness import Cluster
from tests.benchmarks.kit import bare, load
from tests.benchmarks.kit.report import Pair, at_most, in_turns, times, title

ROUNDS = 5
SAMPLES = 200
RESIDENT = 100_000
QUIET = 0.01  # seconds before each change


def main(*, rounds: int = ROUNDS, samples: int = SAMPLES, resident: int = RESIDENT) -> None:
    """Measure, and print each figure beside its floor."""
    title("propagation: register on agent a -> raw watcher on agent b, one at a time after quiet")
    with (
        Cluster("a", "b", "c") as cluster,
        bare.chain(cluster.directory) as (near, far),
        load.Bare(near) as speaker,
        load.Bare(far) as listener,
    ):
        listener.send(b"watch")
        measure = _Measurement(cluster, speaker, listener)
        _print("nothing else resident", measure.take(rounds, samples))
        with load.fill(cluster["a"], resident):
            load.until_held(list(cluster.agents.values()), resident)
        _print(f"{resident} entries resident", measure.take(rounds, samples))


def _print(figure: str, pair: Pair) -> None:
    times(
        figure,
        pair,
        at_most("p50", pair.ratio, 2, "x floor"),
        at_most("p99", pair.figure.p99, 3, " ms"),
    )


class _Measurement:
    """Both ways from an application to a watcher."""

    def __init__(self, cluster: Cluster, speaker: load.Bare, listener: load.Bare) -> None:
        self._cluster = cluster
        self._speaker = speaker
        self._listener = listener
        self._number = 10_000_000

    def take(self, rounds: int, samples: int) -> Pair:
        """Measure both by turns."""
        with (
            load.Bare(self._cluster["a"].socket) as asker,
            load.Watcher(self._cluster["b"], "probe") as watcher,
        ):

            def registered() -> float:
                frame = self._frame()
                taken = _taken(lambda: asker.send(frame), watcher.receive)
                load.done(asker.receive())
                watcher.send(load.request(2, "more", watch=1, batches=1))
                return taken

            def bare_chain() -> float:
                frame = self._frame()
                return _taken(lambda: self._speaker.send(frame), self._listener.receive)

            for warm_up in (registered, bare_chain) * 5:
                warm_up()
            return in_turns(rounds, samples, registered, bare_chain)

    def _frame(self) -> bytes:
        self._number += 1
        return load.registrations(1, self._number, "probe")[0]


def _taken(send: Callable[[], object], receive: Callable[[], object]) -> float:
    """Return the milliseconds from the send to the receipt, after quiet."""
    load.pause(QUIET)
    began = time.perf_counter()
    send()
    receive()
    return (time.perf_counter() - began) * 1000
