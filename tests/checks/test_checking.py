"""The checks of entries: what they make of the entry's state, and who is told."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from discoagent.checks import Check
from discoagent.errors import InvalidRequest, Refused
from discoagent.instance import Instance
from discoagent.local.entries.admission import Admission
from discoagent.local.entries.checks import web
from discoagent.local.entries.checks.tcp import is_to_itself
from discoagent.local.host import capabilities
from discoagent.local.host.policy import Policy
from discoagent.local.host.privileges import Privileges
from discoagent.local.requests.parsing import parse_call
from tests.agent.local_world import ME, World, a_process, in_world, refusal, turn

DEADLINE = 10.0
STATIC = {"lifetime": ["static"]}


@contextmanager
def a_port() -> Iterator[socket.socket]:
    """A port on which somebody listens until it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def number(listener: socket.socket) -> int:
    """Return its port."""
    port: int = listener.getsockname()[1]
    return port


async def until(holds: Callable[[], object]) -> None:
    """Wait for what makes no event."""
    async with asyncio.timeout(DEADLINE):
        while not holds():
            await turn()


def output(world: World, name: str, place: int = 0) -> str:
    """Return what a check was told last."""
    return str(details(world, name)[place]["output"])


def tcp(port: int | None = None, **options: Any) -> dict[str, Any]:
    """Return a check that is made ten times a second."""
    target = None if port is None else f"127.0.0.1:{port}"
    options = {"interval": 0.1, "timeout": 5, "fall": 1, **options}
    return Check.tcp(target, **options).packed()


def admission(uid: int) -> Admission:
    """Return what an agent of that user admits by."""
    return Admission(uid, Privileges(uid, Policy()))


def states(world: World) -> list[str]:
    """Return the state that each event told."""
    instances = (
        Instance.of(event.entry.name, event.entry.id, "a", "", event.entry.owner, event.entry.body)
        for event in world.events
        if event.entry is not None and isinstance(event.entry.body, bytes)
    )
    return [instance.state for instance in instances]


def details(world: World, name: str) -> list[dict[str, Any]]:
    """Return what `get` shows of the checks."""
    shown = world.queries.resolve(parse_call("get", {"id": name}).id)  # type: ignore[union-attr,arg-type]
    return world.registrar.known_of_checks(shown)


def test_a_port_that_comes_and_goes() -> None:
    """Pending, passing, critical, and passing again: an event each, of the check's doing."""

    async def story(world: World) -> None:
        with a_port() as listener:
            port = number(listener)
            made = world.ask(
                "register", service="web", port=port, address="127.0.0.1", checks=[tcp()], **STATIC
            )
            assert made.state == "pending"
            await world.event(2)
        await world.event(3)
        with socket.create_server(("127.0.0.1", port)):
            event = await world.event(4)

        assert states(world) == ["pending", "passing", "critical", "passing"]
        assert world.story() == [("added", "registered")] + [("updated", "check")] * 3
        assert event.cause.actor == b""

    in_world(story)


def test_only_the_usable_are_listed() -> None:
    """Pending and critical ones are not."""

    async def story(world: World) -> None:
        with a_port() as listener:
            world.ask("register", service="a", id="good", checks=[tcp(number(listener))], **STATIC)
            world.ask("register", service="a", id="never", checks=[tcp(1)], **STATIC)
            await world.event(3)
        usable = world.queries.rows(parse_call("list", {"usable": True}))  # type: ignore[arg-type]

        assert [row[1] for row in usable] == ["good"]

    in_world(story)


def test_the_worst_of_several_counts() -> None:
    """Each keeps its own state."""

    async def story(world: World) -> None:
        with a_port() as one, a_port() as two:
            checks = [tcp(number(one)), tcp(number(two))]
            world.ask("register", service="web", checks=checks, **STATIC)
            await world.event(3)
            assert states(world)[-1] == "passing"
            two.close()
            await world.event(4)

        entry = world.replica.own.get((1, "web", "web"))  # type: ignore[arg-type]
        assert entry is not None
        found = Instance.of("web", "web", "a", "", entry.owner, entry.body)  # type: ignore[arg-type]
        assert [check["state"] for check in found.checks] == ["passing", "critical"]
        assert found.state == "critical"

    in_world(story)


