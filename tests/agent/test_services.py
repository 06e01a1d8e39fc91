"""Service files: what is read, what is wrong by line and field, and what a reload changes."""

import os
import socket
from pathlib import Path

import pytest

from discoagent.checks import Check
from discoagent.errors import Refused
from discoagent.instance import Instance, Owner, pack_actor
from discoagent.local.entries import service_reader, services
from discoagent.local.entries.service_files import Outcome
from discoagent.local.entries.services import WrongFileError
from tests.agent.local_world import ME, World, in_world, refusal

WEB = """
# The front.
[[service]]
name = "web"
port = 8080
tags = ["v2"]
meta = { version = "1.2" }
check = [{ http = "http://h:8080/health", interval = "5s", timeout = "1s", rise = 2, fall = 3 }]

[[service]]
name = "db"
id = "main"
address = "db.internal"
user = 1000
check = { exec = ["pg_isready", "-q"] }
"""


def test_a_file() -> None:
    """As the contract shows it."""
    web, db = services.read("web.toml", WEB)

    assert (web.call.service, web.id, web.call.port) == ("web", "web-8080", 8080)
    assert (web.call.tags, web.call.meta) == (("v2",), {"version": "1.2"})
    assert web.call.checks == (Check.http("http://h:8080/health", "5s", "1s", rise=2, fall=3),)
    assert (db.id, db.call.address, db.user) == ("main", "db.internal", 1000)
    assert db.call.checks == (Check.exec(["pg_isready", "-q"]),)
    assert (web.line, db.line) == (3, 10)
    assert services.read("empty.toml", "") == []


@pytest.mark.parametrize(
    ("text", "line", "field", "said"),
    [
        ("[[service]\n", 1, None, "Expected"),
        (f"service = {'[' * 9_999}", None, None, "recursion"),
        (f"service = {'9' * 9_999}", None, None, "digits"),
        ("name = 'web'\n", 1, "name", "no such key"),
        ("[[service]]\nname = 'a'\n[server]\n", 3, "server", "no such key"),
        ("service = 5\n", 1, "service", r"\[\[service\]\]"),
        ("service = [5]\n", 1, "service", r"\[\[service\]\]"),
        ("[[service]]\n# nothing\n", 1, "name", "required"),
        ("[[service]]\nname = 'a'\n\n[[service]]\nname = 'b'\nport = 'x'\n", 6, "port", "port"),
        ("[[service]]\nname = 'a b'\n", 2, "name", "1 to 128"),
        ("[[service]]\nname = 'a'\nprot = 5\n", 3, "prot", "no such key of a service"),
        ("[[service]]\nname = 'a'\n  'tags' = 'x'\n", 3, "tags", "list"),
        ("[[service]]\nname = 'a'\nmeta.zone = 5\n", 3, "meta", "string"),
        ("[[service]]\nname = 'a'\n[service.meta]\nzone = 5\n", 3, "meta", "string"),
        ("[[service]]\nname = 'a'\ncheck = 'tcp'\n", 3, "check", "tables"),
        ("[[service]]\nname = 'a'\ncheck = [{ ping = true }]\n", 3, "check", "one of"),
        ("[[service]]\nname = 'a'\ncheck = [{ tcp = true }]\n", 3, "check", "port"),
        ("[[service]]\nname = 'a'\nuser = -1\n", 3, "user", "name or uid"),
        ("service = [{ name = 'a', port = 0 }]\n", 1, "port", "port"),
        (f"[[service]]\nname = '{'x' * 128}'\nport = 1\n", 1, "id", "1 to 128"),
    ],
)
def test_what_is_wrong(text: str, line: int | None, field: str | None, said: str) -> None:
    """Is named with the line and the field."""
    with pytest.raises(WrongFileError, match=said) as caught:
        services.read("x.toml", text)

    assert (caught.value.problem.line, caught.value.problem.field) == (line, field)
    assert str(caught.value).startswith(f"x.toml:{line}: " if line else "x.toml: ")


class Files:
    """A directory of service files, and what its world makes of them."""

    def __init__(self, world: World, directory: Path) -> None:
        self._world = world
        self._directory = directory

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        (self._directory / name).write_text(text, encoding="utf-8")

    def remove(self, name: str) -> None:
        """Remove a file."""
        (self._directory / name).unlink()

    def apply(self, *, dry_run: bool = False) -> Outcome:
        """Read them all."""
        return self._world.own.services.apply(dry_run=dry_run)

    def told(self, *, dry_run: bool = False) -> list[tuple[str, str]]:
        """Read them all; return what changed, of which nothing was a problem."""
        outcome = self.apply(dry_run=dry_run)
        assert outcome.problems == []
        return [(change.change, change.id) for change in outcome.changes]


