"""An agent that is restarted, away or hangs: what is held goes on, what was closed ends."""

import asyncio
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from typing import Any

from discoagent.aio import AsyncDisco
from discoagent.client import calls
from discoagent.client.disco import Disco
from discoagent.errors import AgentUnavailable, Conflict, TimeoutExpired
from tests.agent.harness import DEADLINE, Cluster, wait_until
from tests.aio.stories import error_of, run, until, with_client
from tests.client.specimens import row
from tests.client.stub import GREETING, SHORT, Reply, Stub, friendly


def test_a_restart_is_no_event_and_what_ends_meanwhile_is_told() -> None:
    """Killed with its state, and without it; then closed while the agent is away."""

    async def story(cluster: Cluster) -> None:
        agent = cluster["a"]
        links: list[bool] = []
        async with AsyncDisco(agent.socket, timeout=DEADLINE) as disco:
            process = await disco.register("web", id="process", port=80)
            lease = await disco.register("web", id="lease", ttl="2s")
            alice = await disco.track("room", "alice")
            watch = await disco.watch_mixed(["web"], ["room"], on_link=links.append)
            assert [(await anext(watch)).kind for _ in range(4)] == ["added"] * 3 + ["synced"]

            for lost in (False, True):
                cluster["a"].kill()
                assert isinstance(await error_of(disco.list()), AgentUnavailable)
                if lost:
                    shutil.rmtree(agent.state)
                await asyncio.to_thread(cluster.start, "a")

                async def all_there() -> bool:
                    there = {it.id for it in await disco.list("web")}
                    return there == {"process", "lease"} and bool(await disco.presence("room"))

                assert await until(all_there)
            assert (process.lost, lease.lost, alice.lost) == (None, None, None)
            await process.update(port=81)
            event = await anext(watch)
            assert (event.kind, links) == ("updated", [False, True])  # it looked but now

            cluster["a"].kill()
            await process.close()
        await asyncio.to_thread(cluster.start, "a")

    with Cluster("a") as cluster:
        run(story(cluster))
        with Disco(cluster["a"].socket, timeout=DEADLINE) as disco:
            wait_until(lambda: disco.list(all=True) == [] and disco.presence() == [])
    wait_until(lambda: "discoagent-keeper" not in threads())


def threads() -> list[str]:
    """Return the names of what runs beside the test."""
    return [thread.name for thread in threading.enumerate()]


def test_an_id_that_was_taken_meanwhile_is_lost(path: str) -> None:
    lives = iter(range(1, 9))

    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        if operation == "hello":
            return [(number, 0, {**GREETING, "incarnation": next(lives)})]
        if operation == "register" and "ref" in arguments:
            return [(number, 1, {"code": 6, "kind": "conflict", "message": "taken"})]
        return friendly(operation, number, arguments)

    async def story(disco: AsyncDisco) -> None:
        with Stub(path, handler):
            held = await disco.register("web", id="w")
        with Stub(path, handler) as back:
            await asyncio.to_thread(back.wait_for, "register")

            async def lost() -> bool:
                return held.lost is not None

            assert await until(lost)
            assert isinstance(held.lost, Conflict)

    with_client(path, story)


def test_a_change_right_after_a_restart_tells_the_agent_first(path: str) -> None:
    """Whoever of the two is quicker: it is said again once, before it is changed."""
    lives = iter(range(1, 9))

    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        if operation == "hello":
            return [(number, 0, {**GREETING, "incarnation": next(lives)})]
        if operation == "update":
            return [(number, 0, {"row": row(id="w", port=5)})]
        return friendly(operation, number, arguments)

    async def story(disco: AsyncDisco) -> None:
        with Stub(path, handler):
            held = await disco.register("web", id="w")
        with Stub(path, handler) as back:
            assert (await held.update(port=5)).port == 5
            said = [name for name, _ in back.seen if name != "hello"]
            assert said == ["register", "update"]
            await disco.close()

    with_client(path, story)


def test_closing_while_the_agent_hangs_takes_no_longer_than_an_answer_may(path: str) -> None:
    """What was not answered is said again by a thread when there is an agent."""

    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        return [] if operation == "deregister" else friendly(operation, number, arguments)

    async def story() -> None:
        disco = AsyncDisco(path, timeout=DEADLINE)
        await disco.register("web", id="w")
        disco._line.timeout = SHORT
        await disco.close()

    with Stub(path, handler) as stub:
        run(story())
        stub.wait_for("deregister")
    with Stub(path, friendly) as back:
        back.wait_for("deregister")
        wait_until(lambda: "discoagent-keeper" not in threads())


def test_closing_that_is_cancelled_leaves_it_to_a_thread(path: str) -> None:
    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        return [] if operation == "deregister" else friendly(operation, number, arguments)

    async def story(stub: Stub) -> None:
        disco = AsyncDisco(path, timeout=60)
        await disco.register("web", id="w")
        closing = asyncio.create_task(disco.close())
        await asyncio.to_thread(stub.wait_for, "deregister")
        closing.cancel()
        await asyncio.wait({closing})

    with Stub(path, handler) as stub:
        run(story(stub))
    with Stub(path, friendly) as back:
        back.wait_for("deregister")
        wait_until(lambda: "discoagent-keeper" not in threads())


def test_an_agent_that_hangs_is_a_timeout_and_the_next_call_works(path: str) -> None:
    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        return [] if operation == "services" else friendly(operation, number, arguments)

    async def story(disco: AsyncDisco) -> None:
        error = await error_of(disco._line.ask(calls.services(wait_ms=0), SHORT))
        assert isinstance(error, TimeoutExpired)
        assert path in str(error)
        assert (await disco.ping())["node"] == "a"

    with Stub(path, handler):
        with_client(path, story)


def test_a_listener_that_accepts_nothing_is_a_timeout_that_holds_up_nobody(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as full:
        listener.bind(path)
        listener.listen(0)
        full.connect(path)

        async def story(disco: AsyncDisco) -> None:
            asking = asyncio.ensure_future(error_of(disco.ping()))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not asking.done()
            assert isinstance(await asking, TimeoutExpired)

        with_client(path, story, timeout=SHORT)


def test_an_examination_takes_its_time(path: str) -> None:
    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        return [(number, 0, {"diagnoses": [["disk", "ok", "it is fine", ""]]})]

    async def story(disco: AsyncDisco) -> None:
        assert [it.subject for it in await disco.examine()] == ["disk"]

    with Stub(path, handler):
        with_client(path, story)


def test_nonsense_is_an_error_of_the_protocol(path: str) -> None:
    async def story(disco: AsyncDisco) -> None:
        assert (await error_of(disco.ping())).kind == "protocol"

    with Stub(path, lambda *_: [b"\xc1"]):
        with_client(path, story)


def test_the_child_of_a_fork_gets_an_error_that_names_it(path: str) -> None:
    """In a process of its own."""
    program = """
import asyncio, os, sys
from discoagent.aio import AsyncDisco

async def parent():
    disco = AsyncDisco(sys.argv[1], timeout=30)
    web = await disco.register("web")
    watch = await disco.watch()
    child = os.fork()
    if child == 0:
        for asked in (disco.ping(), anext(watch), web.update(port=1), disco.track("a", "b")):
            try:
                asked.send(None)
            except Exception as error:
                print(type(error).__name__, error.kind, str(os.getppid()) in str(error), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print((await disco.ping())["node"])
    await disco.close()

asyncio.run(parent())
"""
    with Stub(path, friendly):
        ran = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "ignore::RuntimeWarning", "-c", program, path],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["DiscoError fork True"] * 4 + ["a"]
