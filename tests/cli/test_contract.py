"""Every output with `-o json|jsonl` and every exit code, of real runs, against the schemas kept."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from discoagent.cli import COMMANDS
from discoagent.client import Disco
from tests.cli.agents import Agent
from tests.cli.contract import faults, schemas
from tests.cli.ctl import ANSWER_SECONDS, Answer, Ask, ctl, line, started

Pair = tuple[Agent, Agent]
WITHOUT_JSON = {
    "completion": "a script for a shell",
    "dev": "what a shell reads, then events as of watch",
    "run": "what its command prints",
}
OPEN = {"check.json", "meta.json"}  # whose objects may have more
ONE, MANY, STREAM = "one value", "an array", "one value a line"
# What is asked (of agent a), the schema and the shape of what is printed, and the exit code.
CASES: list[tuple[str, str, str, int]] = [
    ("list", "instance", MANY, 0),
    ("list nope", "instance", MANY, 1),
    ("list --all -f port>1", "instance", MANY, 0),
    ("services", "service", MANY, 0),
    ("resolve web", "instance", MANY, 0),
    ("resolve web --one", "instance", ONE, 0),
    ("resolve nope", "instance", MANY, 1),
    ("get checked", "instance", ONE, 0),
    ("watch --count 0", "event", STREAM, 0),
    ("watch --topic room --count 0", "presence-event", STREAM, 0),
    ("wait web", "instance", MANY, 0),
    ("wait nope --timeout 10ms", "instance", MANY, 124),
    ("register leased --ttl 1h", "instance", ONE, 0),
    ("register leased --ttl 1h --wait-seen all", "seen", ONE, 0),
    ("register leased --ttl 1h --wait-seen 7", "seen", ONE, 5),
    ("update web/web-80@a --tag x", "instance", ONE, 0),
    ("renew leased", "instance", ONE, 0),
    ("ttl pass checked", "instance", ONE, 0),
    ("drain checked --dry-run", "drain-plan", MANY, 1),
    ("drain checked --wait", "instance", ONE, 0),
    ("maint on checked --reason disk --for 1h", "instance", ONE, 0),
    ("maint off checked", "instance", ONE, 0),
    ("maint off", "instance", MANY, 0),
    ("reload --dry-run", "reload", ONE, 0),
    ("deregister leased", "instance", ONE, 0),
    ("presence", "topic", MANY, 0),
    ("presence room", "presence", ONE, 0),
    ("presence nobody", "presence", ONE, 1),
    ("track room bob --ttl 1h", "tracked", ONE, 0),
    ("retrack room REF", "tracked", ONE, 0),
    ("untrack room REF", "tracked", ONE, 0),
    ("members", "member", MANY, 0),
    ("status", "status", ONE, 0),
    ("status --wait-ready 1s", "status", ONE, 0),
    ("join 127.0.0.1:1 --timeout 100ms", "joined", MANY, 1),
    ("ping", "ping", ONE, 0),
    ("why b", "why", ONE, 0),
    ("why a", "why", ONE, 0),
    ("why web/web-80@a", "recorded", MANY, 0),
    ("history", "recorded", MANY, 0),
    ("history web-80", "recorded", MANY, 0),
    ("history --since 24h", "recorded", MANY, 5),
    ("at -1h list", "instance", MANY, 5),
    ("at -1ms list web --all", "instance", MANY, 0),
    ("converged", "converged", ONE, 0),
    ("doctor", "diagnosis", MANY, 0),
    ("bundle bundle.tar.gz", "bundle", ONE, 0),
    ("log-level", "log-level", ONE, 0),
    ("metrics", "metric", MANY, 0),
    ("install-units --root root", "step", MANY, 0),
    ("uninstall-units --root root", "step", MANY, 0),
    ("version", "version", ONE, 0),
    ("sim --seeds 1 --nodes 2 --seconds 1", "sim", ONE, 0),
    ("sim --seeds 1 --nodes 3 --seconds 2 --pause --restart --clog --partition", "sim", ONE, 0),
    ("version --socket /nowhere/agent.sock", "version", ONE, 0),
]
# What comes to nothing, and its exit code: an error on stderr.
ERRORS: list[tuple[str, int]] = [
    ("get nope", 1),
    ("resolve nope --one", 1),
    ("register x --pid 4194304", 1),
    ("nope", 2),
    ("list --nope", 2),
    ("list -f port=1", 2),
    ("register x", 2),
    ("register x --static --tag=", 2),
    ("ping --socket /nowhere/agent.sock", 3),
    ("update remote --port 1", 4),
    ("forget a", 4),
    ("forget b", 4),
    ("forget nope", 1),
    ("why nope", 1),
    ("why web/nope", 1),
    ("at yesterday list", 2),
    ("at 2999-01-01T00:00:00Z list", 2),
    ("at -1h", 2),
    ("at -1h members", 2),
    ("register web --port 80 --pid 1", 6),
    ("wait nope --timeout 10ms", 124),
]


@pytest.fixture(scope="module", autouse=True)
def instances(pair: Pair) -> Iterator[None]:
    """Register what is asked for, and wait until `a` sees it."""
    a, b = pair
    with (
        Disco(a.socket, timeout=ANSWER_SECONDS) as at_a,
        Disco(b.socket, timeout=ANSWER_SECONDS) as at_b,
    ):
        at_a.register("web", port=80, tags=["v2"], meta={"zone": "a"})
        ctl("register", "checked", "--static", "--check", "ttl:1h", env={"DISCO_SOCKET": a.socket})
        at_b.register("remote", id="remote", static=True)
        at_a.track("room", "alice", {"device": "tv"})
        for event in at_a.watch("remote", timeout=30):
            if event.kind == "added":
                break
        yield


@pytest.fixture
def at_a(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Agent:
    """Ask `a`, from a directory where files may be written."""
    monkeypatch.setenv("DISCO_SOCKET", pair[0].socket)
    monkeypatch.chdir(tmp_path)
    return pair[0]


def values(answer: Answer, shape: str, chosen: str) -> list[object]:
    """Return the values that were printed; together they have the shape that was promised."""
    if chosen == "jsonl" or shape is STREAM:
        return answer.lines
    found = json.loads(answer.out)
    assert isinstance(found, list) == (shape is MANY)
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("name", sorted(schemas()))
def test_a_schema_promises_all_its_fields(name: str) -> None:
    """It is a schema; each field that an object may have is always there, and it has no other."""

    def objects(value: object) -> Iterator[dict[str, object]]:
        if isinstance(value, dict):
            if isinstance(value.get("properties"), dict) and "required" in value:
                yield value
            for each in value.values():
                yield from objects(each)
        elif isinstance(value, list):
            for each in value:
                yield from objects(each)

    Draft202012Validator.check_schema(schemas()[name])
    for each in objects(schemas()[name]):
        properties = each["properties"]
        assert isinstance(properties, dict)
        assert list(properties) == each["required"]
        assert each.get("additionalProperties") is False or name in OPEN


@pytest.mark.parametrize("chosen", ["json", "jsonl"])
@pytest.mark.parametrize("case", CASES, ids=[it[0] for it in CASES])
def test_an_output_is_what_was_promised(
    case: tuple[str, str, str, int], chosen: str, at_a: Agent, ask: Ask
) -> None:
    """Each field, of its type; and the exit code."""
    asked, schema, shape, code = case
    if "leased" in asked and not asked.startswith("register"):
        ask("register", "leased", "--ttl", "1h")
    if asked.startswith("uninstall-units"):
        ask(*asked.removeprefix("un").split())
    if "REF" in asked:
        asked = asked.replace("REF", ask("track", "room", "carol", "--ttl", "1h").out.strip())
    answer = ask(*asked.split(), "-o", chosen)

    assert answer.code == code
    if code in (0, 5) or answer.out:
        found = values(answer, shape, chosen)
        assert [faults(each, schema) for each in found if faults(each, schema)] == []
        assert found or code


def test_events_of_every_kind(at_a: Agent) -> None:
    """As they happen, with who made them."""
    with started("watch", "event", "--count", "4", "--socket", at_a.socket) as watch:
        events = [json.loads(line(watch))]
        with Disco(at_a.socket, timeout=ANSWER_SECONDS) as disco:
            event = disco.register("event", port=1, ttl="1h")
            event.update(port=2)
            event.close()
        with subprocess.Popen(["sleep", "1000"]) as process:
            ctl("register", "event", "--pid", str(process.pid), env={"DISCO_SOCKET": at_a.socket})
            process.kill()
        events += [json.loads(line(watch)) for _ in range(4)]

    assert [faults(each, "event") for each in events if faults(each, "event")] == []
    assert [(it["kind"], it["cause"]) for it in events] == [
        ("synced", None),
        ("added", "registered"),
        ("updated", "updated"),
        ("removed", "deregistered"),
        ("added", "registered"),
    ]


def test_the_log(at_a: Agent, ask: Ask) -> None:
    """A line each; the command runs until it is ended."""
    with started("monitor", "--level", "debug", "-o", "jsonl", "--socket", at_a.socket) as monitor:
        ask("join", "127.0.0.1:1", "--timeout", "50ms")
        assert faults(json.loads(line(monitor)), "log-line") == []


def test_leave(agent: Agent, ask: Ask) -> None:
    """The node that left."""
    answer = ask("leave", "-o", "json", "--socket", agent.socket)

    assert answer.code == 0
    assert faults(answer.json, "left") == []
    assert agent.process is not None
    assert agent.process.wait() == 0


@pytest.mark.parametrize("chosen", ["json", "jsonl"])
@pytest.mark.parametrize(("asked", "code"), ERRORS, ids=[it[0] for it in ERRORS])
def test_an_error_is_what_was_promised(
    asked: str, code: int, chosen: str, at_a: Agent, ask: Ask
) -> None:
    """One JSON value on stderr, whose code is the exit code; for people one line."""
    answer = ask(*asked.split(), "-o", chosen)

    assert (answer.code, answer.out) == (code, "")
    assert faults(json.loads(answer.err), "error") == []
    assert answer.error["code"] == code
    told = ask(*asked.split())
    assert told.code == code
    assert told.err.startswith("discoctl: ")
    assert len(told.err.splitlines()) == (3 if "-f" in asked else 1)


def test_every_command_has_its_schema() -> None:
    """A new output is entered in `tests/schemas` and in the cases above."""
    covered = {asked.split()[0] for asked, *_ in CASES} | {"monitor", "leave", "forget"}

    assert set(COMMANDS) - WITHOUT_JSON.keys() == covered
