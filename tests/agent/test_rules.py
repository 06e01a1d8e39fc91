"""The rules of input: what they take, and that each refusal names the field and the bound."""

from collections.abc import Callable
from typing import Any

import pytest

from discoagent import presence_rules, rules
from discoagent.core.limits import ENTRY_BYTES_MAX
from discoagent.errors import InvalidRequest
from discoagent.presence_rules import MetaName
from discoagent.rules import LifetimeWish, Target

Rule = Callable[[Any, str], Any]


def nested(depth: int) -> Any:
    """Return so many lists, each in the next."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


ANY_JSON = {
    "list": [{"ref": 1}, None, True, 1.5, -(2**63), 2**64 - 1],
    "deep": nested(63),
}
TAKEN: list[tuple[Rule, Any, Any]] = [
    (rules.name, "web", "web"),
    (rules.name, "A-z_0.9", "A-z_0.9"),
    (rules.name, "x" * 128, "x" * 128),
    (rules.name_or_none, None, None),
    (rules.names, ["a", "b"], ("a", "b")),
    (rules.port, 1, 1),
    (rules.port, 65535, 65535),
    (rules.port, None, None),
    (rules.ttl_ms, 100, 100),
    (rules.flag, True, True),
    (rules.address, "10.0.0.5", "10.0.0.5"),
    (rules.address, "::1", "::1"),
    (rules.address, "fe80::1%eth0", "fe80::1%eth0"),
    (rules.address, "db-1.internal", "db-1.internal"),
    (rules.address, "db.internal.", "db.internal."),
    (rules.tag, "é" * 128, "é" * 128),
    (rules.tags, ["b", "a", "b"], ("b", "a")),
    (rules.tags, [f"t{i % 64}" for i in range(200)], tuple(f"t{i}" for i in range(64))),
    (rules.meta, {"k": "v" * 1024, "e": ""}, {"k": "v" * 1024, "e": ""}),
    (rules.meta, {"k": "é" * 512}, {"k": "é" * 512}),
    (rules.lifetime, ["process", None], LifetimeWish("process")),
    (rules.lifetime, ["process", 812], LifetimeWish("process", pid=812)),
    (rules.lifetime, ["lease", 10_000], LifetimeWish("lease", ttl_ms=10_000)),
    (rules.lifetime, ["static"], LifetimeWish("static")),
    (rules.exit_cause, "exit:0", "exit:0"),
    (rules.exit_cause, "exit:255", "exit:255"),
    (rules.exit_cause, "exit:SIGKILL", "exit:SIGKILL"),
    (rules.exit_cause, "exit:SIGRTMIN+3", "exit:SIGRTMIN+3"),
    (rules.ref, [1790000000000000, 42], (1790000000000000, 42)),
    (rules.ref, "a.b.1790000000000000.42", (1790000000000000, 42)),
    (rules.target, "web/web-1@a", Target("web", "web-1", "a")),
    (rules.target, "web/web-1", Target("web", "web-1", None)),
    (rules.target, "web-1", Target(None, "web-1", None)),
    (rules.target, "web-1@a", Target(None, "web-1", "a")),
    (rules.addresses, ["a:1"], ("a:1",)),
    (presence_rules.topic, "room:1/ä @ 世界", "room:1/ä @ 世界"),
    (presence_rules.topic, "é" * 64, "é" * 64),
    (presence_rules.topics, [], ()),
    (presence_rules.topics, ["b", "a"], ("b", "a")),
    (presence_rules.meta, {}, {}),
    (presence_rules.meta, {"m": "x" * 4_088}, {"m": "x" * 4_088}),
    (presence_rules.meta, {"m": "é" * 2_044}, {"m": "é" * 2_044}),
    (presence_rules.meta, dict(ANY_JSON), ANY_JSON),
    (presence_rules.meta_name, "7.000000000042", MetaName("7.000000000042", None, (7, 42))),
    (presence_rules.meta_name, "a.b.7.42", MetaName("a.b.7.42", "a.b", (7, 42))),
    (presence_rules.meta_name, "5.7.42", MetaName("5.7.42", "5", (7, 42))),
    (presence_rules.meta_id, "7.42", (7, 42)),
]

REFUSED: list[tuple[Rule, Any, str]] = [
    (presence_rules.topic, "é" * 64 + "x", "1 to 128"),
    (presence_rules.topic, "", "1 to 128"),
    (presence_rules.topic, "\ud800", "UTF-8"),
    (presence_rules.topic, "a\x85", "control"),
    (presence_rules.topics, "room", "a list"),
    (presence_rules.topics, ["t"] * 1_001, "at most 1000"),
    (presence_rules.meta, None, "JSON object"),
    (presence_rules.meta, [], "JSON object"),
    (presence_rules.meta, {"ref": None}, "'ref'"),
    (presence_rules.meta, {"m": "x" * 4_089}, "at most 4096"),
    (presence_rules.meta, {"m": "\x00" * 700}, "at most 4096"),
    (presence_rules.meta, {"m": [0] * 4_097}, "at most 4096"),
    (presence_rules.meta, {"m": nested(64)}, "64 deep"),
    (presence_rules.meta, {"m": {1: 2}}, "keys are strings"),
    (presence_rules.meta, {1: 2}, "keys are strings"),
    (presence_rules.meta, {"m": b"x"}, "JSON"),
    (presence_rules.meta, {"m": float("nan")}, "finite"),
    (presence_rules.meta, {"m": [float("inf")]}, "finite"),
    (presence_rules.meta, {"m": 2**64}, "64 bits"),
    (presence_rules.meta, {"m": {"n": "\ud800"}}, "UTF-8"),
    (presence_rules.meta_name, "web-80", "NODE.INCARNATION.CLOCK"),
    (presence_rules.meta_name, "7.-1", "NODE.INCARNATION.CLOCK"),
    (presence_rules.meta_name, "é.7.1", "NODE.INCARNATION.CLOCK"),
    (presence_rules.meta_name, "7.0", "[incarnation, clock]"),
    (presence_rules.meta_name, None, "NODE.INCARNATION.CLOCK"),
    (presence_rules.meta_id, "a.7.1", "INCARNATION.CLOCK"),
    (rules.name, "", "1 to 128"),
    (rules.name, "x" * 129, "1 to 128"),
    (rules.name, "a b", "A-Z a-z 0-9"),
    (rules.name, "a\n", "A-Z a-z 0-9"),
    (rules.name, "é", "A-Z a-z 0-9"),
    (rules.name, b"web", "1 to 128"),
    (rules.name, None, "1 to 128"),
    (rules.names, "web", "a list"),
    (rules.names, ["x"] * 1001, "at most 1000"),
    (rules.port, 0, "1 to 65535"),
    (rules.port, 65536, "1 to 65535"),
    (rules.port, "80", "1 to 65535"),
    (rules.port, True, "1 to 65535"),
    (rules.port, 80.0, "1 to 65535"),
    (rules.ttl_ms, 99, "100 to"),
    (rules.ttl_ms, 2**40, "100 to"),
    (rules.flag, 1, "true or false"),
    (rules.address, "", "253"),
    (rules.address, "[::1]", "brackets"),
    (rules.address, "10.0.0.256", "IP address"),
    (rules.address, "host:80", "port"),
    (rules.address, "a..b", "host name"),
    (rules.address, "-a", "host name"),
    (rules.address, "a" * 254, "253"),
    (rules.address, "hôte", "host name"),
    (rules.tag, "", "1 to 256"),
    (rules.tag, "x" * 257, "1 to 256"),
    (rules.tag, "é" * 129, "1 to 256"),
    (rules.tag, "a\tb", "control"),
    (rules.tag, "a\x85b", "control"),
    (rules.tag, "\udc80", "UTF-8"),
    (rules.tags, "v1", "a list"),
    (rules.tags, [f"t{i}" for i in range(65)], "at most 64"),
    (rules.meta, ["a"], "a map"),
    (rules.meta, {f"k{i}": "" for i in range(65)}, "at most 64"),
    (rules.meta, {"a b": ""}, "keys"),
    (rules.meta, {1: ""}, "keys"),
    (rules.meta, {"k": 1}, "string values"),
    (rules.meta, {"k": "v" * 1025}, "1024"),
    (rules.meta, {"k": "é" * 513}, "1024"),
    (rules.lifetime, ["lease"], "ttl_ms"),
    (rules.lifetime, ["lease", "10s"], "milliseconds"),
    (rules.lifetime, ["process", 0], "process id"),
    (rules.lifetime, ["for ever"], "static"),
    (rules.lifetime, "static", "static"),
    (rules.exit_cause, "exit", "exit:CODE"),
    (rules.exit_cause, "exit:256", "0 to 255"),
    (rules.exit_cause, "deregistered", "exit:CODE"),
    (rules.ref, [1, 2, 3], "incarnation"),
    (rules.ref, [1, 0], "incarnation"),
    (rules.ref, "a.b.c", "incarnation"),
    (rules.target, "", "SERVICE/INSTANCE@NODE"),
    (rules.target, "/x", "SERVICE/INSTANCE@NODE"),
    (rules.target, "x@", "SERVICE/INSTANCE@NODE"),
    (rules.target, "a/b/c", "SERVICE/INSTANCE@NODE"),
    (rules.target, 7, "SERVICE/INSTANCE@NODE"),
    (rules.addresses, [], "at least one"),
    (rules.addresses, [""], "HOST:PORT"),
    (rules.addresses, "a:1", "a list"),
    (rules.addresses, ["a:1"] * 1001, "at most 1000"),
    (rules.number, -1, "0 to"),
    (rules.wait_ms, 1.5, "milliseconds"),
]


@pytest.mark.parametrize(("rule", "given", "read"), TAKEN)
def test_takes(rule: Rule, given: Any, read: Any) -> None:
    """What keeps the rule is returned in its proper form."""
    assert rule(given, "field") == read


@pytest.mark.parametrize(("rule", "given", "bound"), REFUSED)
def test_refuses(rule: Rule, given: Any, bound: str) -> None:
    """What breaks the rule is refused with the field and the bound, in one printable line."""
    with pytest.raises(InvalidRequest) as caught:
        rule(given, "some_field")

    assert caught.value.field == "some_field"
    assert "some_field" in caught.value.message
    assert bound in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_entry_size() -> None:
    """An entry is bounded as a whole, names included."""
    rules.entry_size("web", "web-1", bytes(ENTRY_BYTES_MAX - 8))

    with pytest.raises(InvalidRequest, match=str(ENTRY_BYTES_MAX)):
        rules.entry_size("web", "web-1", bytes(ENTRY_BYTES_MAX - 7))
