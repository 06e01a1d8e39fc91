"""What is read back is what was handed over, however the writer ended."""

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from discoagent.core.entry import Entry, Kind
from discoagent.store import Identity, KnownPeer, Store, StoredEntry, StoredLife
from discoagent.store.events import LoggedEvent
from discoagent.store.rows import BOUNDS, EVENTS_LEAST, PEERS_KEPT, Bounds
from discoagent.store.schema import LIVES_KEPT
from tests.store.writer import US, Table, apply, batches, hand_over, logged

PATIENCE = 10.0


def opened(directory: Path, whose: Identity = US, bounds: Bounds = BOUNDS) -> Store:
    """Open a store."""
    return Store(directory, whose, wall_ms=lambda: 1_790_000_000_000, bounds=bounds)


def begun(
    directory: Path, *entries: StoredEntry, whose: Identity = US, bounds: Bounds = BOUNDS
) -> Store:
    """Open a store, and begin a life that has these entries."""
    store = opened(directory, whose, bounds)
    store.begin(StoredLife(store.recalled.incarnation + 1, 7), entries, PATIENCE)
    return store


def row(name: str, **extras: int) -> StoredEntry:
    """Return a row."""
    return StoredEntry(1, "web", name, b"owner of " + name.encode(), b"body", **extras)


def table(store: Store) -> Table:
    """Return what a store recalls, by key."""
    return {each.key: each for each in store.recalled.entries}


def events(*numbers: int) -> list[LoggedEvent]:
    """Return events of these numbers."""
    return [logged(number) for number in numbers]


def test_a_new_store_recalls_nothing_and_is_not_trusted(tmp_path: Path) -> None:
    store = opened(tmp_path / "new")
    store.close()

    recalled = store.recalled
    assert (recalled.incarnation, recalled.entries, recalled.peers) == (0, [], [])
    assert not recalled.good


@pytest.mark.parametrize("seed", range(5))
def test_what_was_handed_over_is_read_back(tmp_path: Path, seed: int) -> None:
    expected: Table = {}
    store = begun(tmp_path)
    for number, batch in zip(range(1, 60), batches(seed), strict=False):
        hand_over(store, number, batch)
        store.hand_over()
        apply(expected, batch)
        if number % 20 == 0:
            store.close()
            again = opened(tmp_path)
            assert table(again) == expected
            again.begin(StoredLife(again.recalled.incarnation + 1, 0), expected.values(), PATIENCE)
            store = again
    store.close()

    last = opened(tmp_path)
    last.close()
    assert table(last) == expected
    assert last.recalled.good
    assert last.recalled.incarnation == 3


def test_an_entry_stands_for_its_row(tmp_path: Path) -> None:
    store = begun(tmp_path)
    entry = Entry(Kind.PRESENCE, "room:\u00e9", "x", b"owner", b"body")
    store.keep({entry.key: entry}, 1)
    store.close()

    again = opened(tmp_path)
    again.close()
    assert again.recalled.entries == [
        StoredEntry(2, "room:\u00e9", "x", b"owner", b"body", None, None, None, None)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_killed_at_any_moment_all_that_was_confirmed_is_there(tmp_path: Path, seed: int) -> None:
    """And not a batch of it in halves."""
    luck = random.Random(seed)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.store.writer", str(tmp_path), str(seed)],
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(luck.randrange(1, 100))]
        threading.Event().wait(luck.random() * 0.003)
        writer.kill()
        lines += [line for line in writer.stdout if line.endswith("\n")]
    said = {word: int(number) for word, number in map(str.split, lines)}

    store = opened(tmp_path)
    found = store.events_after(1, 0)
    lives = store.recalled.lives
    store.close()
    assert found is not None
    written = len(found)
    assert written >= said.get("written", 0)
    assert found == events(*range(1, written + 1))
    assert [life.vector for life in lives] == [b"vector %d" % written if written else b""]
    assert lives[0].number == written
    expected: Table = {}
    for number, batch in enumerate(batches(seed), 1):
        apply(expected, batch)
        if number >= said["kept"] and table(store) == expected:
            break
        assert number <= said["kept"], "not what is kept after any batch"
    assert store.recalled.good
    assert store.recalled.incarnation == 1


