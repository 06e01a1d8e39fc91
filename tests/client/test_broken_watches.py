"""Watches whose agent goes, comes back, is silent or talks nonsense; and who ends them."""

import threading
from collections.abc import Iterable
from typing import Any

import pytest

from discoagent.client import Disco
from discoagent.errors import AgentUnavailable, DiscoError, InvalidRequest, TimeoutExpired
from tests.client.specimens import added, row
from tests.client.stub import SHORT, Reply, Stub, friendly, in_thread, silent


def test_a_watch_ends_when_another_thread_closes_it(path: str) -> None:
    with Stub(path, friendly), Disco(path) as disco:
        watch = disco.watch()
        synced = threading.Event()

        closer = in_thread(synced.wait, watch.close)
        kinds = []
        for event in watch:
            kinds.append(event.kind)
            if event.kind == "synced":
                synced.set()
        closer.join()

        assert kinds == ["added", "synced"]
        assert watch.closed
        assert watch.poll(0) is None


def test_a_watch_that_waits_for_its_agent_ends_when_it_is_closed(path: str) -> None:
    away = threading.Event()
    links = []

    def on_link(up: bool) -> None:
        links.append(up)
        away.set()

    with Stub(path, friendly) as stub, Disco(path) as disco:
        watch = disco.watch(on_link=on_link)
        assert [next(watch).kind, next(watch).kind] == ["added", "synced"]
        stub.stop()
        closer = in_thread(away.wait, disco.close)

        assert list(watch) == []
        closer.join()
        assert links == [False]


def test_a_watch_goes_on_with_the_next_agent_and_says_so(path: str) -> None:
    links: list[bool] = []
    with Disco(path) as disco:
        with Stub(path, friendly):
            watch = disco.watch(on_link=links.append)
            assert [next(watch).kind, next(watch).kind] == ["added", "synced"]
        assert watch.poll(SHORT) is None
        with Stub(path, friendly) as second:
            waiter = in_thread(lambda: second.wait_for("watch"), watch.close)
            assert list(watch) == []
            waiter.join()

    assert links == [False, True]


def test_closing_the_client_ends_its_watches(path: str) -> None:
    with Stub(path, friendly):
        disco = Disco(path)
        watch = disco.watch()
        assert next(watch).kind == "added"
        disco.close()

        assert list(watch) == []


def test_a_watch_that_is_let_go_leaves_nothing_behind(path: str) -> None:
    with Stub(path, friendly) as stub, Disco(path) as disco:
        for event in disco.watch():
            assert event.kind == "added"
            break
        del event
        stub.wait_for("cancel")

        assert list(disco._watches) == []


def test_a_watchs_own_time_is_over(path: str) -> None:
    with Stub(path, friendly), Disco(path) as disco:
        watch = disco.watch(timeout=SHORT)
        assert [next(watch).kind, next(watch).kind] == ["added", "synced"]

        with pytest.raises(TimeoutExpired, match=str(SHORT)):
            next(watch)
        assert not watch.closed
        assert watch.poll(5) is None


def test_a_watch_of_nobody_is_told_at_once(path: str) -> None:
    with Disco(path, timeout=60) as disco, pytest.raises(AgentUnavailable, match=path):
        disco.watch()


def test_a_watch_of_somebody_silent_is_a_timeout(path: str) -> None:
    with (
        Stub(path, silent),
        Disco(path, timeout=SHORT) as disco,
        pytest.raises(TimeoutExpired),
    ):
        disco.watch()


@pytest.mark.parametrize("batch", [5, [[1]], [["added", 1, ["web"], None]]])
def test_nonsense_ends_a_watch_with_an_error_of_the_protocol(path: str, batch: Any) -> None:
    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        if operation == "watch":
            return [(number, 2, batch)]
        return friendly(operation, number, arguments)

    with Stub(path, handler), Disco(path) as disco:
        watch = disco.watch()
        with pytest.raises(DiscoError, match="local protocol"):
            next(watch)

        assert watch.closed


def test_a_watch_that_is_refused_raises_the_refusal(path: str) -> None:
    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        if operation == "watch":
            body = {"code": 2, "kind": "invalid", "message": "services: bad", "field": "services"}
            return [(number, 1, body)]
        return friendly(operation, number, arguments)

    with Stub(path, handler), Disco(path) as disco, pytest.raises(InvalidRequest, match="bad"):
        next(disco.watch("!"))


def test_a_watch_gives_room_as_its_events_are_consumed(path: str) -> None:
    def handler(operation: str, number: int, arguments: dict[str, Any]) -> Iterable[Reply]:
        if operation != "watch":
            return friendly(operation, number, arguments)
        batches: list[Any] = [[added(row(id=str(n)))] for n in range(16)]
        return [(number, 2, batch) for batch in [*batches, []]]

    with Stub(path, handler) as stub, Disco(path) as disco, disco.watch() as watch:
        for _ in range(16):
            assert "more" not in [operation for operation, _ in stub.seen][:-2]
            assert next(watch).kind == "added"
        assert watch.poll(SHORT) is None
        stub.wait_for("more", 2)
        rooms = [arguments["batches"] for operation, arguments in stub.seen if operation == "more"]
        assert rooms == [8, 8]
