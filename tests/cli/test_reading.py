"""The queries, asked of two real agents: what they print, and their exit codes."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from discoagent.client import Disco
from tests.agent.harness import wait_until
from tests.cli.agents import Agent
from tests.cli.ctl import ANSWER_SECONDS, Ask

Pair = tuple[Agent, Agent]


@pytest.fixture(scope="module", autouse=True)
def instances(pair: Pair) -> Iterator[None]:
    """Register what the tests ask for, and wait until `a` sees all of it."""
    a, b = pair
    with (
        Disco(a.socket, timeout=ANSWER_SECONDS) as at_a,
        Disco(b.socket, timeout=ANSWER_SECONDS) as at_b,
    ):
        web = {"scheme": "https", "zone": "a"}
        at_a.register("web", port=8080, tags=["v2", "blue"], meta=web, static=True)
        at_b.register("web", port=8081, tags=["v2"], address="fd00::5", static=True)
        at_b.register("db", id="main", tags=["v1"], static=True)
        at_a.register("db", id="main", port=5432, ttl="1h")
        present = 0
        for event in at_a.watch(timeout=30):
            present += event.kind == "added"
            if present == 4:
                break
        yield


@pytest.fixture
def at_a(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Agent:
    """Ask `a` unless the test says otherwise."""
    monkeypatch.setenv("DISCO_SOCKET", pair[0].socket)
    return pair[0]


NAMES = ["db/main@a", "db/main@b", "web/web-8080@a", "web/web-8081@b"]


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ([], NAMES),
        (["--all"], NAMES),
        (["web"], NAMES[2:]),
        (["web", "db"], NAMES),
        (["--node", "b"], [NAMES[1], NAMES[3]]),
        (["--tag", "v2"], NAMES[2:]),
        (["--tag", "v2", "--tag", "blue"], [NAMES[2]]),
        (["db", "--tag", "v1", "--node", "b"], [NAMES[1]]),
        (["--sort", "port"], [NAMES[1], NAMES[0], NAMES[2], NAMES[3]]),
        (["--sort", "-port", "--limit", "2"], [NAMES[3], NAMES[2]]),
        (["--sort", "node"], [NAMES[0], NAMES[2], NAMES[1], NAMES[3]]),
        (["--limit", "1"], NAMES[:1]),
        (["-f", 'service == "web" and meta.zone != "a"'], NAMES[3:]),
        (["-f", 'port > 8000 and "v2" in tags'], NAMES[2:]),
        (["db", "--filter", "port == null"], [NAMES[1]]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_list(args: list[str], names: list[str], at_a: Agent, ask: Ask) -> None:
    """By service, id, node, unless sorted otherwise; repeated flags add up."""
    answer = ask("list", *args, "-o", "name")

    assert (answer.code, answer.out.split()) == (0, names)


@pytest.mark.parametrize(
    "args",
    [
        ["nope"],
        ["--tag", "nope"],
        ["--node", "nope"],
        ["web", "--tag", "blue", "--tag", "v1"],
        ["-f", "port == 1"],
    ],
)
def test_list_of_nothing_is_1(args: list[str], at_a: Agent, ask: Ask) -> None:
    """With a service or a filter; the answer is still a list."""
    assert ask("list", *args).code == 1
    assert ask("list", *args).out == ""
    assert ask("list", *args, "-o", "json").json == []
    assert ask("list", *args, "-o", "jsonl").out == ""


def test_watch_with_a_filter(at_a: Agent, ask: Ask) -> None:
    """The present is what fits; what comes to fit and ceases to is seen come and go."""
    wanted = 'service == "web" and meta.zone != "a"'
    assert ask("watch", "-f", wanted, "--count", "0", "-o", "name").out == "web/web-8081@b\n"
    assert ask("watch", "db", "-f", wanted, "--count", "0", "-o", "name").out == ""

    with (
        Disco(at_a.socket, timeout=ANSWER_SECONDS) as disco,
        disco.register("tmp", port=1) as tmp,
        disco.watch("tmp", filter="port > 1", timeout=30) as watch,
    ):
        assert next(watch).kind == "synced"
        tmp.update(port=2)
        tmp.update(port=1)
        came, went = next(watch), next(watch)
    assert (came.kind, came.cause, went.kind, went.cause) == (
        *("added", "updated"),
        *("removed", "updated"),
    )


def test_list_as_a_table(at_a: Agent, ask: Ask) -> None:
    """The default; titles can be left out; `-q` prints nothing."""
    table = ask("list", "web")

    assert table.out.splitlines()[0].split() == [
        *("SERVICE", "ID", "NODE", "ADDRESS", "STATE", "TAGS"),
    ]
    assert table.out.splitlines()[2].split() == [
        *("web", "web-8081", "b", "[fd00::5]:8081", "passing", "v2"),
    ]
    assert ask("list", "web", "--no-headers").out.split() == table.out.split()[6:]
    assert ask("--no-headers", "list", "web").out == ask("list", "web", "--no-headers").out
    assert ask("list", "web", "-q") == (0, "", "")


def test_an_instance_has_every_field(at_a: Agent, ask: Ask) -> None:
    """As the contract names them."""
    found = ask("get", "web-8080", "-o", "json").json

    assert found.pop("registered_at") == found.pop("updated_at")
    assert found.pop("ref").startswith("a.")
    assert found.pop("owner")["uid"] == os.geteuid()
    assert found == {
        "service": "web",
        "id": "web-8080",
        "node": "a",
        "address": "127.0.0.1",
        "port": 8080,
        "tags": ["v2", "blue"],
        "meta": {"scheme": "https", "zone": "a"},
        "state": "passing",
        "lifetime": {"kind": "static"},
        "checks": [],
        "maint": None,
    }
    assert ask("list", "web", "--node", "a", "-o", "json").json[0]["id"] == "web-8080"


def test_services(at_a: Agent, ask: Ask) -> None:
    """With counts by state."""
    passing = {"total": 2, "usable": 2, "states": {"passing": 2}}

    assert ask("services", "-o", "json").json == [
        {"service": "db", **passing},
        {"service": "web", **passing},
    ]
    assert ask("services", "-o", "name").out == "db\nweb\n"


def test_resolve(at_a: Agent, ask: Ask) -> None:
    """Only what has a port; addresses by default."""
    assert ask("resolve", "web").out == "127.0.0.1:8080\n[fd00::5]:8081\n"
    assert (
        ask("resolve", "web", "-o", "url").out == "https://127.0.0.1:8080\ntcp://[fd00::5]:8081\n"
    )
    assert ask("resolve", "db").out == "127.0.0.1:5432\n"
    assert ask("resolve", "db", "-o", "env").out == "DB_HOST=127.0.0.1\nDB_PORT=5432\n"
    assert [it["port"] for it in ask("resolve", "web", "-o", "json").json] == [8080, 8081]
    assert ask("resolve", "db", "--one", "-o", "json").json["port"] == 5432
    assert ask("resolve", "web", "--one").out in ("127.0.0.1:8080\n", "[fd00::5]:8081\n")
    assert ask("resolve", "db", "--wait", "5s").out == "127.0.0.1:5432\n"


def test_resolve_with_a_preference(at_a: Agent, ask: Ask) -> None:
    """First those that fit by their meta or by their node's labels; the more pairs the better."""
    a, b = "127.0.0.1:8080\n", "[fd00::5]:8081\n"

    assert ask("resolve", "web", "--prefer", "rack=rack-b").out == b + a
    assert ask("resolve", "web", "--prefer", "zone=a").out == a + b
    assert ask("resolve", "web", "--prefer", "zone=nope").out == a + b
    both = ("--prefer", "zone=a", "--prefer", "scheme=https", "--prefer", "rack=rack-b")
    assert ask("resolve", "web", *both).out == a + b
    assert (
        ask("resolve", "web", "--prefer", "rack=rack-b", "--one", "-o", "url").out == f"tcp://{b}"
    )
    with Disco(at_a.socket, timeout=ANSWER_SECONDS) as disco:
        assert {disco.resolve("web", prefer={"rack": "rack-b"}).node for _ in range(9)} == {"b"}


