"""What a client asks about presence, and what it says for the metas that it holds."""

from typing import Any

import pytest

from discoagent.client import presence
from discoagent.client.calls import Spec
from discoagent.client.held import Errand, Held, Holdings
from discoagent.client.presence import MetaSpec
from discoagent.errors import DiscoError, InvalidRequest, NoInstance
from discoagent.instance import Lifetime
from discoagent.presence import PRESENCE, Tracked, by_key, event_of
from tests.client.specimens import CAUGHT_UP, T0, added, meta_row, removed
from tests.client.specimens import row as instance

FIRST, SECOND = 100, 200
ID = "1.000000000001"


def held(*, ttl: str | None = None, renewed: float = 0.0) -> Held:
    """Return a meta that the first life of the agent confirmed."""
    lifetime = Lifetime("lease", ttl_ms=9000) if ttl else None
    row = meta_row(meta={"n": 1}, ref=(1, 9), lifetime=lifetime)
    return Held(MetaSpec("room", "alice", {}, ttl=ttl), row, FIRST, renewed)


def said(errand: Errand) -> tuple[str, Any]:
    """Return what an errand says."""
    return errand.call.operation, errand.call.arguments


def test_a_meta_has_every_argument() -> None:
    spec = MetaSpec("room", "alice", {"n": [1]}, pid=3, wrapper=5)

    call = spec.making()

    assert call.operation == "track"
    assert call.arguments == {
        "topic": "room",
        "key": "alice",
        "meta": {"n": [1]},
        "lifetime": ["process", 3],
        "wrapper": 5,
    }


def test_changes_name_what_they_change() -> None:
    assert presence.retrack("room", "a.1.2").arguments == {"topic": "room", "id": "a.1.2"}
    assert presence.retrack("room", ID, {}).arguments == {"topic": "room", "id": ID, "meta": {}}
    assert presence.untrack("room", ID, cause="exit:0").arguments == {
        "topic": "room",
        "id": ID,
        "cause": "exit:0",
    }


@pytest.mark.parametrize("meta", [{"ref": 1}, {1: 2}, {"m": {3: 4}}, {"m": b""}, [], None])
def test_what_is_no_meta_is_never_sent(meta: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        MetaSpec("room", "alice", meta).making()

    assert caught.value.field == "meta"


def test_topics_are_read_with_their_counts() -> None:
    read = presence.topics(wait_ms=0).read

    assert read([], {"topics": [["hall", 1, 2], ["room", 3, 4, "later"]]}) == [
        {"topic": "hall", "keys": 1, "metas": 2},
        {"topic": "room", "keys": 3, "metas": 4},
    ]


def test_metas_are_grouped_by_key_in_the_order_of_their_refs() -> None:
    rows = [
        meta_row("bob", node="b"),
        meta_row("alice", {"n": 2}, ref=(1, 10)),
        meta_row("alice", {"n": 1}, ref=(1, 9)),
        meta_row("alice", {"n": 3}, node="b", ref=(1, 1)),
    ]

    metas = presence.presence("room", wait_ms=0).read([rows[:2], rows[2:]], {})

    assert list(by_key(metas).items()) == [
        (
            "alice",
            [
                {"ref": "a.1.000000000009", "n": 1},
                {"ref": "a.1.000000000010", "n": 2},
                {"ref": "b.1.000000000001", "n": 3},
            ],
        ),
        ("bob", [{"ref": "b.1.000000000001"}]),
    ]


def test_rows_say_what_they_are_of() -> None:
    changed = event_of(
        ["updated", T0, meta_row(meta={"n": 1}), meta_row(), "updated", b"", "t", None]
    )

    assert changed.to_json() == {
        "kind": "updated",
        "at": "2026-09-21T14:13:20.000Z",
        "topic": "room",
        "key": "alice",
        "meta": {"ref": "a.1.000000000001", "n": 1},
        "before": {"ref": "a.1.000000000001"},
        "cause": "updated",
        "actor": None,
        "token": "t",
        "node": None,
    }
    gone = event_of(removed(meta_row())).to_json()
    assert (gone["topic"], gone["key"], gone["meta"]) == ("room", "alice", None)
    assert gone["before"] == {"ref": "a.1.000000000001"}
    assert "instance" in event_of(added(instance())).to_json()
    assert "instance" in event_of(CAUGHT_UP).to_json()


@pytest.mark.parametrize("body", [b"", b"\x01", b"\x93\xa1a\x80\x91\xa6static"])
def test_a_row_of_another_shape_is_the_agents_fault(body: bytes) -> None:
    row = meta_row()

    with pytest.raises(DiscoError) as caught:
        Tracked.from_row([*row[:5], body, PRESENCE])

    assert caught.value.kind == "protocol"


def test_a_new_life_is_told_a_meta_as_it_was_confirmed_last() -> None:
    holdings = Holdings()
    holdings.add(held())

    (errand,) = holdings.errands(SECOND, 0.0)

    assert errand.call.operation == "track"
    assert errand.call.arguments == {
        "topic": "room",
        "key": "alice",
        "meta": {"n": 1},
        "lifetime": ["process", None],
        "id": ID,
        "ref": [1, 9],
        "registered_ms": T0,
        "updated_ms": T0 + 5,
    }


def test_a_lease_is_renewed_and_one_that_lapsed_is_made_anew_under_its_id() -> None:
    holdings = Holdings()
    it = held(ttl="9s")
    holdings.add(it)
    assert holdings.errands(FIRST, 2.9) == []

    (errand,) = holdings.errands(FIRST, 3.0)
    assert (errand.call.operation, errand.call.arguments) == (
        "retrack",
        {"topic": "room", "id": ID},
    )
    holdings.done(errand, it.row, None, FIRST, 3.0)

    (errand,) = holdings.errands(FIRST, 60.0)
    holdings.done(errand, None, NoInstance("it lapsed"), FIRST, 60.0)
    (errand,) = holdings.errands(FIRST, 60.0)
    assert errand.call.operation == "track"
    assert errand.call.arguments["id"] == ID
    assert "ref" not in errand.call.arguments


def test_one_that_was_closed_is_ended_when_the_agent_is_back() -> None:
    holdings = Holdings()
    it = held()
    holdings.add(it)
    holdings.close(it)

    (errand,) = holdings.errands(SECOND, 0.0)
    assert (errand.call.operation, errand.call.arguments) == (
        "untrack",
        {"topic": "room", "id": ID},
    )
    holdings.done(errand, it.row, None, SECOND, 0.0)
    assert holdings.idle


def test_an_instance_and_a_meta_of_one_name_are_two() -> None:
    holdings = Holdings()
    room = Held(Spec("room"), instance("room", ID), FIRST, 0.0)
    holdings.add(room)
    holdings.add(held())

    operations = [errand.call.operation for errand in holdings.errands(SECOND, 0.0)]
    assert operations == ["register", "track"]
    assert holdings.find(("room", ID)) is room
