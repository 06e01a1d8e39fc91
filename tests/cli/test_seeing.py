"""`register --wait-seen` and `converged`, of three real agents: who has seen what."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from discoagent.client import Disco
from discoagent.client.disco import Spec
from tests.agent.harness import (
    DEADLINE,
    AgentProcess,
    Cluster,
    scratch_directory,
    start_agent,
    wait_until,
)
from tests.cli.ctl import ANSWER_SECONDS, Ask, line, started


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three agents; what `a` pushes and beats can be made to be lost."""
    with Cluster("b", "c") as running:
        running.start("a", program="tests.agent.lossy")
        running.wait_acquainted()
        yield running


@pytest.fixture(autouse=True)
def at_a(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disco]:
    """Ask `a` unless the test says otherwise."""
    monkeypatch.setenv("DISCO_SOCKET", cluster["a"].socket)
    with Disco(cluster["a"].socket, timeout=ANSWER_SECONDS) as disco:
        yield disco


@contextmanager
def stopped(agent: AgentProcess) -> Iterator[None]:
    """Let an agent stand still meanwhile; its host accepts what it is sent."""
    os.kill(agent.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(agent.pid, signal.SIGCONT)


@contextmanager
def losing(agent: AgentProcess) -> Iterator[None]:
    """Let what an agent pushes and beats be lost meanwhile."""
    agent.process.send_signal(signal.SIGUSR1)
    agent.logged("losing")
    try:
        yield
    finally:
        agent.process.send_signal(signal.SIGUSR2)


def test_all_see_it(ask: Ask) -> None:
    """And so many; whoever was waited for is named with his time."""
    answer = ask("register", "web", "--static", "--wait-seen", "all", "-o", "json")
    found = answer.json

    assert (answer.code, answer.err) == (0, "")
    assert set(found) == {"instance", "seen", "missing", "slowest"}
    assert found["instance"]["id"] == "web"
    assert [it["node"] for it in found["seen"]] == ["b", "c"]
    assert found["missing"] == []
    assert found["slowest"] == max(found["seen"], key=lambda it: it["ms"])
    assert ask("register", "web", "--static", "--wait-seen", "2") == (0, "web/web@a\n", "")
    assert ask("register", "web", "--static", "--wait-seen", "1", "-o", "name").out == "web/web@a\n"


def test_more_than_there_are_is_5_at_once(ask: Ask) -> None:
    """Nobody is waited for; the registration stays."""
    answer = ask("register", "many", "--static", "--wait-seen", "3", "-o", "json")

    assert (answer.code, answer.json["seen"], answer.json["missing"]) == (5, [], ["b", "c"])
    assert answer.json["slowest"] is None
    assert "3 other nodes were to see it, there are 2" in answer.err
    assert ask("get", "many").code == 0


def test_a_stopped_node_is_missing(cluster: Cluster, at_a: Disco, ask: Ask) -> None:
    """It alone, when the time is over: 5, and the registration stays. The others suffice for 1."""
    with stopped(cluster["c"]):
        answer = ask("register", "s", "--static", "--wait-seen", "all", "--timeout", "1s", "-ojson")
        one = ask("register", "s", "--static", "--wait-seen", "1", "-o", "json")
        table = ask("converged", "--timeout", "600ms")
        silent = ask("converged", "-o", "json", "--timeout", "600ms")
        waited = ask("converged", "--wait", "100ms", "-o", "json")
        late = ask("converged", "--wait", "1h", "--timeout", "100ms")

    assert (answer.code, answer.json["missing"]) == (5, ["c"])
    assert [it["node"] for it in answer.json["seen"]] == ["b"]
    assert answer.err == ("discoctl: s/s@a is registered; seen by 1 of 2 other nodes, missing: c\n")
    assert ask("get", "s").code == 0
    assert (one.code, one.json["missing"]) == (0, ["c"])
    assert (silent.code, silent.json) == (
        5,
        {
            "converged": False,
            "nodes": [
                {"node": "b", "state": "same", "missing": {}},
                {"node": "c", "state": "silent", "missing": {}},
            ],
        },
    )
    assert [row.split() for row in table.out.splitlines()[1:]] == [
        *(["b", "same", "-"], ["c", "silent", "-"]),
    ]
    assert (waited.code, late.code, late.out) == (5, 124, "")
    assert at_a.converged(wait=ANSWER_SECONDS)["converged"]


def test_it_is_waited_for_until_it_wakes(cluster: Cluster) -> None:
    """Without --timeout as long as it takes."""
    words = ("register", "late", "--static", "--wait-seen", "all", "-o", "jsonl")
    with ExitStack() as stack, Disco(cluster["b"].socket, timeout=ANSWER_SECONDS) as b:
        with stopped(cluster["c"]):
            process = stack.enter_context(started(*words, "--socket", cluster["a"].socket))
            wait_until(lambda: b.list("late"))
            assert process.poll() is None
        assert '"missing": []' in line(process)
        assert process.wait(ANSWER_SECONDS) == 0


def test_who_is_behind_and_in_what(cluster: Cluster, at_a: Disco, ask: Ask) -> None:
    """1, and by how many steps; healed, all have it."""
    assert at_a.converged(wait=ANSWER_SECONDS)["converged"]
    with losing(cluster["a"]):
        at_a.register("lost", id="1", static=True)
        at_a.register("lost", id="2", static=True)
        behind = ask("converged", "-o", "json", "--timeout", "600ms")
        table = ask("converged", "--wait", "100ms")
        nobody = ask("register", "lost", "--static", "--wait-seen", "1", "--timeout", "600ms")

    assert (behind.code, behind.json["converged"]) == (1, False)
    assert behind.json["nodes"] == [
        {"node": node, "state": "behind", "missing": {"a": 2}} for node in ("b", "c")
    ]
    assert table.code == 1
    assert table.out.splitlines()[1].split() == ["b", "behind", "a=2"]
    assert (nobody.code, nobody.err.rpartition("; ")[2]) == (
        5,
        "seen by 0 of 2 other nodes, missing: b, c\n",
    )
    assert ask("converged", "--wait", f"{ANSWER_SECONDS}s").code == 0


@pytest.mark.parametrize(
    ("words", "asked", "rate"),
    [
        (("converged", "--wait", f"{ANSWER_SECONDS}s"), 5, 1),
        pytest.param(("converged", "--wait", "1s"), 100, 500, marks=pytest.mark.soak),
    ],
)
def test_converged_while_changes_go_on(
    cluster: Cluster, ask: Ask, words: tuple[str, ...], asked: int, rate: int
) -> None:
    """What is asked for is what was there when it was asked; in its full form, within a second."""
    over = threading.Event()
    changes = itertools.count()

    def change() -> None:
        with Disco(cluster["b"].socket, timeout=DEADLINE) as disco:
            while not over.wait(0.01):
                numbers = [next(changes) for _ in range(10)]
                disco.register_many(
                    [Spec("busy", id=str(n % 10), static=True, meta={"n": str(n)}) for n in numbers]
                )

    thread = threading.Thread(target=change)
    thread.start()
    try:
        with Disco(cluster["a"].socket, timeout=DEADLINE) as disco:
            wait_until(lambda: disco.list("busy"))
        began, first = time.monotonic(), next(changes)
        codes = [ask(*words).code for _ in range(asked)]
        made = (next(changes) - first) / (time.monotonic() - began)
    finally:
        over.set()
        thread.join()

    assert codes == [0] * asked
    assert made >= rate


def test_alone(ask: Ask) -> None:
    """There is nobody who lacks anything."""
    with scratch_directory() as directory, start_agent(directory) as agent:
        where = ("--socket", agent.socket)
        found = ask("converged", "-o", "json", *where)
        seen = ask("register", "web", "--static", "--wait-seen", "all", "-o", "json", *where)

        assert (found.code, found.json) == (0, {"converged": True, "nodes": []})
        assert (seen.code, seen.json["seen"], seen.json["slowest"]) == (0, [], None)
        assert ask("register", "web", "--static", "--wait-seen", "1", *where).code == 5
        assert ask("converged", *where).err == "discoctl: no other nodes\n"


def test_from_python(at_a: Disco) -> None:
    """The same words."""
    web = at_a.register("py", port=1, wait_seen="all", wait_timeout=ANSWER_SECONDS)
    assert web.seen is not None
    assert (len(web.seen["seen"]), web.seen["missing"]) == (2, [])
    assert at_a.register("py", port=2).seen is None
    assert at_a.wait_seen(3)["missing"] == ["b", "c"]
