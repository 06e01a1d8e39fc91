"""`register update renew deregister`, of a real agent: what they print, change and refuse."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from discoagent.client import Disco
from tests.cli.agents import Agent
from tests.cli.ctl import ANSWER_SECONDS, Ask, ctl

Pair = tuple[Agent, Agent]


@pytest.fixture(autouse=True)
def at_a(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disco]:
    """Ask `a` unless the test says otherwise; whatever a test registered is ended after it."""
    monkeypatch.setenv("DISCO_SOCKET", pair[0].socket)
    with Disco(pair[0].socket, timeout=ANSWER_SECONDS) as disco:
        yield disco
        for instance in disco.list(node="a", all=True):
            disco.deregister(instance.name)


@pytest.fixture
def process() -> Iterator[int]:
    """Run a process of somebody's."""
    with subprocess.Popen(["sleep", "1000"]) as running:
        yield running.pid
        running.kill()


def test_a_process(process: int, ask: Ask) -> None:
    """Ends with it; the name is printed."""
    answer = ask(
        "register", "web", "--port", "8080", "--tag", "v2", "--tag", "v2", "--pid", process
    )
    found = ask("get", "web-8080", "-o", "json").json

    assert answer == (0, "web/web-8080@a\n", "")
    assert found["lifetime"] == {"kind": "process", "pid": process}
    assert found["owner"]["pid"] == process
    assert (found["port"], found["tags"]) == (8080, ["v2"])


def test_ids_without_a_port(process: int, ask: Ask) -> None:
    """By the owner's pid, or, where nobody's process matters, by the name alone."""
    assert ask("register", "web", "--pid", process).out == f"web/web-{process}@a\n"
    assert ask("register", "job", "--ttl", "1h").out == "job/job@a\n"
    assert ask("register", "db", "--static").out == "db/db@a\n"
    assert ask("register", "db", "--static", "--id", "x").out == "db/x@a\n"


def test_a_lease_outlives_its_command(ask: Ask) -> None:
    """It is for the caller to renew; `renew` answers with the instance, 1 if there is none."""
    answer = ctl("register", "job", "--ttl", "1h", "-o", "json", env=dict(os.environ))

    assert answer.json["lifetime"] == {"kind": "lease", "ttl_ms": 3_600_000}
    assert ask("renew", "job").out == "job/job@a\n"
    assert ask("renew", "job", "-o", "json").json["id"] == "job"
    assert ask("renew", "nope").code == 1


def test_a_lease_ends(at_a: Disco, ask: Ask) -> None:
    """Unless it is renewed."""
    with at_a.watch("job", timeout=30) as watch:
        assert next(watch).kind == "synced"
        ask("register", "job", "--ttl", "200ms")

        assert [next(watch).cause, next(watch).cause] == ["registered", "lease-expired"]


def test_every_flag(ask: Ask) -> None:
    """`k=v` splits at the first `=`; nothing takes commas."""
    found = ask(
        *(
            "register",
            "db",
            "--static",
            "--address",
            "db.internal",
            "--port",
            "5432",
            "--id",
            "main",
        ),
        *("--tag", "a,b", "--tag", "c", "--meta", "zone=a", "--meta", "note=x=y,z", "-o", "json"),
    ).json

    assert (found["address"], found["port"], found["id"]) == ("db.internal", 5432, "main")
    assert found["tags"] == ["a,b", "c"]
    assert found["meta"] == {"zone": "a", "note": "x=y,z"}


def test_update(ask: Ask) -> None:
    """What is named changes, the rest stays; the instance after is the answer."""
    ask("register", "db", "--static", "--port", "1", "--tag", "v1", "--tag", "x", "--meta", "k=v")
    answer = ask(
        *("update", "db-1", "--port", "2", "--tag", "v2", "--untag", "v1"),
        *("--set", "zone=a", "--unset", "k", "--address", "10.0.0.9", "-o", "json"),
    )

    assert answer.code == 0
    assert (answer.json["id"], answer.json["port"]) == ("db-1", 2)
    assert (answer.json["tags"], answer.json["meta"]) == (["x", "v2"], {"zone": "a"})
    assert answer.json["address"] == "10.0.0.9"
    assert ask("update", "db-1", "--tag", "v3").out == "db/db-1@a\n"
    assert ask("update", "nope", "--tag", "v3").code == 1


