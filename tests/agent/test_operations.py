"""Reading requests: envelopes, arguments, and that a refusal names what is wrong."""

from typing import Any

import msgpack
import pytest

from discoagent import __version__, api
from discoagent.errors import InvalidRequest
from discoagent.local.requests import operations, parsing
from discoagent.local.requests.operations import KEEP
from discoagent.local.requests.parsing import OPERATIONS, parse_call
from discoagent.rules import LifetimeWish, Target

MALFORMED: list[tuple[Any, str, int | None]] = [
    (b"", "request", None),
    (b"\xc1", "request", None),
    (b"\x94\x01", "request", None),
    (msgpack.packb(7), "request", None),
    (msgpack.packb([1, 2, "ping"]), "request", None),
    (msgpack.packb([1, 2, "ping", {}, 0]), "request", None),
    (msgpack.packb([1, -1, "ping", {}]), "number", None),
    (msgpack.packb([1, 2**53 + 1, "ping", {}]), "number", None),
    (msgpack.packb([1, True, "ping", {}]), "number", None),
    (msgpack.packb([1, "2", "ping", {}]), "number", None),
    (msgpack.packb([2, 7, "ping", {}]), "version", 7),
    (msgpack.packb([True, 7, "ping", {}]), "version", 7),
    (msgpack.packb([1, 7, 8, {}]), "operation", 7),
    (msgpack.packb([1, 7, "ping", []]), "arguments", 7),
    (msgpack.packb([1, 7, "ping", None]), "arguments", 7),
]

REFUSED: list[tuple[str, dict[Any, Any], str, str]] = [
    ("fly", {}, "operation", "register"),
    ("fly", {}, "operation", f"this agent (version {__version__}) knows no 'fly'"),
    ("ping", {"x": 1}, "x", "no arguments"),
    ("list", {"service": "web"}, "service", "services"),
    ("list", {b"services": []}, "arguments", "services"),
    ("get", {}, "id", "required"),
    ("register", {"port": 80}, "service", "required"),
    ("register", {"service": "web", "port": 0}, "port", "65535"),
    ("register", {"service": "web", "replace": 1}, "replace", "true or false"),
    ("register", {"service": "web", "wrapper": "me"}, "wrapper", "process id"),
    ("register", {"service": "web", "registered_ms": -1}, "registered_ms", "0 to"),
    ("update", {"id": "web", "port": 0}, "port", "65535"),
    ("update", {"id": "web", "address": None}, "address", "host name"),
    ("update", {"id": "web", "set": {"a b": "c"}}, "set", "keys"),
    ("update", {"id": "web", "unset": "a"}, "unset", "a list"),
    ("deregister", {"id": "web", "cause": "because"}, "cause", "exit:CODE"),
    ("more", {"watch": 1, "batches": 0}, "batches", "1 to 1024"),
    ("more", {"watch": 1}, "batches", "required"),
    ("join", {"addresses": []}, "addresses", "at least one"),
    ("watch", {"wait_ms": -1}, "wait_ms", "0 to"),
]


def test_reads_a_request() -> None:
    """A whole request is read as it was sent."""
    frame = msgpack.packb([1, 7, "get", {"id": "web"}])

    assert api.read_request(frame) == (7, "get", {"id": "web"})
    assert api.read_request(memoryview(frame)) == (7, "get", {"id": "web"})


@pytest.mark.parametrize(("frame", "field", "number"), MALFORMED)
def test_refuses_what_is_no_request(frame: bytes, field: str, number: int | None) -> None:
    """The refusal carries the request's number, if it had one."""
    with pytest.raises(api.Malformed) as caught:
        api.read_request(frame)

    assert (caught.value.field, caught.value.number) == (field, number)
    assert caught.value.message.startswith(f"{field}: ")


@pytest.mark.parametrize(("operation", "arguments", "field", "bound"), REFUSED)
def test_refuses_arguments(
    operation: str, arguments: dict[Any, Any], field: str, bound: str
) -> None:
    """Each refusal names the field and what it may be."""
    with pytest.raises(InvalidRequest) as caught:
        parse_call(operation, arguments)

    assert caught.value.field == field
    assert bound in caught.value.message


def test_register_has_defaults() -> None:
    """Only the service must be said."""
    call = parse_call("register", {"service": "web"})

    assert call == operations.Register("web", lifetime=LifetimeWish("process"))


def test_update_tells_nil_from_absent() -> None:
    """A nil port is no port; an absent one is kept."""
    assert parse_call("update", {"id": "web", "port": None}) == operations.Update(
        Target(None, "web", None), port=None
    )
    assert parse_call("update", {"id": "web"}) == operations.Update(
        Target(None, "web", None), port=KEEP
    )


def test_every_operation_is_specified() -> None:
    """The specification names each operation and each of its arguments."""
    assert api.__doc__ is not None
    for name in OPERATIONS:
        assert f"\n    {name} " in api.__doc__ or f"\n    {name}\n" in api.__doc__
        for argument in parsing._OPERATIONS[name].checks:
            assert argument in api.__doc__


def test_answers() -> None:
    """Answers are read back as the specification says."""
    error = InvalidRequest("port: no", field="port")

    assert msgpack.unpackb(api.done(1, {})) == [1, 0, {}]
    assert msgpack.unpackb(api.more(1, [2])) == [1, 2, [2]]
    assert msgpack.unpackb(api.failed(None, error)) == [
        None,
        1,
        {"code": 2, "kind": "invalid", "message": "port: no", "field": "port"},
    ]
    assert msgpack.unpackb(api.batch(300, [api.packed("a"), api.packed([1])])) == [
        300,
        2,
        ["a", [1]],
    ]
    assert msgpack.unpackb(api.batch(1, [])) == [1, 2, []]
