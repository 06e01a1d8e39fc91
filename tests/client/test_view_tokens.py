"""How a view goes on: from the last token where it can, and what it shows of a reset."""

from typing import Any

import pytest

from discoagent.client.calls import Since
from discoagent.client.view import View
from discoagent.instance import Event
from discoagent.token import Giver, Vector, read, write
from tests.client.specimens import CAUGHT_UP, SYNCED, added, removed, reset, row, updated

HERE, DB, NEW = row(), row("db", "db-1", "b"), row("new", "n", "b")
HERE_81 = row(port=81)


def token(number: int) -> str:
    """Return the token that agent a gives after so many events."""
    return write(1, Giver("a", 5, number), Vector({"a": (5, number), "b": (6, number)}))


def at(event: list[Any], where: str | int | None) -> list[Any]:
    """Let an event tell where its watcher stands."""
    return [*event[:6], where, event[7]]


def kept(of: Any) -> list[Any]:
    """Return the row that tells of what did not change."""
    return ["kept", 0, of, None, None, b"", None, None]


def told(events: list[Event]) -> list[tuple[str, str | None]]:
    """Return kind and service of events."""
    return [(it.kind, it.instance.service if it.instance else it.node) for it in events]


@pytest.fixture
def view() -> View[Event]:
    """Return a view that has shown two instances, with tokens."""
    view = View(Event.from_row)
    assert view.begin() is None
    view.receive([at(added(HERE), "1.lost"), at(added(DB), "1.lost"), at(SYNCED, token(1))], 0.0)
    return view


def test_it_goes_on_from_the_last_token(view: View[Event]) -> None:
    assert view.begin() == Since(token(1), 0)

    events = view.receive([at(updated(HERE_81, HERE), token(2)), at(SYNCED, token(3))], 0.0)

    assert [(it.kind, it.token) for it in events] == [("updated", token(2))]
    assert view.begin() == Since(token(3), 0)


def test_in_a_large_cluster_it_says_the_last_number(view: View[Event]) -> None:
    (event,) = view.receive([at(added(NEW), 2)], 0.0)

    assert event.token is None
    assert view.begin() == Since(token(1), 2)

    view.receive([at(SYNCED, token(4))], 0.0)

    assert view.begin() == Since(token(4), 0)


def test_one_that_was_cut_off_halfway_asks_for_the_present(view: View[Event]) -> None:
    """Where it stands within a present or what was missed is not known."""
    view.begin()
    view.receive([at(updated(HERE_81, HERE), token(2))], 0.0)

    assert view.begin() is None
    events = view.receive([added(HERE_81), added(DB), at(SYNCED, token(3))], 0.0)
    assert events == []

    view.receive([at(reset(), "1.lost"), at(added(DB), "1.lost")], 0.0)

    assert view.begin() is None


def test_a_reset_of_a_node_shows_the_true_differences(view: View[Event]) -> None:
    """With the last of them the watcher has seen all of it; before, it has not."""
    view.begin()
    doubt = write(1, None, Vector({"a": (5, 1), "b": (7, 0)}))
    batch = [at(reset("b"), doubt), at(added(NEW), doubt), at(added(row("x", node="b")), doubt)]

    events = view.receive([*batch, at(SYNCED, token(3))], 0.0)
    events += view.receive([CAUGHT_UP], 0.0)

    assert told(events) == [("added", "new"), ("added", "x"), ("removed", None)]
    assert events[0].token == doubt
    assert read(events[1].token).vector == {"a": (5, 3), "b": (6, 0)}
    assert events[2].token == token(3)


def test_what_is_missing_is_in_doubt(view: View[Event]) -> None:
    """Until the agent has caught up more is shown than it knows; no token may hide that."""
    view.begin()
    view.receive([at(reset("b"), "1.lost"), at(SYNCED, token(3))], 0.0)

    (event,) = view.receive([at(updated(HERE_81, HERE), token(4))], 0.0)
    assert read(event.token) == (1, None, {"a": (5, 4), "b": (6, 0)})

    (gone,) = view.receive([CAUGHT_UP], 0.0)
    assert gone.token == token(4)


def test_from_a_token_of_the_user_s_all_goes_out_as_it_comes() -> None:
    """What was seen before is not known: an update and a removal of it are shown, a reset too."""
    view = View(Event.from_row, token(1))
    assert view.begin() == Since(token(1), 0, kept=True)

    events = view.receive(
        [
            at(updated(HERE_81, HERE), token(2)),
            at(removed(DB), token(3)),
            at(reset("b"), "1.doubt"),
            at(added(NEW), "1.doubt"),
            kept(HERE_81),
            at(SYNCED, token(4)),
        ],
        0.0,
    )

    assert [it.kind for it in events] == ["updated", "removed", "reset", "added", "synced"]
    assert [it.token for it in events] == [token(2), token(3), "1.doubt", "1.doubt", token(4)]


def test_what_was_kept_is_known() -> None:
    """So that a reset later on shows the true differences, as it always does."""
    view = View(Event.from_row, token(1))
    view.begin()
    view.receive([kept(HERE), kept(DB), at(SYNCED, token(2))], 0.0)
    assert view.begin() == Since(token(2), 0)

    events = view.receive([reset("b"), added(NEW), at(SYNCED, token(3)), CAUGHT_UP], 0.0)

    assert told(events) == [("added", "new"), ("removed", None)]
    assert events[1].before is not None
    assert events[1].before.service == "db"


def test_cut_off_before_it_knows_what_was_kept() -> None:
    """It goes on from where the agent stopped, and is told anew what was kept."""
    view = View(Event.from_row, token(1))
    view.begin()
    view.receive([at(updated(HERE_81, HERE), token(2)), kept(HERE_81)], 0.0)

    assert view.begin() == Since(token(2), 0, kept=True)
    view.receive([kept(HERE_81), kept(DB), at(SYNCED, token(3))], 0.0)

    view.begin()
    assert view.receive([reset(), added(HERE_81), added(DB), SYNCED, CAUGHT_UP], 0.0) == []


def test_a_present_may_be_told_before_the_changes_that_followed_it(view: View[Event]) -> None:
    """So these are shown one by one; `synced` comes later."""
    view.begin()
    events = view.receive([at(reset("b"), "1.doubt"), added(DB), ["told", *SYNCED[1:]]], 0.0)
    events += view.receive([updated(row("db", "db-1", "b", port=81), DB), SYNCED], 0.0)

    assert [(it.kind, it.cause) for it in events] == [("updated", "updated")]


def test_what_was_missing_and_is_registered_anew_is_another(view: View[Event]) -> None:
    """The one was removed, the other added; the same one said again is neither."""
    view.begin()
    view.receive([at(reset("b"), "1.doubt"), ["told", *SYNCED[1:]]], 0.0)
    another = row("db", "db-1", "b", ref=(9, 9))

    gone, come = view.receive([at(added(another), token(4))], 0.0)

    assert [(gone.kind, gone.cause), (come.kind, come.cause)] == [
        ("removed", "unknown"),
        ("added", "registered"),
    ]
    assert come.token == token(4)
    assert view.receive([at(SYNCED, token(5)), CAUGHT_UP], 0.0) == []

    view.begin()
    view.receive([at(reset("b"), "1.doubt"), ["told", *SYNCED[1:]]], 0.0)
    assert view.receive([added(another), SYNCED, CAUGHT_UP], 0.0) == []