def test_resolve_of_nothing_is_1(at_a: Agent, ask: Ask) -> None:
    """At once, or when the time to wait is over; `--timeout` over is another matter."""
    assert ask("resolve", "nope").code == 1
    assert ask("resolve", "nope", "-o", "json").json == []
    assert ask("resolve", "nope", "--one", "-o", "json").out == ""
    assert ask("resolve", "nope", "--wait", "100ms").code == 1
    assert ask("resolve", "nope", "--wait", "1h", "--timeout", "100ms").code == 124
    assert ask("resolve", "nope", "--wait", "100ms", "--timeout", "1h").code == 1


def test_an_id_is_named_in_full_or_as_far_as_it_fits_one(pair: Pair, ask: Ask) -> None:
    """This node's own is preferred; several: 2, and all are named; none: 1."""
    a, b = pair
    for name in ("web/web-8081@b", "web/web-8081", "web-8081"):
        assert ask("get", name, "--socket", a.socket, "-o", "name").out == "web/web-8081@b\n"
    assert ask("get", "main", "--socket", a.socket, "-o", "name").out == "db/main@a\n"
    assert ask("get", "main", "--socket", b.socket, "-o", "name").out == "db/main@b\n"
    assert ask("get", "nope", "--socket", a.socket).code == 1
    service = ask("get", "web", "--socket", a.socket)
    assert service.code == 1
    assert service.err.endswith("; the service web has web/web-8080@a, web/web-8081@b\n")
    assert ask("get", "web/web-8081@a", "--socket", a.socket).code == 1
    assert ask("get", "a b", "--socket", a.socket, "-o", "json").error["field"] == "id"
    with Disco(a.socket, timeout=ANSWER_SECONDS) as disco:
        other = disco.register("other", id="web-8080", static=True)
        several = ask("get", "web-8080", "--socket", a.socket)
        other.close()

    assert several.code == 2
    assert "web/web-8080@a" in several.err
    assert "other/web-8080@a" in several.err


