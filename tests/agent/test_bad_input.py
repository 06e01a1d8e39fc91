"""Bad input over the raw socket changes nothing and names field and bound; the agent serves on."""

from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from discoagent.errors import InvalidRequest
from tests.agent.harness import AgentProcess, Raw

LONG = "x" * 129
Case = tuple[str, dict[str, Any], str, str]

CASES: list[Case] = [
    ("register", {}, "service", "required"),
    ("register", {"service": ""}, "service", "1 to 128"),
    ("register", {"service": LONG}, "service", "1 to 128"),
    ("register", {"service": "a/b"}, "service", "A-Z a-z 0-9"),
    ("register", {"service": "wéb"}, "service", "A-Z a-z 0-9"),
    ("register", {"service": ["web"]}, "service", "1 to 128"),
    ("register", {"service": "w", "id": "a@b"}, "id", "1 to 128"),
    ("register", {"service": "x" * 128}, "id", "1 to 128"),
    ("register", {"service": "w", "port": 0}, "port", "1 to 65535"),
    ("register", {"service": "w", "port": 65_536}, "port", "1 to 65535"),
    ("register", {"service": "w", "port": "80"}, "port", "1 to 65535"),
    ("register", {"service": "w", "address": "[::1]"}, "address", "without brackets"),
    ("register", {"service": "w", "address": "300.1.1.1"}, "address", "IP address"),
    ("register", {"service": "w", "address": ""}, "address", "253"),
    ("register", {"service": "w", "tags": "v1"}, "tags", "a list"),
    ("register", {"service": "w", "tags": [""]}, "tags", "1 to 256"),
    ("register", {"service": "w", "tags": ["é" * 129]}, "tags", "1 to 256"),
    ("register", {"service": "w", "tags": ["a\nb"]}, "tags", "control"),
    ("register", {"service": "w", "tags": [str(n) for n in range(65)]}, "tags", "at most 64"),
    ("register", {"service": "w", "meta": [["k", "v"]]}, "meta", "a map"),
    ("register", {"service": "w", "meta": {"a b": "v"}}, "meta", "keys"),
    ("register", {"service": "w", "meta": {"k": 1}}, "meta", "string values"),
    ("register", {"service": "w", "meta": {"k": "v" * 1_025}}, "meta", "1024"),
    ("register", {"service": "w", "meta": {f"k{n}": "" for n in range(65)}}, "meta", "at most 64"),
    (
        "register",
        {"service": "w", "meta": {f"k{n}": "v" * 1_024 for n in range(17)}},
        "meta",
        "at most 16384",
    ),
    ("register", {"service": "w", "lifetime": ["lease", 99]}, "lifetime", "from 100"),
    ("register", {"service": "w", "lifetime": ["lease", None]}, "lifetime", "from 100"),
    ("register", {"service": "w", "lifetime": ["process", -1]}, "lifetime", "process id"),
    ("register", {"service": "w", "lifetime": []}, "lifetime", "static"),
    ("register", {"service": "w", "wrapper": 1}, "wrapper", "the asker's own pid"),
    ("register", {"service": "w", "replace": "yes"}, "replace", "true or false"),
    ("register", {"service": "w", "ref": [1]}, "ref", "incarnation"),
    ("register", {"service": "w", "registered_ms": 2**60}, "registered_ms", "0 to"),
    ("register", {"service": "w", "colour": "red"}, "colour", "service, port"),
    ("update", {"id": "web-80", "port": -1}, "port", "1 to 65535"),
    ("update", {"id": "web-80", "address": "a b"}, "address", "host name"),
    ("update", {"id": "web-80", "tag": [1]}, "tag", "1 to 256"),
    ("update", {"id": "web-80", "tag": [str(n) for n in range(64)]}, "tag", "at most 64"),
    ("update", {"id": "web-80", "set": {"k": None}}, "set", "string values"),
    ("update", {"id": "web-80", "set": {f"k{n}": "" for n in range(64)}}, "set", "at most 64"),
    ("update", {"id": "web-80", "unset": {"k": 1}}, "unset", "a list"),
    ("update", {"id": "a/b/c"}, "id", "SERVICE/INSTANCE@NODE"),
    ("update", {"id": None}, "id", "SERVICE/INSTANCE@NODE"),
    ("renew", {"id": "web-80"}, "id", "only a lease"),
    ("renew", {}, "id", "required"),
    ("deregister", {"id": "@a"}, "id", "SERVICE/INSTANCE@NODE"),
    ("deregister", {"id": "web-80", "cause": "exit:999"}, "cause", "0 to 255"),
    ("deregister", {"id": "web-80", "cause": "SIGKILL"}, "cause", "exit:SIGNAL"),
    ("track", {"topic": "t"}, "key", "required"),
    ("track", {"topic": "", "key": "k"}, "topic", "1 to 128"),
    ("track", {"topic": "é" * 65, "key": "k"}, "topic", "1 to 128"),
    ("track", {"topic": "t", "key": "a\x00b"}, "key", "control"),
    ("track", {"topic": "t", "key": 7}, "key", "1 to 128"),
    ("track", {"topic": "t", "key": "k", "meta": ["m"]}, "meta", "JSON object"),
    ("track", {"topic": "t", "key": "k", "meta": {"ref": 1}}, "meta", "'ref'"),
    ("track", {"topic": "t", "key": "k", "meta": {"m": "é" * 2_050}}, "meta", "at most 4096"),
    ("track", {"topic": "t", "key": "k", "meta": {"m": b"bin"}}, "meta", "JSON"),
    ("track", {"topic": "t", "key": "k", "lifetime": ["lease", 99]}, "lifetime", "from 100"),
    ("track", {"topic": "t", "key": "k", "wrapper": 1}, "wrapper", "the asker's own pid"),
    ("track", {"topic": "t", "key": "k", "id": "web-80"}, "id", "INCARNATION.CLOCK"),
    ("track", {"topic": "t", "key": "k", "id": "a.1.2"}, "id", "INCARNATION.CLOCK"),
    ("track", {"topic": "t", "key": "k", "replace": True}, "replace", "topic, key"),
    ("retrack", {"topic": "t", "id": "web-80"}, "id", "NODE.INCARNATION.CLOCK"),
    ("retrack", {"topic": "t", "id": "1.2", "meta": {"ref": ""}}, "meta", "'ref'"),
    ("retrack", {"topic": "t", "id": "1.2", "meta": None}, "meta", "JSON object"),
    ("untrack", {"topic": "t", "id": "1.2", "cause": "gone"}, "cause", "exit:SIGNAL"),
    ("untrack", {"id": "1.2"}, "topic", "required"),
    ("presence", {"topic": ["t"]}, "topic", "1 to 128"),
    ("topics", {"topic": "t"}, "topic", "wait_ms"),
    ("watch", {"topics": "t"}, "topics", "a list"),
    ("watch", {"topics": [""]}, "topics", "1 to 128"),
    ("watch", {"services": None}, "services", "services or topics"),
    ("list", {"services": ["a b"]}, "services", "1 to 128"),
    ("list", {"tags": [""]}, "tags", "1 to 256"),
    ("list", {"node": 7}, "node", "1 to 128"),
    ("list", {"wait_ms": -1}, "wait_ms", "0 to"),
    ("list", {"limit": 3}, "limit", "services, tags"),
    ("get", {"id": ""}, "id", "SERVICE/INSTANCE@NODE"),
    ("watch", {"services": "web"}, "services", "a list"),
    ("more", {"watch": 1, "batches": -1}, "batches", "1 to 1024"),
    ("cancel", {"watch": "1"}, "watch", "0 to"),
    ("join", {"addresses": ["no-port"]}, "addresses", "HOST:PORT"),
    ("join", {"addresses": ["h:99999"]}, "addresses", "1 to 65534"),
    ("join", {"addresses": "h:1"}, "addresses", "a list"),
    ("status", {"ready_ms": "soon"}, "ready_ms", "milliseconds"),
    ("explode", {}, "operation", "register"),
]


