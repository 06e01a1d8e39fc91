"""Lists and watches with a filter: what they show, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoagent import filters
from discoagent.core.effects import Event, EventKind
from discoagent.core.entry import Cause, Entry, Kind
from discoagent.errors import InvalidRequest
from discoagent.filters import LENGTH_MAX
from discoagent.instance import Body, Lifetime, Owner, pack_owner
from discoagent.local.requests import queries
from discoagent.local.requests.queries import Scope
from tests.agent.harness import Raw, wait_until
from tests.agent.local_world import World, in_world, turn


def test_a_list_is_of_what_the_filter_wants(asker: Raw) -> None:
    """Together with all other conditions; overlays and rows are as without it."""
    asker.register("web", port=80, tags=["v2"], meta={"zone": "a"}, lifetime=["static"])
    asker.register("web", port=81, tags=["v1"], lifetime=["static"])
    asker.register("db", port=82, tags=["v2"], lifetime=["static"])

    def ports(expression: str, *services: str, **arguments: object) -> list[int | None]:
        return [it.port for it in asker.list(*services, filter=expression, **arguments)]

    assert ports('meta.zone != "a"') == [82, 81]
    assert ports('meta.zone != "a"', "web") == [81]
    assert ports("port >= 81", tags=["v2"]) == [82]
    assert ports('state == "passing" and owner.pid > 0', usable=True) == [82, 80, 81]
    assert ports("port > 99") == []


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("port >", "column 7"),
        ("", "column 1"),
        (" " * (LENGTH_MAX + 1), "at most 4096 characters"),
        (7, "must be a text"),
        (b"port > 1", "must be a text"),
    ],
)
def test_a_wrong_filter_is_refused_by_name(asker: Raw, expression: object, message: str) -> None:
    """By the agent too, whatever its client let pass."""
    for operation in ("list", "watch"):
        error = asker.refusal(operation, filter=expression)

        assert (error.code, error.field) == (InvalidRequest.code, "filter")
        assert message in error.message


def test_a_long_list_is_sifted_a_part_at_a_time(asker: Raw) -> None:
    """In order and whole; others are answered in between, even where nothing fits."""
    total = 2 * queries.SIFTED_PER_TURN + 10
    for number in range(total):
        asker.send("register", service="bulk", id=f"b{number:05}", port=1 + number)
    assert all(asker.receive()[1] == 0 for _ in range(total))

    def answered_in_between() -> bool:
        """Ask for both; the list is over sooner if the second question is late."""
        listed = asker.send("list", services=["bulk"], filter="port == null")
        pinged = asker.send("ping")
        answers = [asker.receive(), asker.receive()]
        assert [listed, 0, {"partial": False}] in answers
        return bool(answers[0][:2] == [pinged, 0])

    found = asker.list("bulk", filter=f"port in [1, {queries.SIFTED_PER_TURN + 1}, {total}]")
    assert [it.port for it in found] == [1, queries.SIFTED_PER_TURN + 1, total]
    wait_until(answered_in_between)


def test_a_watch_sees_what_comes_and_ceases_to_fit(asker: Raw) -> None:
    """As added and removed, with the cause of the change; what it does not want it never sees."""
    asker.register("web", port=80, meta={"zone": "a"}, lifetime=["static"])
    asker.register("web", port=81, lifetime=["static"])
    events = asker.watch("web", filter='meta.zone == "a" and port < 100')
    assert [it.instance and it.instance.id for it in events.present()] == ["web-80"]

    asker.ask("update", id="web-81", set={"zone": "a"})
    asker.ask("update", id="web-81", set={"zone": "a", "x": "y"})
    asker.ask("update", id="web-80", set={"zone": "b"})
    asker.ask("update", id="web-80", set={"zone": "c"})
    asker.ask("update", id="web-80", set={"zone": "a"})
    asker.register("web", port=100, meta={"zone": "a"}, lifetime=["static"])
    asker.ask("deregister", id="web-100")
    asker.ask("deregister", id="web-81")

    story = [next(events) for _ in range(5)]
    ids = [((it.instance or it.before).id, it.kind, it.cause) for it in story]  # type: ignore[union-attr]
    assert ids == [
        ("web-81", "added", "updated"),
        ("web-81", "updated", "updated"),
        ("web-80", "removed", "updated"),
        ("web-80", "added", "updated"),
        ("web-81", "removed", "deregistered"),
    ]
    came, _, went, _, _ = story
    assert (came.before, went.instance) == (None, None)
    assert came.instance is not None
    assert dict(came.instance.meta) == {"zone": "a"}
    assert went.before is not None
    assert went.before.meta["zone"] == "a"
    assert went.actor is not None


def test_a_token_and_a_filter(asker: Raw) -> None:
    """What was missed is told as it would have been."""
    asker.register("web", port=80, meta={"zone": "a"}, lifetime=["static"])
    number = asker.send("watch", filter='meta.zone == "a"')
    _, _, rows = asker.answer_to(number)
    token = rows[-1][6]
    asker.ask("cancel", watch=number)
    asker.ask("update", id="web-80", set={"zone": "b"})
    asker.register("db", lifetime=["static"])
    asker.ask("update", id="db", set={"zone": "a"})

    missed = asker.watch(filter='meta.zone == "a"', token=token).present()
    assert [(it.kind, (it.instance or it.before).id) for it in missed] == [  # type: ignore[union-attr]
        *(("removed", "web-80"), ("added", "db")),
    ]


def test_a_long_present_is_sifted_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is whole; what happens meanwhile follows."""
    monkeypatch.setattr(queries, "SIFTED_PER_TURN", 2)

    async def story(world: World) -> None:
        for number in range(9):
            world.ask("register", service="web", port=1 + number, lifetime=["static"])
        scope = Scope(wanted=filters.parse("port in [1, 9, 10]"))
        world.watches.begin(world.watches.open(b"w", 1, scope))
        await turn()
        assert [it.kind for it in world.told()] == ["added"]
        world.ask("register", service="web", port=10, lifetime=["static"])
        for _ in range(6):
            await turn()
        found = [(it.kind, it.instance and it.instance.port) for it in world.told()]
        assert found == [("added", 1), ("added", 9), ("synced", None), ("added", 10)]

    in_world(story)