def test_deregister(ask: Ask) -> None:
    """The instance before is the answer; a second time there is none."""
    ask("register", "db", "--static", "--port", "1")

    assert ask("deregister", "db-1", "-o", "json").json["port"] == 1
    assert ask("deregister", "db-1").code == 1
    assert ask("list", "db").code == 1


def test_another_node_s_instance_is_refused(pair: Pair, at_a: Disco, ask: Ask) -> None:
    """4, and the sentence names the node to run it on."""
    with (
        Disco(pair[1].socket, timeout=ANSWER_SECONDS) as at_b,
        at_a.watch("far", timeout=30) as watch,
    ):
        far = at_b.register("far", id="far", static=True)
        while next(watch).kind != "added":
            pass
        for command in (["update", "--tag", "x"], ["renew"], ["deregister"]):
            answer = ask(*command, "far/far@b")

            assert answer.code == 4
            assert "node b" in answer.err or "on b" in answer.err
        assert at_a.get("far").tags == ()
        far.close()


def test_a_living_owner_keeps_its_id(process: int, ask: Ask) -> None:
    """6, naming the owner; `--replace` takes over."""
    mine = str(os.getpid())
    ask("register", "web", "--port", "80", "--pid", process)
    taken = ask("register", "web", "--port", "80", "--pid", mine, "-o", "json")

    assert (taken.code, taken.error["kind"]) == (6, "conflict")
    assert str(process) in taken.error["message"]
    assert ask("register", "web", "--port", "80", "--static").code == 6
    assert ask("register", "web", "--port", "80", "--pid", mine, "--replace").code == 0
    assert ask("get", "web-80", "-o", "json").json["owner"]["pid"] == os.getpid()


def test_a_process_that_is_not_alive_is_1(ask: Ask) -> None:
    """There is nothing to bind an entry to."""
    with subprocess.Popen(["true"]) as ended:
        pass

    assert ask("register", "web", "--port", "80", "--pid", ended.pid).code == 1
    assert ask("list", "web").code == 1


@pytest.mark.parametrize(
    ("args", "field"),
    [
        (["register", "a/b", "--static"], "service"),
        (["register", "x" * 129, "--static"], "service"),
        (["register", "web", "--static", "--id", "a@b"], "id"),
        (["register", "web", "--static", "--tag", ""], "tags"),
        (["register", "web", "--static", "--tag", "a\nb"], "tags"),
        (["register", "web", "--static", "--tag", "x" * 257], "tags"),
        (["register", "web", "--static", "--tag", "\udcff"], "tags"),  # no UTF-8
        (["register", "web", "--static", "--meta", "a b=c"], "meta"),
        (["register", "web", "--static", "--meta", f"a={'x' * 1025}"], "meta"),
        (["register", "web", "--static", "--address", "[::1]"], "address"),
        (["register", "web", "--static", "--address", "10.0.0.256"], "address"),
        (["register", "web", "--ttl", "1ms"], "lifetime"),
        (["update", "x/y/z", "--port", "1"], "id"),
        (["deregister", "a b"], "id"),
        (["list", "a b"], "services"),
        (["list", "--node", "a b"], "node"),
        (["watch", "a b", "--count", "0"], "services"),
        (["wait", "a b"], "services"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)
def test_a_broken_rule_is_2_and_names_its_field(args: list[str], field: str, ask: Ask) -> None:
    """In a sentence with the bound; nothing changes."""
    answer = ask(*args, "-o", "json")

    assert (answer.code, answer.out) == (2, "")
    assert answer.error["field"] == field
    assert field in answer.error["message"]
    assert ask("list", "--node", "a").code == 1
