"""`presence track retrack untrack`: who is there, on every node, in every format."""

import json
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from discoagent.client import Disco
from tests.agent.harness import wait_until
from tests.cli.agents import Agent
from tests.cli.ctl import ANSWER_SECONDS, Ask, ctl, line, started, talk

ME = ("--pid", str(os.getpid()))
SLEEPER = (sys.executable, "-c", "import signal\nwhile True: signal.pause()")


@pytest.fixture
def at(pair: tuple[Agent, Agent]) -> Iterator[tuple[str, str]]:
    """Return where two agents listen; what a test left is gone before the next."""
    yield pair[0].socket, pair[1].socket
    for agent in pair:
        with Disco(agent.socket, timeout=ANSWER_SECONDS) as disco:
            for topic in disco.presence():
                for it in disco.tracked(topic["topic"]):
                    if it.node == agent.node:
                        disco.untrack(it.topic, it.ref)
    with Disco(pair[0].socket, timeout=ANSWER_SECONDS) as disco:
        wait_until(lambda: not disco.presence())


def test_metas_of_several_nodes(ask: Ask, at: tuple[str, str]) -> None:
    """A key's metas stand together, by ref; an update keeps the others."""
    a, b = at
    tv = ask("track", "room:1", "alice", "--meta", "device=tv", *ME, "--socket", a)
    assert (tv.code, tv.err) == (0, "")
    ref = tv.out.strip()
    made = ask("track", "room:1", "alice", "--meta", "on=phone", *ME, "--socket", b, "-o", "json")
    phone = made.json["meta"]
    assert made.json == {"topic": "room:1", "key": "alice", "meta": phone}
    bob = ask("track", "room:1", "bob", "--ttl", "30s", "--socket", b).out.strip()
    with Disco(a, timeout=ANSWER_SECONDS) as disco:
        wait_until(lambda: len(disco.tracked("room:1")) == 3)

    assert ask("presence", "room:1", "-o", "json", "--socket", a).json == {
        "alice": [{"ref": ref, "device": "tv"}, phone],
        "bob": [{"ref": bob}],
    }
    after = ask("retrack", "room:1", ref, "--meta", "device=web", "--socket", a).out.strip()
    assert after != ref
    lines = ask("presence", "room:1", "-o", "jsonl", "--socket", a).lines
    assert lines == [{"alice": [{"ref": after, "device": "web"}, phone]}, {"bob": [{"ref": bob}]}]
    gone = ask("untrack", "room:1", after, "-o", "jsonl", "--socket", a)
    assert gone.lines == [
        {"topic": "room:1", "key": "alice", "meta": {"ref": after, "device": "web"}}
    ]
    assert ask("presence", "room:1", "-o", "name", "--socket", a).out == "alice\nbob\n"
    assert ask("presence", "-o", "json", "--socket", a).json == [
        {"topic": "room:1", "keys": 2, "metas": 2}
    ]


def test_what_people_read(ask: Ask, at: tuple[str, str]) -> None:
    """Tables, with nothing in them that a terminal would obey."""
    a, _ = at
    key = "al\u202eice \u4e16"
    ref = ask("track", "room 1", key, "--meta", "device=t\u202ev", *ME, "--socket", a).out.strip()

    assert ask("presence", "--socket", a).out.splitlines() == [
        "TOPIC   KEYS  METAS",
        "room 1  1     1",
    ]
    shown = ask("presence", "room 1", "--no-headers", "--socket", a).out
    assert shown == f'al\\u202eice \u4e16  {ref}  {{"device": "t\\u202ev"}}\n'
    wide = ask("presence", "room 1", "-o", "wide", "--socket", a).out
    assert f"process {os.getpid()}" in wide
    assert ask("presence", "room 1", "-q", "--socket", a).out == ""