OWNER = pack_owner(Owner(0), None, ("o",))
BODIES = st.builds(
    lambda port: Body("h", port, (), {}, "passing", Lifetime("static"), 1, 1, (1, 1)).pack(),
    st.integers(1, 4),
) | st.just(b"of another version")


@given(
    st.lists(st.tuples(st.sampled_from("xy"), st.none() | BODIES), max_size=12),
    st.sampled_from(["port == 1", "port > 2", 'id == "x"', "port == null", "not port == 1"]),
)
def test_events_replayed_are_what_fits(steps: list[tuple[str, bytes | None]], text: str) -> None:
    """Each makes sense to who saw those before it, and together they are what a list shows."""
    scope = Scope(wanted=filters.parse(text))
    there: dict[str, Entry] = {}
    seen: dict[str, Entry] = {}
    for key, body in steps:
        before = there.pop(key, None)
        entry = None if body is None else Entry(Kind.SERVICE, "web", key, OWNER, body)
        if entry is not None:
            there[key] = entry
        if entry == before:
            continue
        kind = EventKind.REMOVED if entry is None else EventKind.UPDATED
        kind = EventKind.ADDED if before is None else kind
        told = scope.view(Event(kind, "a", entry, before, Cause("updated", b"", 1), 7))
        if told is not None:
            assert told.before == seen.pop(key, None)
            assert (told.kind is EventKind.ADDED) == (told.before is None)
            assert (told.kind is EventKind.REMOVED) == (told.entry is None)
            assert (told.node, told.cause, told.clock) == ("a", Cause("updated", b"", 1), 7)
            if told.entry is not None:
                seen[key] = told.entry

    assert seen == {key: it for key, it in there.items() if scope.shows("a", it)}
