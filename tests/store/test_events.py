"""Events as they are kept: whatever they hold, it is read back; what is no event is none."""

from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoagent.core.effects import Event, EventKind
from discoagent.core.entry import Cause, Entry, Kind
from discoagent.store import schema
from discoagent.store.events import LoggedEvent, pack_events, unpack_events
from discoagent.store.sqlite import BrokenStoreError
from tests.store.test_store import begun, opened

NUMBERS = st.integers(0, 2**53)
POSITIONS = st.none() | st.tuples(NUMBERS, NUMBERS)
ENTRIES = st.none() | st.builds(
    Entry,
    st.sampled_from([Kind.SERVICE, Kind.PRESENCE]),
    st.text(max_size=9),
    st.text(max_size=9),
    st.binary(max_size=9),
    st.binary(max_size=40),
)
EVENTS = st.builds(
    Event,
    st.sampled_from(list(EventKind)),
    st.text(max_size=9),
    ENTRIES,
    ENTRIES,
    st.builds(Cause, st.text(max_size=9), st.binary(max_size=9), NUMBERS),
    st.just(0),
)
LOGGED = st.builds(
    LoggedEvent,
    NUMBERS,
    NUMBERS,
    EVENTS,
    POSITIONS,
    st.none() | st.dictionaries(st.text(max_size=9), POSITIONS, max_size=3),
    NUMBERS,
).map(lambda it: it._replace(at_ms=it.event.cause.at))  # or when it was told, if nobody acted


@given(st.lists(LOGGED, max_size=5))
def test_what_was_packed_is_read(logged: list[LoggedEvent]) -> None:
    """An event has no clock of its own any more: its position tells it."""
    assert list(unpack_events(pack_events(logged))) == logged


def test_what_is_no_event_breaks_the_store(tmp_path: Path) -> None:
    """It says so, and does not bring down whoever reads."""
    store = begun(tmp_path)
    store.close()
    db = schema.Database(tmp_path / "agent.db")
    packed = b"\x93\x01\x02\x03"
    db._db.execute("UPDATE lives SET number = 1")
    db._db.execute("INSERT INTO events VALUES (1, 1, 1, 0, 0, ?, ?)", (crc32(packed), packed))
    with pytest.raises(BrokenStoreError):
        db.log.events_after(1, 0)
    db.close()

    again = opened(tmp_path)
    assert again.events_after(1, 0) is None
    again.close()
