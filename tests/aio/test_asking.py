"""`AsyncDisco` against a real agent: whatever can be asked, and how it is refused."""

import asyncio
from functools import partial

import pytest

from discoagent.aio import AsyncDisco
from discoagent.checks import Check
from discoagent.client.calls import Spec
from discoagent.errors import (
    AgentUnavailable,
    Conflict,
    DiscoError,
    InvalidRequest,
    NoInstance,
    Refused,
)
from tests.agent.harness import AgentProcess
from tests.aio.stories import error_of, run, with_client


def test_queries(agent: AgentProcess) -> None:
    async def story(disco: AsyncDisco) -> None:
        greeting = await disco.hello()
        assert (greeting.node, greeting.pid) == ("a", agent.pid)
        assert (await disco.ping())["node"] == "a"
        assert [it.node for it in await disco.members()] == ["a"]
        assert (await disco.status(ready=5))["ready"]
        assert (await disco.converged())["converged"]
        await disco.register("query", id="1", port=80, tags=["x"], meta={"zone": "a"})
        await disco.register("query", id="2", port=81)

        assert [it.id for it in await disco.list("query")] == ["1", "2"]
        assert [it.id for it in await disco.list("query", tag="x")] == ["1"]
        assert [it.id for it in await disco.list("query", filter="port > 80")] == ["2"]
        assert (await disco.get("query/1@a")).port == 80
        assert (await disco.resolve("query", prefer={"zone": "a"})).id == "1"
        counts = {it["service"]: it["total"] for it in await disco.services()}
        assert counts["query"] == 2
        assert (disco.partial, disco.stale) == (False, None)

    with_client(agent.socket, story)


def test_the_past(agent: AgentProcess) -> None:
    async def story(disco: AsyncDisco) -> None:
        held = await disco.register("past", id="1", port=80)
        (added,) = await disco.history("past/1")
        assert added.seen_at is not None
        await held.close()

        assert [it.cause for it in await disco.why_instance("past/1")] == [
            "registered",
            "deregistered",
        ]
        assert await disco.history(since="1ms") == [] or disco.missing is None
        assert [it.port for it in await disco.at(added.seen_at, "past")] == [80]
        assert await disco.at("-1h", "past") == []
        assert disco.missing is not None
        assert disco.missing.since is None

    with_client(agent.socket, story)


def test_what_an_operator_asks(agent: AgentProcess) -> None:
    async def story(disco: AsyncDisco) -> None:
        assert "discoagent_ready" in await disco.metrics()
        assert (await disco.settings())["node"] == "a"
        assert (await disco.reload(dry_run=True))["dry_run"]
        assert isinstance(await error_of(disco.why("nobody")), NoInstance)
        assert isinstance(await error_of(disco.forget("nobody")), NoInstance)
        async with AsyncDisco(agent.socket, timeout=0.5) as hurried:
            (joined,) = await hurried.join(["127.0.0.1:1"])
        assert not joined["ok"]
        lines = disco.monitor("debug")
        first = asyncio.ensure_future(anext(lines))
        level = await disco.log_level()
        await disco.log_level("debug")
        assert (await first).level in ("warning", "debug", "info")
        await disco.log_level(level)
        await lines.aclose()  # type: ignore[attr-defined]

    with_client(agent.socket, story)


def test_registrations_are_changed_by_hand_and_by_id(agent: AgentProcess) -> None:
    async def story(disco: AsyncDisco) -> None:
        web = await disco.register("own", port=80, tags=["a"], wait_seen="all")
        assert web.seen == {"seen": [], "missing": [], "slowest": None}
        assert web.name == "own/own-80@a"
        assert (await web.update(tag="b")).tags == ("a", "b")
        assert (await disco.update("own-80", port=81)).port == 81
        assert web.instance.port == 81
        lease = await disco.register("own", id="lease", ttl="30s")
        await lease.renew()
        assert (await disco.renew("own/lease")).lifetime.ttl_ms == 30_000
        async with await disco.register("own", id="checked", check=Check.ttl("60s")) as checked:
            assert (await checked.ttl("pass")).state == "passing"
            assert (await disco.ttl("own/checked", "warn", "slow")).state == "warning"
        assert isinstance(await error_of(disco.get("own/checked")), NoInstance)
        assert [it.state for it in await disco.maint("own/lease")] == ["maint"]
        assert [it.state for it in await disco.maint("own/lease", on=False)] == ["passing"]
        assert [it["last"] for it in await disco.drain_plan("own/lease")] == [False]
        assert [it.state for it in await disco.drain("own/lease")] == ["draining"]

        assert (await disco.deregister("own/lease")).id == "lease"
        assert isinstance(await error_of(disco.deregister("own/lease")), NoInstance)
        assert isinstance(await error_of(lease.update(port=1)), NoInstance)
        await web.close()
        await web.close()
        assert isinstance(await error_of(web.update(port=1)), NoInstance)
        assert await disco.list("own", all=True) == []

    with_client(agent.socket, story)