def test_watching_a_topic(ask: Ask, at: tuple[str, str]) -> None:
    """The present, then changes, with the metas; the lines of people; apart from services."""
    a, _ = at
    ref = ask("track", "room", "alice", "--meta", "n=1", *ME, "--socket", a).out.strip()
    with (
        started("watch", "--topic", "room", "--count", "3", "--socket", a) as topic,
        started("watch", "web", "--topic", "room", "-o", "wide", "--socket", a) as both,
        started("watch", "--socket", a) as services,
    ):
        first = json.loads(line(topic))
        assert (first["kind"], first["topic"], first["key"]) == ("added", "room", "alice")
        assert "instance" not in first
        assert first["meta"] == {"ref": ref, "n": "1"}
        assert json.loads(line(topic))["kind"] == "synced"
        assert [line(both).split()[1] for _ in range(2)] == ["added", "synced"]
        assert json.loads(line(services))["kind"] == "synced"

        after = ask("retrack", "room", ref, "--meta", "n=2", "--socket", a).out.strip()
        ask("track", "hall", "alice", "--static", "--socket", a)
        ask("untrack", "room", after, "--socket", a)
        ask("register", "web", "--static", "--id", "i", "--socket", a)
        ask("track", "room", "bob", "--static", "--socket", a)
        changed, gone, bob = (json.loads(line(topic)) for _ in range(3))
        assert (changed["kind"], changed["cause"]) == ("updated", "updated")
        assert (changed["before"], changed["meta"]["n"]) == (first["meta"], "2")
        assert (gone["kind"], gone["meta"], gone["before"]) == ("removed", None, changed["meta"])
        assert bob["key"] == "bob"
        assert topic.wait(ANSWER_SECONDS) == 0

        lines = [line(both).split(" ", 1)[1] for _ in range(4)]
        ask("deregister", "web/i", "--socket", a)
        assert lines[0].startswith('updated room alice {"n": "1"} -> {"n": "2"} cause=updated by=')
        assert lines[1].startswith('removed room alice {"n": "2"} cause=deregistered')
        assert lines[1].endswith(f"ref={after}")
        assert [each.split()[1] for each in lines[2:]] == ["web/i@a", "room"]
        kinds = [json.loads(line(services)) for _ in range(2)]
        assert [event["kind"] for event in kinds] == ["added", "removed"]
        assert all("topic" not in event for event in kinds)


def test_nobody_is_there(ask: Ask, at: tuple[str, str]) -> None:
    """1 of a topic, with an answer that programs read; 0 of all topics."""
    nobody = ask("presence", "room", "-o", "json", "--socket", at[0])
    assert (nobody.code, nobody.json) == (1, {})
    table = ask("presence", "room", "--socket", at[0])
    assert (table.code, table.out, table.err) == (1, "", "discoctl: nobody is there\n")
    assert ask("presence", "-o", "json", "--socket", at[0]) == (0, "[]\n", "")


def test_services_do_not_show_it(ask: Ask, at: tuple[str, str]) -> None:
    """Nor can it be had by their commands."""
    a, _ = at
    ref = ask("track", "web", "alice", *ME, "--socket", a).out.strip()

    assert ask("list", "--all", "-o", "json", "--socket", a).json == []
    assert ask("list", "web", "--socket", a).code == 1
    assert ask("services", "-o", "json", "--socket", a).json == []
    assert ask("resolve", "web", "--socket", a).code == 1
    assert ask("watch", "--count", "0", "-o", "jsonl", "--socket", a).out.count("\n") == 1
    assert ask("wait", "web", "--gone", "--timeout", "5s", "--socket", a).code == 0
    for command in ("get", "renew", "deregister"):
        assert ask(command, ref, "--socket", a).code == 1
    assert ask("status", "-o", "json", "--socket", a).json["instances"] == {"local": 0, "total": 0}