def one(name: str, more: str = "") -> str:
    """Return the text of a file of one service."""
    return f"[[service]]\nname = '{name}'\n{more}\n"


def test_a_reload_is_a_difference(tmp_path: Path) -> None:
    """Added, nothing, updated, removed; an event each, by the reload."""

    async def story(world: World) -> None:
        files = Files(world, tmp_path)
        files.write("a.toml", one("a") + one("b"))
        files.write("c.toml", one("c"))
        assert files.told() == [("added", "a"), ("added", "b"), ("added", "c")]
        assert files.told() == []
        files.write("a.toml", one("a", "tags = ['x']"))
        files.remove("c.toml")
        expected = [("updated", "a"), ("removed", "b"), ("removed", "c")]
        assert files.told(dry_run=True) == expected
        assert len(world.events) == 3
        assert files.told() == expected
        actor = pack_actor(Owner(0, 5))
        world.own.services.apply(actor=actor)

        assert world.story() == [
            *[("added", "reload")] * 3,
            ("updated", "reload"),
            *[("removed", "reload")] * 2,
        ]
        (left,) = [Instance.from_row(row) for row in rows(world)]
        assert (left.lifetime.kind, left.owner.uid, left.tags) == ("static", os.getuid(), ("x",))

    in_world(story, services_dir=str(tmp_path))


def rows(world: World) -> list[tuple[str, str, str, str, bytes, bytes]]:
    """Return the instances of this node."""
    return [world.own.registrar._entries.row(it) for it in world.own.registrar._entries.services()]


def test_an_unchanged_service_keeps_its_check_state(tmp_path: Path) -> None:
    """Also where its interval changes, and where operators have put it."""

    async def story(world: World) -> None:
        files = Files(world, tmp_path)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            target = f"127.0.0.1:{listener.getsockname()[1]}"
            check = f"check = [{{ tcp = '{target}', interval = '100ms', fall = 1 }}]"
            files.write("a.toml", one("a", check))
            files.apply()
            await world.event(2)
            files.write("b.toml", one("b"))
            assert files.told() == [("added", "b")]
            files.write("a.toml", one("a", check.replace("100ms", "60s")))
            assert files.told() == [("updated", "a")]

            assert Instance.from_row(rows(world)[0]).state == "passing"

    in_world(story, services_dir=str(tmp_path))


def test_a_bad_file_changes_nothing_of_its_own(tmp_path: Path) -> None:
    """What it wanted before stays, the rest is applied; and when it is mended all is as it says."""

    async def story(world: World) -> None:
        files = Files(world, tmp_path)
        files.write("a.toml", one("a") + one("a2"))
        files.write("b.toml", one("b"))
        files.apply()
        files.write("a.toml", one("a", "port = 'no'"))
        files.write("b.toml", one("b", "port = 5"))
        outcome = files.apply()
        changed = [(change.change, change.id) for change in outcome.changes]
        assert changed == [("added", "b-5"), ("removed", "b")]
        assert [(problem.line, problem.field) for problem in outcome.problems] == [(3, "port")]
        files.write("a.toml", one("a"))
        assert files.told() == [("removed", "a2")]

    in_world(story, services_dir=str(tmp_path))


def test_a_directory_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    """Nobody knows what is in it; where it is gone, nothing is wanted."""
    directory, aside = tmp_path / "services.d", tmp_path / "aside"
    directory.mkdir()

    async def story(world: World) -> None:
        files = Files(world, directory)
        files.write("a.toml", one("a"))
        files.apply()
        directory.rename(aside)
        directory.write_text("")
        outcome = files.apply()
        assert outcome.changes == []
        assert [it.message for it in outcome.problems] == ["Not a directory"]
        directory.unlink()
        assert files.told() == [("removed", "a")]

    in_world(story, services_dir=str(directory))