def test_names_are_looked_up_for_tcp() -> None:
    """And a name that does not exist is said."""

    async def story(world: World) -> None:
        with a_port() as listener:
            known = Check.tcp(f"localhost:{number(listener)}").packed()
            unknown = Check.tcp("nobody.invalid:1", fall=1).packed()
            world.ask("register", service="x", checks=[known, unknown], **STATIC)
            await world.event(2)
            await until(lambda: output(world, "x", 1))

            assert output(world, "x", 1).startswith("cannot look up nobody.invalid")

    in_world(story)


def test_a_port_that_does_not_answer() -> None:
    """An accept queue that is full lets nobody in."""

    async def story(world: World) -> None:
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for waiting in (first, second):
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            check = Check.tcp(f"127.0.0.1:{number(full)}", timeout=0.1, interval=0.1).packed()
            world.ask("register", service="x", checks=[check], **STATIC)
            await until(lambda: output(world, "x"))

        assert output(world, "x") == "no connection within 0.1 s"
        assert states(world) == ["pending"]

    in_world(story)


def test_a_connection_to_itself() -> None:
    """Is none: the kernel chose the port that nobody listens on for the end that connects."""
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        with socket.socket(family) as alone:
            alone.bind((host, 0))
            alone.connect(alone.getsockname())
            assert is_to_itself(alone)
        with (
            socket.create_server((host, 0), family=family) as listener,
            socket.create_connection(listener.getsockname()[:2]) as client,
        ):
            assert not is_to_itself(client)


def test_output_is_nobody_s_event() -> None:
    """A thousand checks whose output differs each time."""

    async def story(world: World) -> None:
        check = Check.ttl("1h").packed()
        for name in range(1_000):
            world.ask("register", service="x", id=f"x{name}", checks=[check], **STATIC)
            world.ask("ttl", id=f"x/x{name}", word="pass", note="first")
        events = len(world.events)
        assert events == 2_000
        for name in range(1_000):
            world.ask("ttl", id=f"x/x{name}", word="pass", note=f"{name} jobs")

        assert len(world.events) == events
        assert details(world, "x/x17")[0]["output"] == "17 jobs"

    in_world(story)


def test_a_ttl_check_needs_a_word_in_time() -> None:
    """Without one it fails, with the next it is well again."""

    async def story(world: World) -> None:
        world.ask("register", service="job", checks=[Check.ttl(0.1).packed()], **STATIC)
        passed = world.ask("ttl", id="job", word="pass")
        assert passed.state == "passing"
        event = await world.event(3)
        assert states(world)[-1] == "critical"
        assert event.cause.actor == b""
        assert details(world, "job")[0]["output"] == "nothing said for 0.1 s"
        warned = world.ask("ttl", id="job", word="warn", note="late")
        failed = world.ask("ttl", id="job", word="fail")

        assert (warned.state, failed.state) == ("warning", "critical")
        assert world.story()[1:] == [("updated", "check")] * 4
        assert world.events[-1].cause.actor != b""

    in_world(story)


def test_words_without_a_ttl_check() -> None:
    """Are refused; and a ttl check that never passed stays pending."""

    async def story(world: World) -> None:
        world.ask("register", service="plain", **STATIC)
        world.ask("register", service="job", checks=[Check.ttl(0.1).packed()], **STATIC)

        assert refusal(world, "ttl", id="plain", word="pass").field == "id"
        assert refusal(world, "ttl", id="job", word="well").field == "word"
        assert refusal(world, "ttl", ME._replace(uid=77, pid=0), id="job", word="pass").code == 4
        await until(lambda: output(world, "job"))
        assert world.story() == [("added", "registered")] * 2

    in_world(story)


def test_said_again_nothing_differs() -> None:
    """By the same owner: states are kept, and no event comes of it."""

    async def story(world: World) -> None:
        with a_port() as listener:
            what: dict[str, Any] = {"service": "x", "checks": [tcp(number(listener))]}
            world.ask("register", **what)
            await world.event(2)
            again = world.ask("register", **what)
            assert again.state == "passing"
            assert len(world.events) == 2
            slower = [tcp(number(listener), interval=60)]
            assert world.ask("register", **{**what, "checks": slower}).state == "passing"
            other = world.ask("register", **{**what, "checks": [tcp(1)]})
            assert other.state == "pending"

    in_world(story)


def test_who_takes_over_begins_anew() -> None:
    """What passed was another process."""

    async def story(world: World) -> None:
        with a_port() as listener, a_process() as other:
            what: dict[str, Any] = {"service": "x", "id": "x", "checks": [tcp(number(listener))]}
            world.ask("register", **what)
            await world.event(2)
            lifetime = ["process", other.pid]
            taken = world.ask("register", **what, lifetime=lifetime, replace=True)
            assert taken.state == "pending"
            await world.event(4)

        assert states(world) == ["pending", "passing", "pending", "passing"]

    in_world(story)


