"""All agents end at once, and some start again long after the first: their services live on."""

import contextlib
import threading
import time
from collections.abc import Iterator

from discoagent.client import Disco
from tests.agent.harness import DEADLINE, Cluster
from tests.agent.restarting import NODES, Witness, mark, told

TIMING = {"heartbeat_interval": "200ms", "suspect_after": "500ms", "down_after": "1800ms"}
PATIENCE = 4.0  # seconds for which an agent that starts waits for former peers that are silent
GRACE, LONG_GRACE = 6.0, 14.0


@contextlib.contextmanager
def three(grace: float) -> Iterator[Cluster]:
    """Run three agents with short times."""
    timing = {**TIMING, "restart_grace": f"{grace}s"}
    settings = {f"timing.{key}": value for key, value in timing.items()}
    with Cluster(*NODES, settings=settings) as running:
        yield running


def end_all(cluster: Cluster) -> None:
    """Stop the first, so that it has kept who was there for sure, and kill the others."""
    cluster["a"].stop()
    for node in ("b", "c"):
        cluster[node].kill()


def test_late_agents_are_no_event() -> None:
    """Their hosts refuse, so they live; a watcher at the first to start sees nothing."""
    with (
        three(LONG_GRACE) as cluster,
        Disco(cluster["b"].socket, timeout=DEADLINE) as disco,
        Witness(cluster["a"].socket) as seen,
    ):
        disco.register("web", id="web")
        seen.until("added", "web")
        seen.events.clear()
        end_all(cluster)

        cluster.start("a")
        threading.Event().wait(PATIENCE + 1)
        cluster.start("b")
        cluster.start("c")
        cluster.wait_acquainted()
        mark(cluster, "b", "over")

        assert told(seen.until("added", "over")) == []


def test_agents_that_never_start_are_waited_for_no_longer_than_the_grace() -> None:
    """What they held leaves the watch, for a reason nobody knows."""
    with (
        three(GRACE) as cluster,
        Disco(cluster["b"].socket, timeout=DEADLINE) as disco,
        Witness(cluster["a"].socket) as seen,
    ):
        disco.register("web", id="web", static=True)
        seen.until("added", "web")
        end_all(cluster)

        begin = time.monotonic()
        cluster.start("a")
        seen.until("removed", "web")

        assert time.monotonic() - begin > GRACE
        assert told(seen.events)[-1] == ("removed", "web", "unknown")
