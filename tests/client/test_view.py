"""What a watch shows: the present, changes, and after a restart the true differences alone."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discoagent.client.view import MISSING_SECONDS_MAX, View
from discoagent.errors import DiscoError
from discoagent.instance import Event
from tests.client.specimens import CAUGHT_UP, SYNCED, added, removed, reset, row, updated


def told(events: list[Event]) -> list[tuple[str, str | None]]:
    """Return kind and name of events."""
    shown = []
    for event in events:
        instance = event.instance or event.before
        shown.append((event.kind, instance.name if instance else None))
    return shown


@pytest.fixture
def view() -> View[Event]:
    """Return a view that has shown one local and one remote instance."""
    view = View(Event.from_row)
    view.begin()
    view.receive([added(row()), added(row("db", "db-1", "b")), SYNCED], 0.0)
    return view


def test_the_present_comes_first_then_synced_then_changes() -> None:
    view = View(Event.from_row)
    view.begin()

    events = view.receive([added(row()), SYNCED, updated(row(port=81), row())], 0.0)
    events += view.receive([removed(row(port=81))], 0.0)

    assert [event.kind for event in events] == ["added", "synced", "updated", "removed"]
    assert events[2].before is not None
    assert events[2].before.port == 80
    assert events[3].cause == "deregistered"


def test_the_same_present_again_shows_nothing(view: View[Event]) -> None:
    view.begin()

    assert view.receive([added(row()), added(row("db", "db-1", "b")), SYNCED], 9.0) == []


def test_what_came_went_and_changed_meanwhile_is_shown(view: View[Event]) -> None:
    view.begin()

    batch = [added(row(port=81), "updated"), added(row("new", "n", "c")), SYNCED, CAUGHT_UP]
    events = view.receive(batch, 9.0)

    assert told(events) == [
        ("updated", "web/web-1@a"),
        ("added", "new/n@c"),
        ("removed", "db/db-1@b"),
    ]
    assert [event.cause for event in events] == ["updated", "registered", "unknown"]
    assert events[0].before is not None
    assert events[0].before.port == 80
    assert events[2].before is not None


def test_one_that_ended_and_was_registered_anew_unseen_is_an_update(view: View[Event]) -> None:
    view.begin()

    events = view.receive(
        [added(row(ref=(2, 1), pid=8)), added(row("db", "db-1", "b")), SYNCED], 9.0
    )

    assert [(event.kind, event.cause) for event in events] == [("updated", "unknown")]


@pytest.mark.parametrize("again", [row(overlay="restarting"), row(updated_ms=5)])
def test_the_nodes_state_and_the_time_of_an_update_are_no_difference(
    view: View[Event], again: Any
) -> None:
    view.begin()

    assert view.receive([added(again), added(row("db", "db-1", "b")), SYNCED], 9.0) == []


@pytest.mark.parametrize("lacking", ["web", "db"])
def test_what_a_restarted_agent_learns_before_it_has_caught_up_shows_nothing(
    view: View[Event], lacking: str
) -> None:
    """Local ones that its clients say again, and remote ones whose agents were restarted, too."""
    rows = {"web": row(), "db": row("db", "db-1", "b")}
    late = rows.pop(lacking)
    view.begin()

    events = view.receive([*map(added, rows.values()), SYNCED], 10.0)
    events += view.expire(10.4)
    events += view.receive([added(late)], 10.5)
    events += view.receive([CAUGHT_UP], 13.0)

    assert events == []
    assert view.deadline() is None
    assert view.expire(99.0) == []


def test_what_it_lacks_when_it_has_caught_up_is_gone(view: View[Event]) -> None:
    view.begin()
    assert view.receive([added(row("db", "db-1", "b")), SYNCED], 10.0) == []

    events = view.receive([CAUGHT_UP], 13.0)

    assert told(events) == [("removed", "web/web-1@a")]
    assert events[0].cause == "unknown"
    assert view.deadline() is None
    assert view.expire(99.0) == []


def test_what_is_missing_and_told_to_be_gone_has_the_true_cause(view: View[Event]) -> None:
    view.begin()
    view.receive([added(row("db", "db-1", "b")), SYNCED], 10.0)

    (event,) = view.receive([removed(row(), "exit"), CAUGHT_UP], 11.0)

    assert (event.kind, event.cause) == ("removed", "exit")


def test_what_comes_back_changed_is_an_update(view: View[Event]) -> None:
    view.begin()
    view.receive([added(row("db", "db-1", "b")), SYNCED], 10.0)

    assert told(view.receive([added(row(port=5), "replaced"), CAUGHT_UP], 11.0)) == [
        ("updated", "web/web-1@a")
    ]


def test_an_agent_that_never_catches_up_does_not_hold_the_dead(view: View[Event]) -> None:
    """It restarts in a loop, say."""
    for now in range(int(MISSING_SECONDS_MAX)):
        view.begin()
        assert view.expire(float(now)) == []
        assert view.receive([added(row("db", "db-1", "b")), SYNCED], float(now)) == []
    assert view.deadline() == MISSING_SECONDS_MAX

    assert told(view.expire(MISSING_SECONDS_MAX)) == [("removed", "web/web-1@a")]


def test_nothing_is_removed_in_the_middle_of_a_present(view: View[Event]) -> None:
    view.begin()
    view.receive([SYNCED], 0.0)
    view.begin()

    events = view.receive([added(row())], 1.0) + view.receive([CAUGHT_UP], 1.0)
    events += view.expire(MISSING_SECONDS_MAX)
    assert view.deadline() is None
    events += view.receive([added(row("db", "db-1", "b")), SYNCED], 20.0)

    assert events == []


def test_a_present_that_was_cut_off_goes_on_where_it_stood() -> None:
    view = View(Event.from_row)
    view.begin()
    first = view.receive([added(row())], 0.0)

    view.begin()
    second = view.receive([added(row()), added(row("db", "db-1", "b")), SYNCED], 1.0)

    assert told(first + second) == [
        ("added", "web/web-1@a"),
        ("added", "db/db-1@b"),
        ("synced", None),
    ]


def test_a_reset_becomes_the_differences(view: View[Event]) -> None:
    assert view.receive([reset(), added(row(port=81), "updated")], 1.0) == []

    assert told(view.receive([SYNCED, CAUGHT_UP], 1.0)) == [
        ("updated", "web/web-1@a"),
        ("removed", "db/db-1@b"),
    ]


def test_a_reset_of_one_node_leaves_the_others(view: View[Event]) -> None:
    batch = [reset("b"), added(row(id="2")), added(row("x", "x", "b")), SYNCED, CAUGHT_UP]

    assert told(view.receive(batch, 1.0)) == [
        ("added", "web/2@a"),
        ("added", "x/x@b"),
        ("removed", "db/db-1@b"),
    ]


def test_resets_within_resets_widen_them(view: View[Event]) -> None:
    batch = [reset("b"), added(row("x", "x", "b")), reset("a"), reset("b"), added(row()), SYNCED]
    events = view.receive([*batch, CAUGHT_UP], 1.0)

    assert told(events) == [("removed", "db/db-1@b")]


def test_changes_within_a_present_are_part_of_it(view: View[Event]) -> None:
    db = row("db", "db-1", "b")
    view.begin()

    events = view.receive([added(db), added(row()), removed(db), SYNCED, CAUGHT_UP], 1.0)

    assert told(events) == [("removed", "db/db-1@b")]


def test_nothing_is_shown_twice(view: View[Event]) -> None:
    assert view.receive([added(row()), updated(row(), row())], 1.0) == []
    assert view.receive([removed(row("no", "no"))], 1.0) == []
    assert view.receive([SYNCED], 1.0) == []


@pytest.mark.parametrize(
    "batch", [None, 5, [5], [[]], [["added", 1, None, None]], [["removed", 1, None, [1], 0]]]
)
def test_nonsense_is_an_error_of_the_protocol(view: View[Event], batch: Any) -> None:
    with pytest.raises(DiscoError) as caught:
        view.receive(batch, 1.0)

    assert caught.value.kind == "protocol"


# -- the law ---------------------------------------------------------------------------------------

KEYS = [(service, node) for service in ("s", "t") for node in ("a", "b", "c")]
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(1, 3)),
    st.tuples(st.just("remove"), st.sampled_from(KEYS), st.just(0)),
    st.tuples(st.sampled_from(["cut", "reset", "catch up"]), st.just(("", "")), st.just(0)),
    st.tuples(st.sampled_from(["restart", "reset one"]), st.sampled_from(KEYS), st.just(0)),
)


class Agent:
    """A table, as an agent would tell it to a watch.

    After a restart it does not know one node's entries, until it has caught up.
    """

    def __init__(self) -> None:
        self.table: dict[tuple[str, str], int] = {}
        self.unknown: dict[tuple[str, str], int] = {}

    def row(self, key: tuple[str, str]) -> Any:
        """Return the row of one instance."""
        return row(key[0], "1", key[1], port=self.table[key])

    def present(self, node: str | None = None) -> list[Any]:
        """Return the present of a node, or of all."""
        keys = [key for key in sorted(self.table) if node in (None, key[1])]
        return [*(added(self.row(key)) for key in keys), SYNCED, *self.mark()]

    def mark(self) -> list[Any]:
        """Return the word that it has caught up, if it has."""
        return [] if self.unknown else [CAUGHT_UP]

    def catch_up(self) -> list[Any]:
        """Learn what it did not know; return the events that a live watch is sent."""
        learnt, self.unknown = self.unknown, {}
        self.table |= learnt
        return [*(added(self.row(key)) for key in learnt), CAUGHT_UP]

    def step(self, what: str, key: tuple[str, str], port: int) -> list[Any]:
        """Do one step; return the events that a live watch is sent."""
        before = self.row(key) if key in self.table else None
        if what in ("put", "remove"):
            self.unknown.pop(key, None)
        if what == "put":
            self.table[key] = port
            return [updated(self.row(key), before) if before else added(self.row(key))]
        if what == "remove" and before is not None:
            del self.table[key]
            return [removed(before)]
        if what == "catch up" and self.unknown:
            return self.catch_up()
        if what == "restart":
            self.catch_up()
            self.unknown = {each: port for each, port in self.table.items() if each[1] == key[1]}
            self.table = {each: port for each, port in self.table.items() if each[1] != key[1]}
        if what.startswith("reset"):
            node = key[1] or None
            return [reset(node), *self.present(node)]
        return []


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=30), st.sets(st.integers(0, 29)))
def test_events_replayed_are_the_agents_table(steps: list[Any], unseen: set[int]) -> None:
    """Whatever happens in sight or out of it: what was shown, replayed, is the table, each once.

    Nothing that lived on is ever shown to be gone.
    """
    agent, view = Agent(), View(Event.from_row)
    view.begin()
    events = view.receive(agent.present(), 0.0)
    for number, (what, key, port) in enumerate(steps):
        batch = agent.step(what, key, port)
        if what in ("cut", "restart") or number in unseen:
            view.begin()
            batch = agent.present()
        told = view.receive(batch, 0.0)
        lives = {f"{service}/1@{node}" for service, node in (*agent.table, *agent.unknown)}
        assert not lives & {it.before.name for it in told if it.kind == "removed" and it.before}
        events += told
    events += view.receive(agent.catch_up(), 0.0)
    assert view.deadline() is None

    shown: dict[str, Any] = {}
    for event in events:
        assert event.kind != "reset"
        if event.instance is not None:
            name = event.instance.name
            assert (event.kind == "added") is (name not in shown)
            assert shown.get(name) != event.instance
            shown[name] = event.instance
        elif event.before is not None:
            assert shown.pop(event.before.name) == event.before
    assert {name: it.port for name, it in shown.items()} == {
        f"{service}/1@{node}": port for (service, node), port in agent.table.items()
    }
    assert [event.kind for event in events].count("synced") == 1
