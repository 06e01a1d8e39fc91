"""Changing and renewing instances: what may be changed, and by whom."""

import signal

from discoagent.errors import InvalidRequest, NoInstance, Refused
from discoagent.local.host.owners import Asker
from tests.agent.local_world import ME, ROOT, STRANGER, World, a_process, in_world, refusal


def test_update() -> None:
    """What is named changes, the rest stays; nothing that differs, no event."""

    async def story(world: World) -> None:
        world.ask("register", service="web", port=80, tags=["a", "b"], meta={"x": "1", "y": "2"})
        after = world.ask(
            "update", id="web/web-80@a", tag=["c"], untag=["a"], set={"z": "3"}, unset=["x", "no"]
        )
        assert (after.port, after.tags) == (80, ("b", "c"))
        assert dict(after.meta) == {"y": "2", "z": "3"}
        assert world.story()[1:] == [("updated", "updated")]

        assert world.ask("update", id="web-80", tag=["b"], set={"z": "3"}) == after
        assert len(world.events) == 2

        whole = world.ask("update", id="web-80", tags=["q"], meta={}, port=None, address="::1")
        assert (whole.tags, dict(whole.meta), whole.port, whole.address) == (
            ("q",),
            {},
            None,
            "::1",
        )

    in_world(story)


def test_update_keeps_the_bounds() -> None:
    """Additions count together with what is there."""

    async def story(world: World) -> None:
        tags = [f"t{i}" for i in range(64)]
        meta = {f"k{i}": "v" for i in range(64)}
        world.ask("register", service="web", port=80, tags=tags, meta=meta)

        assert refusal(world, "update", id="web-80", tag=["one-more"]).field == "tag"
        assert refusal(world, "update", id="web-80", set={"more": ""}).field == "set"
        large = {f"k{i}": "v" * 1024 for i in range(64)}
        assert refusal(world, "update", id="web-80", meta=large).field == "meta"
        assert refusal(world, "register", service="big", meta=large).field == "meta"
        world.ask("update", id="web-80", tag=["one-more"], untag=["t0"])

    in_world(story)


def test_one_s_own_alone() -> None:
    """With `own` only the owner ends it: the process, or the user of a lease."""

    async def story(world: World) -> None:
        with a_process() as other:
            world.ask("register", service="x", lifetime=["process", other.pid])
            world.ask("register", service="x", id="mine")
            world.ask("register", service="x", id="lease", lifetime=["lease", 60_000])

            error = refusal(world, "deregister", id=f"x-{other.pid}", own=True)
            assert isinstance(error, NoInstance)
            world.ask("deregister", ME._replace(pid=other.pid), id=f"x-{other.pid}", own=True)
            world.ask("deregister", id="mine", own=True)
            world.ask("deregister", ME._replace(pid=0), id="lease", own=True)

    in_world(story)


def test_who_may_change() -> None:
    """Another user may neither change, renew nor remove; root may."""

    async def story(world: World) -> None:
        owner = Asker(4_000, 4_000, 0)
        world.ask("register", owner, service="x", lifetime=["lease", 60_000])
        for operation in ("update", "renew", "deregister"):
            error = refusal(world, operation, STRANGER, id="x")
            assert isinstance(error, Refused)
            assert "4000" in error.message
        world.ask("renew", owner, id="x")
        world.ask("update", ROOT, id="x", tag=["t"])
        world.ask("deregister", ROOT, id="x")

        assert [word for _, word in world.story()] == ["registered", "updated", "deregistered"]

    in_world(story)


def test_renew_is_for_leases() -> None:
    """Others have nothing to renew."""

    async def story(world: World) -> None:
        world.ask("register", service="web", port=80)
        world.ask("register", service="s", lifetime=["static"])

        assert isinstance(refusal(world, "renew", id="web-80"), InvalidRequest)
        assert isinstance(refusal(world, "renew", id="s"), InvalidRequest)
        assert isinstance(refusal(world, "renew", id="none"), NoInstance)

    in_world(story)


def test_ids_that_fit_several() -> None:
    """All are named, and nothing happens."""

    async def story(world: World) -> None:
        world.ask("register", service="web", id="one")
        world.ask("register", service="db", id="one")
        error = refusal(world, "deregister", id="one")

        assert isinstance(error, InvalidRequest)
        assert error.kind == "ambiguous"
        assert "db/one@a, web/one@a" in error.message
        assert world.ask("deregister", id="db/one").service == "db"
        assert world.ask("deregister", id="one@a").service == "web"

    in_world(story)


def test_one_process_keeps_many() -> None:
    """All of a process's entries end together, in the order in which they came."""

    async def story(world: World) -> None:
        with a_process() as other:
            for number in range(5):
                lifetime = ["process", other.pid]
                world.ask("register", service="web", id=f"w{number}", lifetime=lifetime)
            world.ask("deregister", id="w2")
            assert len(world.lifetimes.processes) == 2
            other.send_signal(signal.SIGKILL)
            await world.event(10)

        gone = [event.before.id for event in world.events[6:] if event.before]
        assert gone == ["w0", "w1", "w3", "w4"]
        assert not [entry for entry in world.replica.own if entry.shown]
        assert len(world.lifetimes.processes) == 1

    in_world(story)
