"""The log on disk: its bounds, its checkpoints, and how it is read."""

from pathlib import Path
from zlib import compress, crc32

import pytest

from discoagent.store import Checkpoint, Store, checkpoints, log
from discoagent.store.events import LoggedEvent
from discoagent.store.log import DAY_MS
from discoagent.store.rows import EVENTS_LEAST, Bounds
from discoagent.store.schema import Database
from discoagent.store.sqlite import BrokenStoreError
from tests.core.vocabulary import entry
from tests.store.test_store import PATIENCE, begun
from tests.store.writer import US, logged

SHOWN = [("b", entry("1")), ("c", entry("2", b"v2"))]


def append(store: Store, first: int, last: int, seen_ms: int) -> None:
    """Append events of these numbers, all seen at one moment."""
    events = [logged(number)._replace(seen_ms=seen_ms) for number in range(first, last + 1)]
    for start in range(0, len(events), 1_000):
        store.append_events(events[start : start + 1_000])
        assert store.flush(PATIENCE)


def numbers(store: Store, life: int = 1) -> tuple[int, int]:
    """Return the first and the last number that there is of a life."""
    chunks = store.shelves()[life].chunks
    return chunks[0].first, chunks[-1].last


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    """But for the last events, which tokens may need."""
    store = begun(tmp_path, bounds=Bounds(rows=1_000_000, days=2))
    append(store, 1, 4_000, DAY_MS)
    append(store, 4_001, 5_000, 3 * DAY_MS)
    assert numbers(store) == (1, 5_000), "too few to let any go"

    append(store, 5_001, EVENTS_LEAST + 2_000, 5 * DAY_MS)

    first, last = numbers(store)
    assert 1 < first <= 2_001
    assert last == EVENTS_LEAST + 2_000
    store.close()


def test_a_checkpoint_is_read_back_and_goes_with_its_events(tmp_path: Path) -> None:
    store = begun(tmp_path, bounds=Bounds(rows=EVENTS_LEAST))
    for number in (10, 5_000, 12_000):
        append(store, 1 if number == 10 else numbers(store)[1] + 1, number, 7)
        store.keep_checkpoint(Checkpoint(number, 7, checkpoints.pack(SHOWN)))
        assert store.flush(PATIENCE)
    append(store, 12_001, 14_000, 7)

    assert store.shelves()[1].checkpoints == [5_000, 12_000]
    packed = store.checkpoint(1, 12_000)
    assert packed is not None
    assert list(checkpoints.unpack(packed)) == SHOWN
    assert store.checkpoint(1, 10) is None
    store.close()


def test_checkpoints_are_bounded_by_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest one stays, however large."""
    monkeypatch.setattr(log, "CHECKPOINT_BYTES_KEPT", 250)
    store = begun(tmp_path)
    for number in (1, 2, 3):
        store.keep_checkpoint(Checkpoint(number, 7, bytes(100)))
        assert store.flush(PATIENCE)
    assert store.shelves()[1].checkpoints == [2, 3]

    store.keep_checkpoint(Checkpoint(4, 7, bytes(1_000)))
    assert store.flush(PATIENCE)

    assert store.shelves()[1].checkpoints == [4]
    store.close()


def test_what_is_not_near_is_passed_by(tmp_path: Path) -> None:
    """Chunks are looked into only where a name is."""
    store = begun(tmp_path)
    append(store, 1, 1_000, 7)
    of = logged(1_001).event._replace(node="far-away")
    store.append_events([LoggedEvent(1_001, 7, of, None, None, 8)])
    assert store.flush(PATIENCE)

    assert [it.number for it in store.logged(1, 0, needle=b"far-away")] == [1_001]
    assert [it.number for it in store.logged(1, 998, upto=999)] == [999]
    assert list(store.logged(1, 0, needle=b"nowhere")) == []
    assert store.shelves()[1].chunks[-1] == (1_001, 1_001, 8, 8)
    store.close()


def test_a_checkpoint_that_is_not_whole(tmp_path: Path) -> None:
    """It is none: whoever reads says so and goes on."""
    store = begun(tmp_path)
    store.close()
    db = Database(tmp_path / "agent.db")
    packed = compress(b"\x93\x01\x02\x03")
    db._db.execute("INSERT INTO checkpoints VALUES (1, 1, 7, ?, ?)", (crc32(packed) + 1, packed))
    with pytest.raises(BrokenStoreError):
        db.log.checkpoint(1, 1)
    db.close()
    with pytest.raises(BrokenStoreError):
        list(checkpoints.unpack(packed))
    with pytest.raises(BrokenStoreError):
        list(checkpoints.unpack(b"nonsense"))


def test_without_a_file_there_is_nothing() -> None:
    store = Store(None, US, wall_ms=lambda: 0)

    assert store.shelves() == {}
    assert list(store.logged(1, 0)) == []
    assert store.checkpoint(1, 1) is None
    store.close()
