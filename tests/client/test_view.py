"""What a watch shows: the present, changes, and after a restart the true differences alone."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discoagent.client.view import HELD_SECONDS_MAX, SETTLE_SECONDS, View
from discoagent.errors import DiscoError
from discoagent.instance import Event
from tests.client.specimens import SYNCED, added, removed, reset, row, updated


def told(events: list[Event]) -> list[tuple[str, str | None]]:
    """Return kind and name of events."""
    shown = []
    for event in events:
        instance = event.instance or event.before
        shown.append((event.kind, instance.name if instance else None))
    return shown


@pytest.fixture
def view() -> View:
    """Return a view that has shown one local and one remote instance."""
    view = View()
    view.begin("a", restarted=False)
    view.receive([added(row()), added(row("db", "db-1", "b")), SYNCED], 0.0)
    return view


def test_the_present_comes_first_then_synced_then_changes() -> None:
    view = View()
    view.begin("a", restarted=False)

    events = view.receive([added(row()), SYNCED, updated(row(port=81), row())], 0.0)
    events += view.receive([removed(row(port=81))], 0.0)

    assert [event.kind for event in events] == ["added", "synced", "updated", "removed"]
    assert events[2].before is not None
    assert events[2].before.port == 80
    assert events[3].cause == "deregistered"


def test_the_same_present_again_shows_nothing(view: View) -> None:
    view.begin("a", restarted=True)

    assert view.receive([added(row()), added(row("db", "db-1", "b")), SYNCED], 9.0) == []


def test_what_came_went_and_changed_meanwhile_is_shown(view: View) -> None:
    view.begin("a", restarted=False)

    events = view.receive([added(row(port=81), "updated"), added(row("new", "n", "c")), SYNCED], 9)

    assert told(events) == [
        ("removed", "db/db-1@b"),
        ("updated", "web/web-1@a"),
        ("added", "new/n@c"),
    ]
    assert [event.cause for event in events] == ["unknown", "updated", "registered"]
    assert events[0].before is not None
    assert events[1].before is not None
    assert events[1].before.port == 80


def test_one_that_ended_and_was_registered_anew_unseen_is_an_update(view: View) -> None:
    view.begin("a", restarted=False)

    events = view.receive(
        [added(row(ref=(2, 1), pid=8)), added(row("db", "db-1", "b")), SYNCED], 9.0
    )

    assert [(event.kind, event.cause) for event in events] == [("updated", "unknown")]


@pytest.mark.parametrize("again", [row(overlay="restarting"), row(updated_ms=5)])
def test_the_nodes_state_and_the_time_of_an_update_are_no_difference(
    view: View, again: Any
) -> None:
    view.begin("a", restarted=True)

    assert view.receive([added(again), added(row("db", "db-1", "b")), SYNCED], 9.0) == []


def test_local_ones_that_a_restarted_agent_is_told_again_show_nothing(view: View) -> None:
    view.begin("a", restarted=True)
    assert view.receive([added(row("db", "db-1", "b")), SYNCED], 10.0) == []
    assert view.deadline() == 10.0 + SETTLE_SECONDS

    assert view.receive([added(row(updated_ms=7))], 10.5) == []

    assert view.deadline() is None
    assert view.expire(99.0) == []


def test_local_ones_that_it_is_not_told_again_are_gone(view: View) -> None:
    view.begin("a", restarted=True)
    view.receive([added(row("db", "db-1", "b")), SYNCED], 10.0)

    assert view.expire(13.9) == []
    events = view.expire(14.0)

    assert told(events) == [("removed", "web/web-1@a")]
    assert events[0].cause == "unknown"
    assert view.expire(99.0) == []


def test_local_ones_that_come_back_changed_are_updates(view: View) -> None:
    view.begin("a", restarted=True)
    view.receive([added(row("db", "db-1", "b")), SYNCED], 10.0)

    assert told(view.receive([added(row(port=5), "replaced")], 11.0)) == [
        ("updated", "web/web-1@a")
    ]


def test_an_agent_that_restarts_in_a_loop_does_not_hold_the_dead(view: View) -> None:
    now = 0.0
    while now < HELD_SECONDS_MAX:
        view.begin("a", restarted=True)
        assert view.receive([added(row("db", "db-1", "b")), SYNCED], now) == []
        now += SETTLE_SECONDS / 2

    assert told(view.expire(HELD_SECONDS_MAX)) == [("removed", "web/web-1@a")]


def test_a_reconnect_without_a_restart_waits_for_nobody(view: View) -> None:
    view.begin("a", restarted=False)

    assert told(view.receive([added(row("db", "db-1", "b")), SYNCED], 9.0)) == [
        ("removed", "web/web-1@a")
    ]


def test_an_agent_of_another_name_waits_for_nobody(view: View) -> None:
    view.begin("z", restarted=True)

    events = view.receive([added(row(node="z")), added(row("db", "db-1", "b")), SYNCED], 9.0)

    assert told(events) == [("removed", "web/web-1@a"), ("added", "web/web-1@z")]


def test_a_present_that_was_cut_off_goes_on_where_it_stood() -> None:
    view = View()
    view.begin("a", restarted=False)
    first = view.receive([added(row())], 0.0)

    view.begin("a", restarted=False)
    second = view.receive([added(row()), added(row("db", "db-1", "b")), SYNCED], 1.0)

    assert told(first + second) == [
        ("added", "web/web-1@a"),
        ("added", "db/db-1@b"),
        ("synced", None),
    ]


def test_a_reset_becomes_the_differences(view: View) -> None:
    assert view.receive([reset(), added(row(port=81), "updated")], 1.0) == []

    assert told(view.receive([SYNCED], 1.0)) == [
        ("removed", "db/db-1@b"),
        ("updated", "web/web-1@a"),
    ]


def test_a_reset_of_one_node_leaves_the_others(view: View) -> None:
    events = view.receive([reset("b"), added(row(id="2")), added(row("x", "x", "b")), SYNCED], 1.0)

    assert told(events) == [
        ("added", "web/2@a"),
        ("removed", "db/db-1@b"),
        ("added", "x/x@b"),
    ]


def test_resets_within_resets_widen_them(view: View) -> None:
    events = view.receive(
        [reset("b"), added(row("x", "x", "b")), reset("a"), reset("b"), added(row()), SYNCED], 1.0
    )

    assert told(events) == [("removed", "db/db-1@b")]


def test_changes_within_a_present_are_part_of_it(view: View) -> None:
    db = row("db", "db-1", "b")
    view.begin("a", restarted=False)

    events = view.receive([added(db), added(row()), removed(db), SYNCED], 1.0)

    assert told(events) == [("removed", "db/db-1@b")]


def test_nothing_is_shown_twice(view: View) -> None:
    assert view.receive([added(row()), updated(row(), row())], 1.0) == []
    assert view.receive([removed(row("no", "no"))], 1.0) == []
    assert view.receive([SYNCED], 1.0) == []


@pytest.mark.parametrize(
    "batch", [None, 5, [5], [[]], [["added", 1, None, None]], [["removed", 1, None, [1], 0]]]
)
def test_nonsense_is_an_error_of_the_protocol(view: View, batch: Any) -> None:
    with pytest.raises(DiscoError) as caught:
        view.receive(batch, 1.0)

    assert caught.value.kind == "protocol"


# -- the law ---------------------------------------------------------------------------------------

KEYS = [(service, node) for service in ("s", "t") for node in ("a", "b", "c")]
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(1, 3)),
    st.tuples(st.just("remove"), st.sampled_from(KEYS), st.just(0)),
    st.tuples(st.sampled_from(["cut", "restart", "reset"]), st.just(("", "")), st.just(0)),
    st.tuples(st.just("reset one"), st.sampled_from(KEYS), st.just(0)),
)


class Agent:
    """A table, as an agent would tell it to a watch."""

    def __init__(self) -> None:
        self.table: dict[tuple[str, str], int] = {}

    def row(self, key: tuple[str, str]) -> Any:
        """Return the row of one instance."""
        return row(key[0], "1", key[1], port=self.table[key])

    def present(self, node: str | None = None) -> list[Any]:
        """Return the present of a node, or of all."""
        keys = [key for key in sorted(self.table) if node in (None, key[1])]
        return [*(added(self.row(key)) for key in keys), SYNCED]

    def step(self, what: str, key: tuple[str, str], port: int) -> list[Any]:
        """Do one step; return the events that a live watch is sent."""
        before = self.row(key) if key in self.table else None
        if what == "put":
            self.table[key] = port
            return [updated(self.row(key), before) if before else added(self.row(key))]
        if what == "remove" and before is not None:
            del self.table[key]
            return [removed(before)]
        if what.startswith("reset"):
            node = key[1] or None
            return [reset(node), *self.present(node)]
        return []


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=30), st.sets(st.integers(0, 29)))
def test_events_replayed_are_the_agents_table(steps: list[Any], unseen: set[int]) -> None:
    """Whatever happens in sight or out of it: what was shown, replayed, is the table, each once."""
    agent, view = Agent(), View()
    view.begin("a", restarted=False)
    events = view.receive(agent.present(), 0.0)
    for number, (what, key, port) in enumerate(steps):
        batch = agent.step(what, key, port)
        if what in ("cut", "restart") or number in unseen:
            view.begin("a", restarted=what == "restart")
            batch = agent.present()
        events += view.receive(batch, float(number))
    events += view.expire(1e9)

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
