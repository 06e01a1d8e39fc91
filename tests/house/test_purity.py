"""The core reaches nothing: read its source, and run it where there is nothing to reach."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.project import ROOT, imports, module_name, python_files, tree

CORE = python_files("discoagent/core")
# Of the standard library the core names what computes; some of these import os or time themselves.
COMPUTES = {
    "_blake2",
    "abc",
    "bisect",
    "collections",
    "collections.abc",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "math",
    "operator",
    "struct",
    "types",
    "typing",
}
REACHES = {"__import__", "breakpoint", "compile", "eval", "exec", "input", "open", "print"}
WORLD = [
    "asyncio",
    "click",
    "datetime",
    "importlib",
    "io",
    "logging",
    "msgpack",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "time",
    "uuid",
    "zmq",
]


def named(path: Path) -> str:
    """Return a test's id: the path within the project."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CORE, ids=named)
def test_imports_compute_only(path: Path) -> None:
    """At any depth: the core itself, and modules that compute."""
    foreign = {name for name in imports(path) if name.partition(".core")[0] != "discoagent"}

    assert foreign <= COMPUTES


@pytest.mark.parametrize("path", CORE, ids=named)
def test_no_builtin_reaches_out(path: Path) -> None:
    """No file is opened, nothing printed, nothing imported or run by name."""
    used = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}

    assert used & (REACHES | {"__builtins__", "globals", "__loader__", "__spec__"}) == set()


STORY = """
import sys

root, computes, world, modules = sys.argv[1], *(words.split() for words in sys.argv[2:])
sys.path.insert(0, root)
for name in computes:
    __import__(name)
for name in world:
    sys.modules[name] = None  # whoever imports it from now on gets a ModuleNotFoundError
for name in modules:
    __import__(name)
"""

MEET = """
from discoagent.core.effects import Answer, Send
from discoagent.core.entry import Cause, Entry, Kind, MemberRecord, ReplicaId
from discoagent.core.messages import Envelope
from discoagent.core.replica import Replica
from discoagent.core.timing import Timing

cause = Cause("registered", b"", 0)


def replica(node):
    record = MemberRecord(node + ":1", "0")
    return Replica(node=node, incarnation=1, cluster="c", record=record, timing=Timing(), now=0.0)


here, there = replica("here"), replica("there")
by_endpoint = {"here:1": here, "there:1": there}
by_id = {each.id: each for each in by_endpoint.values()}
mail = [(here, effect) for effect in here.seeds(["there:1"], 0.0)]
entry = Entry(Kind.SERVICE, "web", "web-1", bytes(8), b"body")
mail += [(here, effect) for effect in here.put(entry, cause, 0.0) + here.flush(0.0)]
for turn in range(1000):
    if not mail:
        break
    sender, effect = mail.pop(0)
    match effect:
        case Send(endpoints, message):
            to = [by_endpoint[endpoint] for endpoint in endpoints]
        case Answer(asker, message):
            to = [by_id[asker]]
        case _:
            continue
    for each in to:
        effects = each.receive(Envelope(message, sender.id), 0.0)
        mail += [(each, effect) for effect in effects]
assert [shown.node for shown in there.lookup(Kind.SERVICE, ["web"])] == ["here"]
print("met without a world")
"""


def in_an_empty_world(code: str) -> subprocess.CompletedProcess[str]:
    """Run code after the whole core was imported where nothing of the world can be any more."""
    modules = [module_name(path) for path in CORE]
    return subprocess.run(
        [sys.executable, "-I", "-c", STORY + code, str(ROOT)]
        + [" ".join(words) for words in (sorted(COMPUTES), WORLD, modules)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_world_is_really_gone() -> None:
    """The prison holds: what the test below relies on."""
    ran = in_an_empty_world("import zmq")

    assert "ModuleNotFoundError: import of zmq halted" in ran.stderr


def test_two_replicas_meet_where_there_is_no_world() -> None:
    """The protocol works with no clock, no luck, no system, no socket and no log to be had."""
    ran = in_an_empty_world(MEET)

    assert (ran.stdout, ran.stderr) == ("met without a world\n", "")
