"""What another user of the host may do to what is not its own: nothing, in whatever words."""

import contextlib
import io
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from discoagent.checks import Check
from discoagent.cli import main
from discoagent.errors import DiscoError
from discoagent.instance import Instance
from tests.agent.harness import AgentProcess, Raw
from tests.agent.users import OWNER, STRANGER, as_user, asked, codes, root_only

pytestmark = root_only
LEASE = ["lease", 60_000]


@pytest.fixture
def owned(agent: AgentProcess, asker: Raw) -> Iterator[Callable[[], list[Instance]]]:
    """What another user has: a lease with a check, an instance of a process, a static one."""
    check = [Check.ttl("1h").packed()]
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=OWNER) as process:
        its = {"service": "x", "lifetime": LEASE, "id": "lease", "checks": check}
        static = {"service": "x", "lifetime": ["static"], "id": "static"}
        assert codes(agent, OWNER, ("register", its), ("register", static)) == [0, 0]
        asker.ask("register", service="x", id="process", lifetime=["process", process.pid])
        yield lambda: asker.list("x")


def test_by_hand_made_messages(
    agent: AgentProcess, asker: Raw, owned: Callable[[], list[Instance]]
) -> None:
    """Every operation that changes something, of each kind of lifetime."""
    before = owned()
    assert [it.id for it in before] == ["lease", "process", "static"]
    ttl = {"id": "lease", "word": "pass"}
    wanted: list[tuple[str, dict[str, Any]]] = [("ttl", ttl)]
    for it in before:
        over = {"service": "x", "id": it.id, "lifetime": LEASE}
        wanted += [
            ("update", {"id": it.id, "set": {"a": "b"}}),
            ("update", {"id": it.id, "checks": []}),
            ("renew", {"id": it.id}),
            ("maint", {"id": it.id, "on": True}),
            ("maint", {"id": it.id, "on": False}),
            ("drain", {"id": it.id}),
            ("deregister", {"id": it.id}),
            ("deregister", {"id": it.name, "cause": "exit:0"}),
            ("register", {**over, "replace": True}),
            ("register", {**over, "lifetime": ["static"], "replace": True}),
            ("register", {**over, "lifetime": ["process", None], "replace": True}),
        ]
        assert asked(agent, STRANGER, "register", **over) == 6

    refused = zip(codes(agent, STRANGER, *wanted), wanted, strict=True)
    assert [it for it in refused if it[0] != 4] == []
    assert owned() == before
    assert asked(agent, OWNER, "ttl", **ttl) == 0


def test_for_the_whole_node(agent: AgentProcess, owned: Callable[[], list[Instance]]) -> None:
    """That is for root, the agent's user, and those whom the policy names."""
    before = owned()
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("maint", {"on": True}),
        ("drain", {}),
        ("reload", {}),
        ("log-level", {"level": "debug"}),
        ("monitor", {}),
        ("settings", {}),
        ("join", {"addresses": ["127.0.0.1:1"]}),
        ("forget", {"node": "b"}),
        ("leave", {}),
    ]

    refused = zip(codes(agent, STRANGER, *wanted), wanted, strict=True)
    assert [it for it in refused if it[0] != 4] == []
    assert owned() == before


def test_lies(agent: AgentProcess, owned: Callable[[], list[Instance]]) -> None:
    """Who asks is what the kernel says; a pid of somebody else's is refused, and so is a uid."""
    before = owned()
    (victim,) = (it.owner.pid for it in before if it.id == "process")
    assert victim is not None
    for pid in (victim, os.getpid(), 1):
        lie = {"lifetime": ["process", pid]}
        said = [("register", {"service": "y", **lie}), ("track", {"topic": "y", "key": "k", **lie})]
        assert codes(agent, STRANGER, *said) == [4, 4]
    for name in ("uid", "owner", "pid", "actor"):
        made: dict[str, Any] = {"service": "y", "lifetime": LEASE, name: 0}
        ended: dict[str, Any] = {"id": "lease", name: OWNER}
        assert codes(agent, STRANGER, ("register", made), ("deregister", ended)) == [2, 2]
    assert asked(agent, STRANGER, "register", service="y", wrapper=victim) == 2

    assert owned() == before


def told(agent: AgentProcess, *arguments: str) -> tuple[int, str]:
    """Run `discoctl` as a stranger; return its code and what it says on stderr.

    In a child of this process, for the interpreter may be in a place that is shut to others.
    """

    def work() -> tuple[int, str]:
        with contextlib.redirect_stderr(io.StringIO()) as said:
            code = main.main([*arguments, "--socket", agent.socket], standalone_mode=False)
        return code, said.getvalue()

    return as_user(STRANGER, work)


def test_by_the_command_line(agent: AgentProcess, owned: Callable[[], list[Instance]]) -> None:
    """The same; the sentence names both users."""
    before = owned()
    for it in before:
        for verb in (["update", it.name, "--set", "a=b"], ["deregister", it.name]):
            code, said = told(agent, *verb)
            assert code == 4
            assert f"belongs to uid {it.owner.uid}" in said
            assert f"not uid {STRANGER}" in said
    over = ["register", "x", "--id", "lease", "--ttl", "1m"]
    assert told(agent, *over)[0] == 6
    assert told(agent, *over, "--replace")[0] == 4
    for verb in (["maint", "on"], ["drain"], ["reload"], ["leave"]):
        assert told(agent, *verb)[0] == 4

    assert owned() == before


def test_a_program_of_another_user_in_the_same_process(agent: AgentProcess, asker: Raw) -> None:
    """Who connected and then became somebody else owns nothing in that one's name."""

    def work() -> int:
        """Connect as one user, become another, and register for oneself."""
        with Raw(agent.socket) as raw:
            raw.ask("hello")  # connected: the kernel has noted who did
            os.setresuid(STRANGER, STRANGER, STRANGER)
            try:
                raw.ask("register", service="z")
            except DiscoError as error:
                return error.code
            return 0

    def child() -> int:
        os.setresuid(OWNER, OWNER, STRANGER)
        return work()

    assert as_user(0, child) == 4
    assert asker.list("z") == []