@pytest.mark.parametrize(
    ("args", "code", "field"),
    [
        (("track", "t", "k"), 2, "lifetime"),
        (("track", "t", "k", "--ttl", "9s", "--static"), 2, "lifetime"),
        (("track", "t", "k", "--ttl", "9s", "--", "true"), 2, "lifetime"),
        (("track", "t", "k", "--"), 2, "command"),
        (("track", "t", "k", "--static", "--require"), 2, "require"),
        (("track", "t", "k", "--ttl", "1ms"), 2, "lifetime"),
        (("track", "", "k", "--static"), 2, "topic"),
        (("track", "t", "k\n", "--static"), 2, "key"),
        (("track", "t", "k\n", "--", "true"), 2, "key"),
        (("track", "t", "k", "--static", "--meta", "ref=1"), 2, "meta"),
        (("track", "t", "k", "--meta", "ref=1", "--", "true"), 2, "meta"),
        (("track", "t", "k", "--static", "--meta", "m=" + "x" * 4_096), 2, "meta"),
        (("track", "t", "k", "--pid", "4194304"), 1, "lifetime"),
        (("retrack", "t", "nonsense"), 2, "id"),
        (("retrack", "t", "a.1.2"), 1, "id"),
        (("untrack", "t", "b.1.2"), 4, "id"),
        (("presence", "t" * 129), 2, "topic"),
        (("watch", "--topic", ""), 2, "topics"),
        (("watch", "--topic", "t", "-f", 'id == "x"'), 2, "filter"),
    ],
)
def test_what_is_refused(
    ask: Ask, at: tuple[str, str], args: tuple[str, ...], code: int, field: str
) -> None:
    """By name, and nothing is there then."""
    refused = ask(*args[:1], "--socket", at[0], "-o", "json", *args[1:])

    assert refused.code == code
    assert (refused.error["code"], refused.error["field"]) == (code, field)
    assert ask("presence", "--socket", at[0], "-o", "json").json == []


def test_a_command_is_tracked_as_long_as_it_runs(at: tuple[str, str]) -> None:
    """Bound to CMD's pid, with CMD's code, and nothing of ours on its output."""
    a, b = at
    with (
        Disco(b, timeout=ANSWER_SECONDS) as disco,
        started(
            *("track", "room", "alice", "--meta", "device=tv", "--socket", a, "--"),
            *("sh", "-c", "echo mine; read x; exit 3"),
            stdin=True,
        ) as wrapper,
    ):
        (it,) = wait_until(lambda: disco.tracked("room"))
        assert it.shown == {"ref": it.ref, "device": "tv"}
        assert it.lifetime.pid == it.owner.pid != wrapper.pid
        out, err = wrapper.communicate("go\n", timeout=ANSWER_SECONDS)

        assert (wrapper.returncode, out, err) == (3, "mine\n", "")
        wait_until(lambda: disco.presence("room") == {})


def test_kill_9_of_the_command(at: tuple[str, str]) -> None:
    """The wrapper tells it, and gives the code that a shell gives."""
    with (
        Disco(at[0], timeout=ANSWER_SECONDS) as disco,
        started("track", "room", "alice", "--socket", at[0], "--", *SLEEPER) as wrapper,
    ):
        (it,) = wait_until(lambda: disco.tracked("room"))
        os.kill(it.lifetime.pid or 0, signal.SIGKILL)

        assert wrapper.wait(ANSWER_SECONDS) == 128 + signal.SIGKILL
        wait_until(lambda: disco.presence("room") == {})


def test_a_command_needs_no_agent(nobody: str) -> None:
    """It runs untracked, after one warning; `--require` does not start it."""
    with started(
        *("track", "room", "alice", "--socket", nobody, "--", "sh", "-c", "read x"), stdin=True
    ) as wrapper:
        assert "as soon as the agent is there" in talk(wrapper)
        wrapper.communicate("go\n", timeout=ANSWER_SECONDS)
        assert wrapper.returncode == 0

    required = ("track", "room", "alice", "--require", "--socket", nobody, "--", "echo", "ran")
    refused = ctl(*required)
    assert (refused.code, refused.out) == (3, "")
    assert ctl("track", "room", "alice", "--socket", nobody, "--", "no-such-command").code == 127