@pytest.fixture(scope="module")
def witness(agent: AgentProcess) -> Iterator[Raw]:
    """A connection that has registered something to be harmed, and watches all there is."""
    with agent.raw() as raw:
        raw.register("web", port=80, tags=["t"], meta={"m": "1"})
        yield raw


@pytest.mark.parametrize("case", CASES)
def test_refused(agent: AgentProcess, witness: Raw, case: Case) -> None:
    """Code 2 with field and bound; nothing was changed, not even for a moment."""
    operation, arguments, field, bound = case
    with agent.raw() as watcher:
        events = watcher.watch()
        before = events.present()
        error = witness.refusal(operation, **arguments)
        watcher.ask("cancel", watch=events.number)
        changes = list(events)

    assert isinstance(error, InvalidRequest)
    assert error.field == field
    assert bound in error.message
    assert error.message.isprintable()
    assert changes == []
    assert [event.instance for event in before] == witness.list()


def test_broken_frames_are_answered(agent: AgentProcess) -> None:
    """With number nil where none could be read; the connection goes on."""
    with agent.raw() as raw:
        for frame in (b"", b"\xc1", b"\x00" * 1_000, msgpack.packb({}), msgpack.packb([1])):
            raw.socket.send(frame)
            number, status, body = raw.receive()
            assert (number, status, body["code"], body["field"]) == (None, 1, 2, "request")
        raw.socket.send_multipart([b"a", b"b", b"c"])
        assert raw.receive()[0] is None
        raw.socket.send(msgpack.packb([9, 4, "ping", {}]))
        assert raw.receive()[::2] == [
            4,
            {
                "code": 2,
                "kind": "invalid",
                "message": "version: must be 1, not 9",
                "field": "version",
            },
        ]
        assert raw.ask("ping") == {"node": "a"}


def test_too_large_a_request_ends_the_connection(agent: AgentProcess) -> None:
    """The socket itself cuts it off; a new connection works."""
    with agent.raw() as raw:
        assert raw.ask("ping") == {"node": "a"}
        raw.socket.send(bytes(256 * 1024 + 1))
        raw.send("ping")
        assert raw.receive()[2] == {"node": "a"}  # over the connection that libzmq made anew
