"""What a watch shows of metas: as of instances, but told apart from them."""

import pytest

from discoagent.client.view import View
from discoagent.presence import AnyEvent, PresenceEvent, event_of
from tests.client.specimens import CAUGHT_UP, SYNCED, T0, added, removed, updated
from tests.client.specimens import meta_row as meta
from tests.client.specimens import row as instance


@pytest.fixture
def view() -> View[PresenceEvent]:
    """Return a view of two metas that is synced."""
    view = View(PresenceEvent.from_row)
    batch = [added(meta("alice", {"n": 1})), added(meta("bob", name="1.2")), SYNCED]
    events = view.receive(batch, 0.0)
    assert [event.kind for event in events] == ["added", "added", "synced"]
    return view


def told(events: list[PresenceEvent]) -> list[tuple[str, str | None]]:
    """Return kind and key of each."""
    return [(event.kind, event.key) for event in events]


def test_a_mark_is_of_no_topic() -> None:
    (synced,) = View(PresenceEvent.from_row).receive([SYNCED], 0.0)

    assert (synced.kind, synced.topic, synced.key, synced.meta) == ("synced", None, None, None)


def test_changes_carry_the_metas_with_their_refs(view: View[PresenceEvent]) -> None:
    first, second = meta("alice", {"n": 1}), meta("alice", {"n": 2}, ref=(1, 9))

    changed, gone = view.receive([updated(second, first), removed(second)], 1.0)

    assert (changed.topic, changed.key) == (gone.topic, gone.key) == ("room", "alice")
    assert changed.before == {"ref": "a.1.000000000001", "n": 1}
    assert changed.meta == gone.before == {"ref": "a.1.000000000009", "n": 2}
    assert (gone.meta, gone.cause) == (None, "deregistered")


def test_after_a_restart_only_true_differences_are_shown(view: View[PresenceEvent]) -> None:
    view.begin()
    same = meta("alice", {"n": 1}, updated_ms=T0 + 99)

    assert view.receive([added(same), added(meta("carol", name="1.3")), SYNCED], 1.0) == [
        PresenceEvent.from_row(added(meta("carol", name="1.3")))
    ]
    assert told(view.receive([CAUGHT_UP], 2.0)) == [("removed", "bob")]


def test_a_ref_that_is_another_is_a_difference(view: View[PresenceEvent]) -> None:
    view.begin()
    again = meta("alice", {"n": 1}, ref=(1, 9))

    events = view.receive([added(again), added(meta("bob", name="1.2")), SYNCED], 1.0)

    assert told(events) == [("updated", "alice")]


def test_an_instance_and_a_meta_of_one_name_are_two() -> None:
    view: View[AnyEvent] = View(event_of)
    room, alice = instance("room", "1.1", "a"), meta("alice", name="1.1")

    events = view.receive([added(room), added(alice), SYNCED, removed(alice)], 0.0)

    assert [(type(event).__name__, event.kind) for event in events] == [
        ("Event", "added"),
        ("PresenceEvent", "added"),
        ("Event", "synced"),
        ("PresenceEvent", "removed"),
    ]