def test_many_are_registered_in_order_with_errors_in_place(agent: AgentProcess) -> None:
    async def story(disco: AsyncDisco) -> None:
        specs = [Spec("many", id=str(n), port=1) for n in range(1_200)]
        specs[3] = Spec("many", ttl="soon")
        specs[5] = Spec("many", port=70_000)

        results = await disco.register_many(specs)

        assert [type(it) for it in results[3:6:2]] == [InvalidRequest, InvalidRequest]
        ids = [it.instance.id for it in results if not isinstance(it, DiscoError)]
        assert ids == [str(n) for n in range(1_200) if n not in (3, 5)]
        assert len(await disco.list("many")) == 1_198

    with_client(agent.socket, story)
    assert with_client(agent.socket, partial(AsyncDisco.list, all=True)) == []


def test_the_newest_handle_owns_the_entry(agent: AgentProcess) -> None:
    async def story(disco: AsyncDisco) -> None:
        older = await disco.register("twice", id="x", port=1)
        newest = await disco.register("twice", id="x", port=2)
        await older.close()
        assert (await disco.get("twice/x")).port == 2
        assert older.instance.port == 2
        await newest.close()
        assert await disco.list("twice") == []

    with_client(agent.socket, story)


def test_refusals_are_raised(agent: AgentProcess) -> None:
    async def story(disco: AsyncDisco) -> None:
        error = await error_of(disco.register("no", port=0))
        assert (type(error), error.field) == (InvalidRequest, "port")
        await disco.register("no", id="x", pid=agent.pid)
        assert isinstance(await error_of(disco.register("no", id="x")), Conflict)
        assert isinstance(await error_of(disco.may_register(Spec("no", id="x"))), Conflict)
        await disco.may_register(Spec("no", id="y"))
        assert isinstance(await error_of(disco.deregister("no/x", cause="exit:1")), Refused)
        await disco.deregister("no/x")
        assert isinstance(await error_of(disco.resolve("no")), NoInstance)
        assert isinstance(await error_of(disco.wait_seen(0)), InvalidRequest)
        with pytest.raises(DiscoError):
            disco.watch(filter="port >")

    with_client(agent.socket, story)


def test_presence(agent: AgentProcess) -> None:
    async def story(disco: AsyncDisco) -> None:
        alice = await disco.track("room:1", "alice", {"device": "tv"})
        bob = await disco.track("room:1", "bob", ttl="30s")
        assert list(await disco.presence("room:1")) == ["alice", "bob"]
        assert (await alice.update({"device": "phone"}))["device"] == "phone"
        assert alice.meta == (await disco.presence("room:1"))["alice"][0]
        await bob.renew()
        assert (await disco.retrack("room:1", bob.ref, {"n": 1})).meta == {"n": 1}
        assert [it["topic"] for it in await disco.presence()] == ["room:1"]
        assert [it.key for it in await disco.tracked("room:1")] == ["alice", "bob"]

        assert (await disco.untrack("room:1", bob.ref)).key == "bob"
        assert isinstance(await error_of(bob.update({})), NoInstance)
        await alice.close()
        assert await disco.presence("room:1") == {}

    with_client(agent.socket, story)


def test_thousands_at_a_time_are_answered(agent: AgentProcess) -> None:
    """More than are asked at once."""

    async def story(disco: AsyncDisco) -> None:
        pings = await asyncio.gather(*(disco.ping() for _ in range(2_000)))
        assert {it["node"] for it in pings} == {"a"}

    with_client(agent.socket, story)


# -- where it may be used --------------------------------------------------------------------------


def test_nobody_listening_is_told_at_once_with_the_path(path: str) -> None:
    async def story(disco: AsyncDisco) -> None:
        for asked in (disco.list(), disco.register("web"), disco.watch()):
            error = await error_of(asked)
            assert isinstance(error, AgentUnavailable)
            assert path in str(error)

    with_client(path, story, timeout=60)


def test_after_close_everything_says_so(agent: AgentProcess) -> None:
    async def story() -> None:
        disco = AsyncDisco(agent.socket)
        await disco.ping()
        await disco.close()
        await disco.close()
        for asked in (disco.ping(), disco.register("web")):
            assert (await error_of(asked)).kind == "closed"
        with pytest.raises(DiscoError, match="closed"):
            disco.watch()

    run(story())


def test_another_loop_is_refused(agent: AgentProcess) -> None:
    disco = AsyncDisco(agent.socket)
    with asyncio.Runner() as first:
        first.run(disco.ping())

        error = run(error_of(disco.ping()))
        first.run(disco.close())

    assert error.kind == "loop"