def test_of_another_node_only_the_number_of_its_life_is_recalled(tmp_path: Path) -> None:
    store = begun(tmp_path, row("x"))
    store.know_peers([KnownPeer("127.0.0.1:1", "b", 1)])
    store.close()

    of_another_node = opened(tmp_path, Identity("z", US.cluster))
    of_another_node.close()
    of_another_cluster = opened(tmp_path, Identity(US.node, "other"))
    of_another_cluster.close()

    for recalled in (of_another_node.recalled, of_another_cluster.recalled):
        assert (recalled.incarnation, recalled.entries, recalled.good) == (1, [], False)
    assert of_another_node.recalled.peers == [KnownPeer("127.0.0.1:1", "b", 1)]
    assert of_another_cluster.recalled.peers == []


def test_a_life_begins_with_what_it_has(tmp_path: Path) -> None:
    begun(tmp_path, row("old"), row("both")).close()

    begun(tmp_path, row("both"), row("new")).close()

    again = opened(tmp_path)
    again.close()
    assert [each.id for each in again.recalled.entries] == ["both", "new"]


def test_peers_are_the_latest(tmp_path: Path) -> None:
    store = begun(tmp_path)
    many = [KnownPeer(f"127.0.0.1:{n}", f"n{n}", n) for n in range(1, 2 * PEERS_KEPT + 1)]
    store.know_peers(many)
    store.hand_over()
    store.know_peers([many[0]._replace(seen_ms=10**6)], gone=[many[-1].endpoint])
    store.close()

    again = opened(tmp_path)
    again.close()
    kept = [peer.node for peer in again.recalled.peers]
    assert kept[:2] == ["n1", f"n{2 * PEERS_KEPT - 1}"]
    assert len(kept) <= PEERS_KEPT


def test_the_log_reaches_as_far_as_it_goes(tmp_path: Path) -> None:
    store = begun(tmp_path)
    store.append_events(events(1, 2, 3))
    store.note(baseline=b"base")
    store.close()
    store = begun(tmp_path)
    store.append_events(events(1))
    assert store.flush(PATIENCE)

    assert store.events_after(1, 0) == events(1, 2, 3)
    assert store.events_after(1, 2) == events(3)
    assert store.events_after(1, 3) == []
    assert store.events_after(1, 4) is None, "numbers that a crash has lost"
    assert store.events_after(2, 0) == events(1)
    store.close()
    again = opened(tmp_path)
    again.close()
    lives = [(it.incarnation, it.baseline, it.number) for it in again.recalled.lives]
    assert lives == [(1, b"base", 3), (2, b"", 1)]


def test_a_log_with_a_hole_does_not_reach_over_it(tmp_path: Path) -> None:
    store = begun(tmp_path)
    for some in (events(1, 2), events(5, 6)):
        store.append_events(some)
        assert store.flush(PATIENCE)

    assert store.events_after(1, 1) is None
    assert store.events_after(1, 4) == events(5, 6)
    store.close()


def test_the_log_is_bounded(tmp_path: Path) -> None:
    number = 0
    for _ in range(3):
        store = begun(tmp_path, bounds=Bounds(rows=20_000))
        for _ in range(30):
            store.append_events(events(*range(number + 1, number + 501)))
            number += 500
            assert store.flush(PATIENCE)
        number = 0
        store.close()

    store = begun(tmp_path)
    last, before = store.events_after(3, 0), store.events_after(2, 10_500)
    first = store.events_after(1, 14_999)
    store.close()
    assert last is not None
    assert len(last) == 15_000
    assert before is not None
    assert len(before) == 4_500
    assert first is None
    assert BOUNDS.rows >= EVENTS_LEAST >= 10_000


def test_lives_are_bounded_and_the_file_stays_flat(tmp_path: Path) -> None:
    sizes = []
    for number in range(LIVES_KEPT + 40):
        store = begun(tmp_path, *(row(str(n)) for n in range(100)))
        store.append_events(events(*range(1, 401)))
        store.close()
        if number >= LIVES_KEPT:
            sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))

    again = opened(tmp_path)
    assert len(again.recalled.lives) == LIVES_KEPT
    again.close()
    assert max(sizes) <= min(sizes) * 1.2


def test_without_a_directory_nothing_is_kept_and_nobody_waits() -> None:
    store = Store(None, US, wall_ms=lambda: 0)
    store.begin(StoredLife(1, 0), [row("x")], PATIENCE)
    store.keep({row("y").key: row("y")}, 2)

    assert store.flush(PATIENCE)
    assert store.away
    assert store.events_after(1, 0) is None
    store.close()