def test_members(pair: Pair, ask: Ask) -> None:
    """Both, each with its own view."""
    a, b = pair
    with Disco(b.socket, timeout=ANSWER_SECONDS) as disco:
        # What other tests registered at `a` is gone here, too.
        wait_until(lambda: [it.instances for it in disco.members()] == [2, 2])
    for agent in pair:
        found = ask("members", "-o", "json", "--socket", agent.socket).json

        assert [(it["node"], it["address"], it["state"]) for it in found] == [
            ("a", a.endpoint, "alive"),
            ("b", b.endpoint, "alive"),
        ]
        assert [it["instances"] for it in found] == [2, 2]
        assert set(found[0]) == {
            *("node", "incarnation", "address", "state", "instances"),
            *("heard_ms", "rtt_ms", "version", "labels"),
        }
    assert ask("members", "--socket", a.socket).out.splitlines()[1].split()[:3] == [
        *("a", "alive", a.endpoint),
    ]


def test_status(at_a: Agent, ask: Ask) -> None:
    """Every field, and the same for people."""
    found = ask("status", "-o", "json").json

    assert set(found) >= {
        *("node", "incarnation", "cluster", "version", "wire", "ready", "alone", "isolated"),
        *("bind", "advertise", "socket", "pid", "uptime_ms", "secure", "members", "instances"),
    }
    assert (found["node"], found["cluster"], found["ready"]) == ("a", "cli", True)
    assert (found["members"], found["instances"]) == ({"alive": 2}, {"local": 2, "total": 4})
    assert ask("status").out.startswith(f"● a - discoagent {found['version']}, cluster cli\n")
    assert ask("status", "--wait-ready").code == 0
    assert ask("status", "--wait-ready", "1s", "-o", "json").json["ready"] is True


def test_ping_and_version(at_a: Agent, ask: Ask) -> None:
    """A sign of life; the agent's version beside our own."""
    found = ask("ping", "-o", "json").json

    assert found["node"] == "a"
    assert 0 < found["ms"] < math.inf
    assert ask("ping").out.startswith("a answers in ")
    assert ask("version", "-o", "json").json["agent"] == ask("status", "-o", "json").json["version"]


def test_join(pair: Pair, at_a: Agent, ask: Ask, unused_port: int) -> None:
    """0 all reached, 5 some, 1 none; each address with its error."""
    _, b = pair
    nobody = f"127.0.0.1:{unused_port}"
    some = ask("join", b.endpoint, nobody, "-o", "json", "--timeout", "1s")

    assert ask("join", b.endpoint).code == 0
    assert some.code == 5
    assert [(it["address"], it["ok"]) for it in some.json] == [(b.endpoint, True), (nobody, False)]
    assert some.json[0]["error"] is None
    assert nobody in some.json[1]["error"]
    assert set(some.json[0]) == {"address", "ok", "error"}
    assert ask("join", nobody, "--timeout", "500ms").code == 1
    assert ask("join", "nonsense").code == 2


def test_join_of_another_cluster_is_refused(at_a: Agent, tmp_path: Path, ask: Ask) -> None:
    """4, and no member appears."""
    with Agent("z", tmp_path, cluster="other") as stranger:
        stranger.start()
        answer = ask("join", stranger.endpoint, "-o", "json")

        assert (answer.code, answer.json[0]["ok"]) == (4, False)
        assert "other" in answer.json[0]["error"]
        assert [it["node"] for it in ask("members", "-o", "json").json] == ["a", "b"]
