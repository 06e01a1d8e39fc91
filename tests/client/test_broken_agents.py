"""Agents that are away, hang, die or talk nonsense: what the client raises, and that it goes on."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from discoagent.client import Disco, Registration
from discoagent.client.disco import Spec
from discoagent.errors import (
    AgentUnavailable,
    Conflict,
    DiscoError,
    InvalidRequest,
    TimeoutExpired,
)
from tests.agent.harness import wait_until
from tests.client.specimens import row
from tests.client.stub import DEADLINE, SHORT, Reply, Stub, error_of, friendly, in_thread, silent

# -- queries ---------------------------------------------------------------------------------------


def test_nobody_listening_is_told_at_once_with_the_path(path: str) -> None:
    with Disco(path, timeout=60) as disco, pytest.raises(AgentUnavailable, match=path):
        disco.list()


def test_the_path_of_the_environment_is_used(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCO_SOCKET", path)

    with Stub(path, friendly), Disco() as disco:
        assert disco.ping()["node"] == "a"


def test_a_path_that_is_too_long_is_refused_when_it_is_said() -> None:
    with pytest.raises(InvalidRequest, match="107"):
        Disco("/" + "x" * 200)


def test_a_listener_that_never_speaks_is_a_timeout(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        with Disco(path, timeout=SHORT) as disco, pytest.raises(TimeoutExpired, match=path):
            disco.ping()


def test_a_listener_of_another_protocol_is_no_agent(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            for _ in range(2):  # the first only looks whether somebody listens
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)

        server = threading.Thread(target=serve)
        server.start()
        with Disco(path, timeout=SHORT) as disco, pytest.raises(DiscoError) as caught:
            disco.ping()
        server.join()

    # libzmq takes the words for a peer of long ago: it drops them, or hands them on as a frame.
    if caught.value.kind == "protocol":
        assert "does not speak local protocol 1" in str(caught.value)
    else:
        assert isinstance(caught.value, AgentUnavailable | TimeoutExpired)
        assert path in str(caught.value)


def test_an_agent_that_does_not_answer_is_a_timeout_and_the_next_call_works(path: str) -> None:
    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        return [] if operation == "services" else friendly(operation, number, arguments)

    with Stub(path, handler), Disco(path, timeout=SHORT) as disco:
        with pytest.raises(TimeoutExpired, match=str(SHORT)):
            disco.services()
        disco._pool.timeout = DEADLINE
        assert disco.ping()["node"] == "a"


def test_an_agent_that_dies_before_it_answers_is_unavailable(path: str) -> None:
    with Stub(path, silent) as stub, Disco(path, timeout=60) as disco:
        killer = in_thread(lambda: stub.wait_for("ping"), stub.stop)

        with pytest.raises(AgentUnavailable, match="went away"):
            disco.ping()
        killer.join()


def test_an_agent_that_was_restarted_in_silence_is_asked_anew(path: str) -> None:
    with Disco(path, timeout=10) as disco:
        for _ in range(3):
            with Stub(path, friendly):
                assert disco.ping()["node"] == "a"


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x93\x01\x09\xc0", b"x" * 5000])
def test_nonsense_is_an_error_of_the_protocol(path: str, frame: bytes) -> None:
    with Stub(path, lambda *_: [frame]), Disco(path, timeout=10) as disco:
        with pytest.raises(DiscoError) as caught:
            disco.ping()

        assert caught.value.kind == "protocol"


def test_a_slow_answer_to_one_thread_keeps_no_other_waiting(path: str) -> None:
    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        return [] if operation == "services" else friendly(operation, number, arguments)

    errors: list[DiscoError] = []
    with Stub(path, handler) as stub, Disco(path, timeout=30) as disco:
        slow = in_thread(lambda: errors.append(error_of(disco.services)))
        stub.wait_for("services")

        assert disco.ping()["node"] == "a"
        stub.stop()
        slow.join()

    assert isinstance(errors[0], AgentUnavailable)


def test_whether_an_answer_is_partial_is_told_to_the_thread_that_asked(path: str) -> None:
    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        return [(number, 0, {"services": [], "partial": True})]

    with Stub(path, handler), Disco(path) as disco:
        seen = [disco.partial]
        disco.services()
        seen.append(disco.partial)
        in_thread(lambda: seen.append(disco.partial)).join()

    assert seen == [False, True, False]


def test_status_asks_until_the_agent_is_ready(path: str) -> None:
    told = iter([False, False, True])

    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        return [(number, 0, {"ready": next(told)})]

    with Stub(path, handler) as stub, Disco(path) as disco:
        assert disco.status(ready=float("inf"))["ready"]
        assert [arguments["ready_ms"] for _, arguments in stub.seen] == [1000, 1000, 1000]


def test_after_close_everything_says_so(path: str) -> None:
    with Stub(path, friendly):
        disco = Disco(path)
        disco.ping()
        disco.close()
        disco.close()

        for ask in (disco.ping, disco.watch, lambda: disco.register("web")):
            with pytest.raises(DiscoError, match="closed"):
                ask()


# -- registrations ---------------------------------------------------------------------------------


def test_results_of_many_come_in_order_with_errors_in_place(path: str) -> None:
    """The agent answers in reverse, refuses one, and the client refuses another."""
    pending: list[tuple[int, str]] = []

    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        if operation != "register":
            return friendly(operation, number, arguments)
        pending.append((number, arguments["id"]))
        return release() if len(pending) == 4 else []

    def release() -> Iterator[Reply]:
        for number, id in reversed(pending):  # noqa: A001 - the field's name
            if id == "2":
                yield (number, 1, {"code": 6, "kind": "conflict", "message": "taken"})
            else:
                yield (number, 0, {"row": row(id=id), "adopted": False})

    specs = [Spec("web", id=str(n)) for n in range(4)]
    specs.insert(1, Spec("web", ttl="soon"))
    with Stub(path, handler), Disco(path) as disco:
        results = disco.register_many(specs, hold=False)

    kinds = [type(result) for result in results]
    assert kinds == [Registration, InvalidRequest, Registration, Conflict, Registration]
    ids = [it.instance.id for it in results if isinstance(it, Registration)]
    assert ids == ["0", "1", "3"]


def test_what_an_agent_did_not_answer_has_the_reason_in_its_place(path: str) -> None:
    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        return [] if arguments.get("id") == "1" else friendly(operation, number, arguments)

    with Stub(path, handler), Disco(path, timeout=SHORT) as disco:
        results = disco.register_many([Spec("web", id=str(n)) for n in range(3)])

        assert [type(result) for result in results] == [
            Registration,
            TimeoutExpired,
            Registration,
        ]


def test_nobody_listening_is_raised_for_many_too(path: str) -> None:
    with Disco(path) as disco, pytest.raises(AgentUnavailable):
        disco.register_many([Spec("web")])


def test_there_is_no_thread_before_the_first_registration(path: str) -> None:
    with Stub(path, friendly), Disco(path) as disco:
        before = threading.active_count()
        disco.ping()
        with disco.watch() as watch:
            next(watch)
        disco.register("web", hold=False)
        assert threading.active_count() == before

        disco.register("web")
        assert threading.active_count() == before + 1
    assert "discoagent-keeper" not in names_of_threads()


def test_closing_while_the_agent_is_away_says_it_when_it_is_back(path: str) -> None:
    with Disco(path, timeout=60) as disco, Stub(path, friendly):
        disco.register("web", id="w")
        disco.register("web", id="other", pid=1)
    with Stub(path, friendly) as back:
        back.wait_for("deregister")
        wait_until(lambda: "discoagent-keeper" not in names_of_threads())

        assert [it for it in back.seen if it[0] != "hello"] == [
            ("deregister", {"id": "web/w@a", "own": True})
        ]


def test_closing_while_the_agent_hangs_takes_no_longer_than_an_answer_may(path: str) -> None:
    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        return [] if operation == "deregister" else friendly(operation, number, arguments)

    disco = Disco(path, timeout=DEADLINE)
    with Stub(path, handler) as stub:
        disco.register("web", id="w")
        disco._keeper._timeout = SHORT
        disco.close()
        stub.wait_for("deregister")
    with Stub(path, friendly) as back:
        back.wait_for("deregister")


def test_a_lease_that_was_closed_while_the_agent_is_away_ends_by_itself(path: str) -> None:
    with Disco(path) as disco, Stub(path, friendly):
        disco.register("web", id="w", ttl=SHORT)

    wait_until(lambda: "discoagent-keeper" not in names_of_threads())


def test_an_end_that_was_not_answered_is_said_again(path: str) -> None:
    """Asked for by the handle: in silence; by its name: the error is raised all the same."""
    with Disco(path, timeout=60) as disco:
        with Stub(path, friendly):
            handle = disco.register("web", id="handle")
            disco.register("web", id="name")
        handle.close()
        with pytest.raises(AgentUnavailable):
            disco.deregister("web/name")
        with Stub(path, friendly) as back:
            back.wait_for("deregister", 2)

            ended = {it[1]["id"] for it in back.seen if it[0] == "deregister"}
            assert ended == {"web/handle@a", "web/name@a"}
            assert "register" not in [operation for operation, _ in back.seen]


def names_of_threads() -> list[str]:
    """Return what runs in this process."""
    return [thread.name for thread in threading.enumerate()]


# -- processes -------------------------------------------------------------------------------------


def test_the_child_of_a_fork_gets_an_error_that_names_it(path: str) -> None:
    """In a process of its own: forking one with threads is what the test is about."""
    program = """
import os, sys
from discoagent.client import Disco
disco = Disco(sys.argv[1], timeout=30)
disco.ping()
watch = disco.watch()
web = disco.register("web")
parent = os.getpid()
child = os.fork()
if child == 0:
    for ask in (disco.ping, disco.watch, lambda: next(watch), lambda: web.update(port=1)):
        try:
            ask()
        except Exception as error:
            print(type(error).__name__, error.kind, str(parent) in str(error), flush=True)
    web.close()
    disco.close()
    with Disco(sys.argv[1], timeout=30) as own:
        print(own.ping()["node"], flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(disco.ping()["node"])
web.close()
watch.close()
disco.close()
"""
    with Stub(path, friendly) as stub:
        ran = subprocess.run(
            [sys.executable, "-X", "dev", "-c", program, path],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        operations = [operation for operation, _ in stub.seen]

    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["DiscoError fork True"] * 4 + ["a", "a"]
    assert operations.count("deregister") == 1


def test_the_client_loads_neither_a_loop_nor_a_command_line() -> None:
    program = """
import sys
import discoagent.client.disco
print([name for name in ("asyncio", "click", "ssl", "sqlite3", "http") if name in sys.modules])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert ran.stdout == "[]\n"
