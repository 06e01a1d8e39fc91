"""The pure session: numbering, pairing, pages, streams, and what nonsense does."""

from typing import Any

import msgpack
import pytest

from discoagent.api import REQUEST_BYTES_MAX, Status
from discoagent.client import calls
from discoagent.client.session import Quality, Session
from discoagent.errors import (
    AgentUnavailable,
    Conflict,
    DiscoError,
    InvalidRequest,
    NoInstance,
    Refused,
    TimeoutExpired,
)
from tests.client.specimens import SYNCED, added, row


def answer(number: Any, status: int, body: Any) -> bytes:
    """Return the frame of an answer."""
    frame: bytes = msgpack.packb([number, status, body])
    return frame


def error(code: Any, **more: Any) -> dict[str, Any]:
    """Return the body of an ERROR."""
    return {"code": code, "kind": "k", "message": "no", "field": None, **more}


def test_a_request_is_version_number_operation_and_arguments() -> None:
    number, frame = Session().ask(calls.get("web", wait_ms=5))

    assert msgpack.unpackb(frame) == [1, number, "get", {"id": "web", "wait_ms": 5}]


def test_answers_find_their_requests_in_any_order() -> None:
    session = Session()
    first, _ = session.ask(calls.ping())
    second, _ = session.ask(calls.ping())

    found = [session.receive(answer(n, 0, {"node": str(n)})) for n in (second, first)]

    assert [it and it.result() for it in found] == [
        (str(second), Quality()),
        (str(first), Quality()),
    ]
    assert session.open == 0


def test_pages_are_put_together_in_order() -> None:
    session = Session()
    number, _ = session.ask(calls.list_instances([], wait_ms=0))
    for page in ([row(id="1"), row(id="2")], [row(id="3")]):
        assert session.receive(answer(number, 2, page)) is None

    last = session.receive(answer(number, 0, {"partial": True, "stale_ms": 1_500}))

    assert last is not None
    instances, quality = last.result()
    assert [it.id for it in instances] == ["1", "2", "3"]
    assert quality == Quality(partial=True, stale_ms=1_500)


def test_a_stream_is_shown_as_it_comes() -> None:
    session = Session()
    number, _ = session.ask(calls.watch([]), stream=True)

    batches = [session.receive(answer(number, 2, batch)) for batch in ([added(row())], [SYNCED])]

    assert [it and [event[0] for event in it.bodies[0]] for it in batches] == [
        ["added"],
        ["synced"],
    ]
    assert session.open == 1


def test_answers_that_nobody_waits_for_are_dropped() -> None:
    session = Session()
    number, _ = session.ask(calls.ping())
    session.forget(number)

    assert session.receive(answer(number, 0, {"node": "a"})) is None
    assert session.receive(answer(99, 0, {})) is None


def test_what_is_told_waits_for_no_answer() -> None:
    session = Session()

    frame = session.tell(calls.more(4, 8))

    assert msgpack.unpackb(frame)[2:] == ["more", {"watch": 4, "batches": 8}]
    assert session.open == 0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, NoInstance),
        (2, InvalidRequest),
        (3, AgentUnavailable),
        (4, Refused),
        (6, Conflict),
        (7, DiscoError),
        (124, TimeoutExpired),
        (55, DiscoError),
    ],
)
def test_each_code_raises_its_error(code: int, kind: type[DiscoError]) -> None:
    session = Session()
    number, _ = session.ask(calls.ping())
    found = session.receive(answer(number, Status.ERROR, error(code, field="port")))
    assert found is not None

    with pytest.raises(DiscoError) as caught:
        found.result()

    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.kind, caught.value.field) == ("no", "k", "port")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"\x93\x01",
        msgpack.packb(7),
        msgpack.packb([1]),
        msgpack.packb(["x", 0, None]),
        msgpack.packb([1, 9, None]),
        msgpack.packb([1, None, None]),
        b"\xff" * 1000,
    ],
)
def test_a_frame_that_is_no_answer_is_an_error_of_the_protocol(frame: bytes) -> None:
    session = Session()
    session.ask(calls.ping())

    with pytest.raises(DiscoError) as caught:
        session.receive(frame)

    assert caught.value.kind == "protocol"


def test_an_answer_to_nothing_that_could_be_read_is_raised() -> None:
    with pytest.raises(InvalidRequest, match="no"):
        Session().receive(answer(None, 1, error(2)))


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (calls.ping(), None),
        (calls.ping(), {}),
        (calls.get("x", wait_ms=0), {"row": [1, 2]}),
        (calls.get("x", wait_ms=0), {"row": None}),
        (calls.renew("x"), {"row": []}),
        (calls.services(wait_ms=0), {"services": [["web"]]}),
        (calls.members(wait_ms=0), {"members": [{"node": "a"}]}),
        (calls.hello(), {"node": "a"}),
        (calls.status(ready_ms=0), 5),
        (calls.join(["x:1"], wait_ms=0), {"results": 3}),
    ],
)
def test_a_body_of_another_shape_is_an_error_of_the_protocol(call: Any, body: Any) -> None:
    session = Session()
    number, _ = session.ask(call)
    found = session.receive(answer(number, 0, body))
    assert found is not None

    with pytest.raises(DiscoError, match=call.operation) as caught:
        found.result()

    assert caught.value.kind == "protocol"


@pytest.mark.parametrize("body", [None, {}, {"code": 2}, {"message": 3}])
def test_an_error_without_a_message_is_an_error_of_the_protocol(body: Any) -> None:
    session = Session()
    number, _ = session.ask(calls.ping())
    found = session.receive(answer(number, 1, body))
    assert found is not None

    with pytest.raises(DiscoError, match="local protocol"):
        found.result()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"port": object()}, "port"),
        ({"port": 2**70}, "port"),
        ({"id": "\ud800"}, "id"),
        ({"meta": {"a": {1, 2}}}, "meta"),
    ],
)
def test_what_cannot_be_packed_is_refused_by_name(arguments: Any, field: str) -> None:
    session = Session()

    with pytest.raises(InvalidRequest) as caught:
        session.ask(calls.register(calls.Spec("web", **arguments)))

    assert caught.value.field == field
    assert field in caught.value.message
    assert session.open == 0


def test_a_request_beyond_the_bound_is_refused_here() -> None:
    with pytest.raises(InvalidRequest, match=str(REQUEST_BYTES_MAX)):
        Session().ask(calls.register(calls.Spec("web", meta={"a": "x" * REQUEST_BYTES_MAX})))


def test_a_later_agent_may_append_to_an_answer() -> None:
    session = Session()
    number, _ = session.ask(calls.ping())

    found = session.receive(msgpack.packb([number, 0, {"node": "a", "more": 1}, "later"]))

    assert found is not None
    assert found.result() == ("a", Quality())