def test_checks_are_changed_and_taken_away() -> None:
    """By `update`; what is checked no more has no say."""

    async def story(world: World) -> None:
        world.ask("register", service="x", checks=[tcp(1)], **STATIC)
        assert world.ask("update", id="x", tag=["t"]).state == "pending"
        assert world.ask("update", id="x", checks=[]).state == "passing"
        assert world.own.checking._schedule.deadline() is None
        assert world.ask("update", id="x", checks=[tcp(1)]).state == "pending"
        world.ask("deregister", id="x")

        assert len(world.own.checking._schedule) == 0
        assert world.own.checking._entries == {}

    in_world(story)


def test_own_port_and_address_are_followed() -> None:
    """A check without an address asks where the instance is now."""

    async def story(world: World) -> None:
        with a_port() as one, a_port() as two:
            local = {"address": "127.0.0.1", "checks": [tcp()]}
            world.ask("register", service="x", id="x", port=number(one), **local, **STATIC)
            await world.event(2)
            one.close()
            world.ask("update", id="x", port=number(two))
            await until(lambda: output(world, "x"))

        assert states(world)[1:] == ["passing", "passing"]

    in_world(story)


def test_what_cannot_be_checked_is_refused() -> None:
    """Before anything is done."""

    async def story(world: World) -> None:
        assert "no" in refusal(world, "register", service="x", checks=[tcp()]).message
        http = Check.http("/").packed()
        assert refusal(world, "register", service="x", checks=[http]).field == "checks"
        world.ask("register", service="x", port=1, id="x", checks=[tcp()], **STATIC)
        assert refusal(world, "update", id="x", port=None).field == "checks"

    in_world(story)


def test_commands_are_run_as_their_owner_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An agent without the power to switch refuses them for everybody else."""
    (tmp_path / "status").write_text("CapEff:\t0\n")
    monkeypatch.setattr(capabilities, "OWN_STATUS", tmp_path / "status")
    check = (Check.exec(["true"]),)
    admission(1_000).check_checks(check, 1_000, None)

    with pytest.raises(Refused, match="would run as uid 1001"):
        admission(1_000).check_checks(check, 1_001, None)
    with pytest.raises(Refused, match="would run as uid 0"):
        admission(1_000).check_checks(check, 0, None)


def test_without_the_library_http_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the words that mend it."""
    monkeypatch.setattr(web, "available", lambda: False)

    with pytest.raises(InvalidRequest, match=r"pip install 'discoagent\[http\]'"):
        admission(0).check_checks((Check.http("http://h/"),), 0, None)


def test_a_library_that_went_away_changes_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade without it: what was known stays, and what is missing is shown."""

    async def story(world: World) -> None:
        check = Check.http("http://127.0.0.1:1/", interval=0.1, fall=1).packed()
        world.ask("register", service="x", checks=[check], **STATIC)
        monkeypatch.setattr(web, "available", lambda: False)
        await until(lambda: output(world, "x") == web.MISSING)

        assert states(world) == ["pending"]

    in_world(story)


def test_all_kinds_beside_each_other() -> None:
    """One that hangs, one that floods, one that is not there: the others are asked as ever."""

    async def story(world: World) -> None:
        def exec_(*command: str) -> dict[str, Any]:
            return Check.exec(command, interval=0.1, timeout=0.3, fall=1).packed()

        for name, command in {
            "hangs": ("sleep", "600"),
            "floods": ("yes",),
            "missing": ("no-such-command",),
            "fails": ("sh", "-c", "exit 3"),
        }.items():
            world.ask("register", service=name, checks=[exec_(*command)], **STATIC)
        with a_port() as listener:
            good = [tcp(number(listener)), exec_("echo", "well")]
            world.ask("register", service="good", checks=good, **STATIC)
            await world.event(7)
        for name in ("hangs", "floods", "missing", "fails"):
            await until(lambda name=name: output(world, name))  # type: ignore[misc]

        assert details(world, "good")[1]["output"] == "well"
        assert details(world, "missing")[0]["output"].startswith("cannot run no-such-command")
        assert details(world, "fails")[0]["output"] == "exit code 3"
        assert states(world)[:4] == ["pending"] * 4

    in_world(story)