def test_what_came_of_which_file_is_not_known_after_a_restart(tmp_path: Path) -> None:
    """While any file is bad, nothing is taken for unwanted."""

    async def story(world: World) -> None:
        files = Files(world, tmp_path)
        files.write("a.toml", one("a"))
        files.write("b.toml", one("b"))
        files.apply()
        world.own.services._origins.clear()
        files.write("b.toml", "nonsense")
        files.remove("a.toml")
        assert files.apply().changes == []
        files.remove("b.toml")
        assert files.told() == [("removed", "a"), ("removed", "b")]

    in_world(story, services_dir=str(tmp_path))


def test_twice_the_same(tmp_path: Path) -> None:
    """The second one is named, the first one counts."""

    async def story(world: World) -> None:
        files = Files(world, tmp_path)
        files.write("a.toml", one("a", "tags = ['first']"))
        files.write("b.toml", one("b") + one("a"))
        outcome = files.apply()
        (problem,) = outcome.problems
        assert (Path(problem.file).name, problem.line) == ("b.toml", 4)
        assert "a.toml:1 already" in problem.message
        assert [change.id for change in outcome.changes] == ["a", "b"]

    in_world(story, services_dir=str(tmp_path))


def test_by_hand_and_by_file(tmp_path: Path) -> None:
    """Neither takes over from the other; what has ended is no obstacle."""

    async def story(world: World) -> None:
        files = Files(world, tmp_path)
        world.ask("register", service="a", id="a", lifetime=["static"])
        files.write("a.toml", one("a"))
        (problem,) = files.apply().problems
        assert "a/a is registered by uid" in problem.message
        world.ask("deregister", id="a")
        assert files.told() == [("added", "a")]
        assert refusal(world, "register", service="a", id="a", lifetime=["static"]).code == 6
        assert world.ask("update", id="a", tag=["by hand"]).tags == ("by hand",)
        assert files.told() == [("updated", "a")]
        world.ask("deregister", id="a")
        assert files.told() == [("added", "a")]

    in_world(story, services_dir=str(tmp_path))


def test_another_user_s_service(tmp_path: Path) -> None:
    """That user may say how it is; another owner is an update."""

    async def story(world: World) -> None:
        files = Files(world, tmp_path)
        files.write("a.toml", one("a", "user = 4001\ncheck = [{ ttl = '1h' }]"))
        files.apply()
        asker = ME._replace(uid=4001, pid=0)
        assert world.ask("ttl", asker, id="a", word="pass").state == "passing"
        with pytest.raises(Refused):
            world.ask("ttl", ME._replace(uid=4002, pid=0), id="a", word="pass")
        files.write("a.toml", one("a", "check = [{ ttl = '1h' }]"))
        assert files.told() == [("updated", "a")]
        files.write("a.toml", one("a", "user = 'nobody-at-all'"))
        assert files.apply().problems[0].field == "user"

    in_world(story, services_dir=str(tmp_path))


def test_files_that_anybody_could_have_written(tmp_path: Path) -> None:
    """Are not read: what is in them is done by the agent."""
    path = tmp_path / "a.toml"
    path.write_text(one("a"))
    path.chmod(0o666)
    wanted, (problem,) = service_reader.read_all(str(tmp_path), os.getuid())
    assert (wanted, problem.message) == ({}, "can be written by everybody")

    path.chmod(0o644)
    assert len(service_reader.read_all(str(tmp_path), os.getuid())[0]) == 1
    if os.geteuid() == 0:
        os.chown(path, 4_001, 0)
        assert len(service_reader.read_all(str(tmp_path), 4_001)[0]) == 1
        _, (problem,) = service_reader.read_all(str(tmp_path), 0)
        assert problem.message.startswith("belongs to uid 4001")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Each is named; other names are passed by."""
    (tmp_path / "bytes.toml").write_bytes(b"\n\xff")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "large.toml").write_text("#" * (services.BYTES_MAX + 1))
    (tmp_path / "other.txt").write_text("nonsense")
    os.mkfifo(tmp_path / "pipe.toml", 0o600)
    wanted, problems = service_reader.read_all(str(tmp_path), os.getuid())

    assert wanted == {}
    assert [(Path(it.file).name, it.line) for it in problems] == [
        ("bytes.toml", 2),
        ("folder.toml", None),
        ("large.toml", None),
        ("pipe.toml", None),
    ]
    assert problems[-1].message == "is no regular file"
    assert service_reader.read_all(str(tmp_path / "none"), 0) == ({}, [])
    assert service_reader.read_all(None, 0) == ({}, [])
    assert len(service_reader.read_all(str(tmp_path / "other.txt"), 0)[1]) == 1
