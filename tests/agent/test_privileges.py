"""`[policy]`: who may register which services, and who may run the node."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from discoagent.daemon import config
from discoagent.daemon.config import ConfigError
from discoagent.errors import DiscoError, Refused
from discoagent.local.host import privileges
from discoagent.local.host.owners import Asker
from discoagent.local.host.policy import Policy
from discoagent.local.host.privileges import Privileges
from discoagent.local.requests.operations import Register
from discoagent.rules import LifetimeWish
from tests.agent.harness import Raw, scratch_directory, start_agent
from tests.agent.local_world import STRANGER, World, in_world, refusal
from tests.agent.users import as_user

ALICE = Asker(1_001, 100, 0)
LOOKED_UP = privileges._looked_up
NAMES = {1_001: ("alice", ["staff"]), 1_002: ("bob", []), 4_001: ("", [])}


@pytest.fixture(autouse=True)
def users(monkeypatch: pytest.MonkeyPatch) -> None:
    """The users of a host."""

    def looked_up(uid: int, gid: int) -> frozenset[str]:
        name, groups = NAMES.get(uid, ("", []))
        return frozenset({str(uid), name, f"@{gid}", *(f"@{group}" for group in groups)} - {""})

    monkeypatch.setattr(privileges, "_looked_up", looked_up)


def may_register(policy: Policy, asker: Asker, service: str) -> bool:
    """Ask for the decision."""
    with suppress(Refused):
        Privileges(99, policy).check_register(asker, service)
        return True
    return False


def test_the_first_glob_that_fits_decides() -> None:
    """By user, uid, group or gid; what none fits is free; root and the agent may all."""
    policy = Policy(
        register=(
            ("web-secret", ()),
            ("web*", ("alice", "@deploy")),
            ("db?", ("1001",)),
            ("cache", ("@staff",)),
            ("queue", ("@100",)),
            ("all", ("*",)),
        )
    )
    bob = Asker(1_002, 1_002, 0)
    decided = {
        (asker.uid, service): may_register(policy, asker, service)
        for asker in (ALICE, bob, Asker(0, 0, 0), Asker(99, 99, 0))
        for service in ("web-secret", "web-1", "db1", "db12", "cache", "queue", "all", "WEB-1")
    }

    assert {service for (uid, service), may in decided.items() if uid == 1_001 and not may} == {
        "web-secret"
    }
    assert {service for (uid, service), may in decided.items() if uid == 1_002 and may} == {
        "db12",
        "all",
        "WEB-1",
    }
    assert all(may for (uid, _), may in decided.items() if uid in (0, 99))
    assert may_register(policy, Asker(1_002, 100, 0), "queue")  # its group is told by the kernel


def test_operators() -> None:
    """Root and the agent's own, and whom the policy names."""
    nobody, staff = Privileges(99, Policy()), Privileges(99, Policy(operators=("@staff",)))
    for asker in (Asker(0, 0, 0), Asker(99, 0, 0)):
        nobody.check_operator(asker, "leave")
    staff.check_operator(ALICE, "leave")

    with pytest.raises(Refused, match="uid 99"):
        nobody.check_operator(ALICE, "leave")
    with pytest.raises(Refused, match="@staff"):
        staff.check_operator(STRANGER, "leave")


def test_names_are_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while: a user may have left a group."""
    now = [0.0]
    known = Privileges(99, Policy(operators=("@staff",)), lambda: now[0])
    known.check_operator(ALICE, "leave")
    monkeypatch.setitem(NAMES, 1_001, ("alice", []))
    known.check_operator(ALICE, "leave")
    now[0] += privileges.KNOWN_SECONDS + 1
    with pytest.raises(Refused):
        known.check_operator(ALICE, "leave")


def test_the_system_s_own_users() -> None:
    """As the user database has them; who is not in it has numbers."""
    assert {"0", "root", "@0", "@root"} <= LOOKED_UP(0, 0)
    assert {"4001", "@65534"} <= LOOKED_UP(4_001, 65_534)


def test_a_registration_that_the_policy_forbids() -> None:
    """Nothing is done; it counts at once when it was read again."""

    async def story(world: World) -> None:
        asker = Asker(4_001, 4_001, 0)
        what = {"service": "web", "lifetime": ["lease", 60_000]}
        call = Register("web", lifetime=LifetimeWish("static"))
        world.privileges.policy = Policy(register=(("web", ("alice",)),))
        assert refusal(world, "register", asker, **what).kind == "policy"
        with pytest.raises(Refused):
            world.registrar.rehearse(call, asker)
        world.privileges.policy = Policy(register=(("web", ("4001",)),))
        world.registrar.rehearse(call, asker)
        assert world.story() == []
        assert world.ask("register", asker, **what).owner.uid == 4_001

    in_world(story)


def written(directory: Path, text: str) -> config.Config:
    """Load a file with this policy."""
    file = directory / "agent.toml"
    file.write_text(f"node = 'n'\n[policy]\n{text}\n")
    return config.load(file, {}, {})


def test_in_the_file(tmp_path: Path) -> None:
    """In the order in which it is written, and it is read again while the agent runs."""
    text = 'verify_ports = true\noperators = ["alice", 1000]\n'
    text += 'register = { "web*" = ["www"], "*" = [] }'

    assert written(tmp_path, text).policy == Policy(
        (("web*", ("www",)), ("*", ())), ("alice", "1000"), verify_ports=True
    )
    assert "policy" in config.LIVE
    environment = {"DISCOAGENT_POLICY__OPERATORS": "alice,@staff"}
    loaded = config.load(tmp_path / "agent.toml", {}, environment)
    assert loaded.policy.operators == ("alice", "@staff")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("verify_ports = 1", "policy.verify_ports must be true or false"),
        ("operators = 'alice'", "policy.operators must be a list"),
        ("operators = ['@']", "policy.operators must be a list"),
        ("register = ['web']", "policy.register must be a table"),
        ("register = { web = 'www' }", "policy.register of 'web' must be a list"),
        ("registre = {}", "did you mean policy.register"),
    ],
)
def test_what_is_wrong_with_it(text: str, said: str, tmp_path: Path) -> None:
    """Is named as every key is."""
    with pytest.raises(ConfigError, match=said):
        written(tmp_path, text)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_real_agent() -> None:
    """Of another user, by the local socket; operators may run the node."""

    def asked(agent_socket: str, operation: str, **arguments: object) -> int:
        with Raw(agent_socket) as raw:
            try:
                raw.ask(operation, **arguments)
            except DiscoError as error:
                return error.code
            return 0

    settings = {
        "socket_mode": "0666",
        "policy.operators": '["4001"]',
        "policy.register": '{ "db*" = ["4001"] }',
    }
    with scratch_directory() as directory, start_agent(directory, settings=settings) as agent:
        lease = ["lease", 60_000]

        def everything() -> list[int]:
            return [
                asked(agent.socket, "register", service="db-1", lifetime=lease),
                asked(agent.socket, "register", service="web", lifetime=lease, id="w"),
                asked(agent.socket, "drain"),
                asked(agent.socket, "reload", dry_run=True),
            ]

        assert as_user(4_001, everything) == [0, 0, 0, 0]
        assert as_user(4_002, everything) == [4, 6, 4, 4]
