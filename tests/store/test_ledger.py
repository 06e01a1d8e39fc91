"""Laws of the ledger: whenever the end comes, what is read is what was appended."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoagent.store import ledger
from discoagent.store.ledger import Ledger
from discoagent.store.rows import Key, PackedRows, StoredEntry, pack_key, pack_row

LIFE = 1_790_000_000_000_000
Changed = dict[Key, StoredEntry | None]

names = (st.sampled_from(["web", "db"]), st.sampled_from("abcdef"))
keys = st.tuples(st.just(1), *names)
rows = st.builds(
    lambda name, instance, body: StoredEntry(1, name, instance, b"owner", body),
    *names,
    st.binary(max_size=120),
)
changes = st.lists(st.one_of(keys, rows), min_size=1, max_size=4)
moments = st.lists(st.one_of(changes, st.floats(0, 1)), max_size=40)
"""What happens, one after another: something changes, or the file gets a share of what it lacks."""


def change(items: list[Key | StoredEntry]) -> Changed:
    """Return what a list of rows, and of keys that end, makes of each key."""
    return {
        it.key if isinstance(it, StoredEntry) else it: it if isinstance(it, StoredEntry) else None
        for it in items
    }


def packed(changed: Changed) -> PackedRows:
    """Pack a change as the store does."""
    return {pack_key(key): None if row is None else pack_row(row) for key, row in changed.items()}


class Written:
    """A ledger and a file beside it, used as the store uses them.

    `made` are all changes, by number; the file has those up to `committed`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = Ledger(path)
        self.made: dict[int, Changed] = {}
        self.committed = 1  # the life's first transaction
        self.number = 1  # goes up also for what changes no entry
        self.last = 1
        self.insecure = 0

    def change(self, changed: Changed) -> None:
        """Append a change; where there is no room, only the file can keep it."""
        self.number += 2
        after, self.last = self.last, self.number
        self.made[self.number] = changed
        if self.insecure > self.committed or not self.ledger.append(
            LIFE, self.number, after, packed(changed), committed=self.committed
        ):
            self.insecure = self.number

    def commit(self, share: float) -> None:
        """Let the file have a share of what it lacks; some number up to which all is in it."""
        self.committed += round(share * (self.number - self.committed))

    def at(self, number: int) -> Changed:
        """Return the state after all changes up to a number, with what has ended."""
        state: Changed = {}
        for each, changed in self.made.items():
            if each <= number:
                state.update(changed)
        return state

    def recalled(self, committed: int) -> Changed:
        """Return what the next life finds if the file has that much."""
        return {**self.at(committed), **ledger.read(self.path, LIFE, committed)}

    def secure(self) -> int:
        """Return up to which number all was acknowledged."""
        if self.insecure <= self.committed:
            return self.last
        return max((n for n in self.made if n < self.insecure), default=self.committed)


@contextmanager
def lived(story: list[list[Key | StoredEntry] | float]) -> Iterator[Written]:
    """Let all that happen to a ledger that is soon full."""
    with (
        tempfile.TemporaryDirectory() as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(ledger, "HALF_BYTES", 700)
        it = Written(Path(directory) / "ledger")
        for moment in story:
            if isinstance(moment, float):
                it.commit(moment)
            else:
                it.change(change(moment))
        yield it
        it.ledger.close()


@given(moments)
def test_whatever_was_acknowledged_is_read(
    story: list[list[Key | StoredEntry] | float],
) -> None:
    with lived(story) as it:
        for committed in range(it.committed, it.number + 1):
            recalled = it.recalled(committed)
            assert recalled == it.at(max(committed, it.secure()))
        assert ledger.read(it.path, LIFE + 1, it.committed) == {}


@given(moments, changes, st.floats(0, 1))
def test_what_was_torn_is_not_read(
    story: list[list[Key | StoredEntry] | float],
    last: list[Key | StoredEntry],
    share: float,
) -> None:
    """The end came in the midst of an append."""
    with lived(story) as it:
        secure = it.secure()
        before = it.path.read_bytes()
        it.change(change(last))
        after = it.path.read_bytes()
        before = before.ljust(len(after), b"\0")
        differ = [place for place in range(len(after)) if before[place] != after[place]]
        if differ:
            torn = differ[0] + int(share * (differ[-1] - differ[0]))
            it.path.write_bytes(after[:torn] + before[torn:])

        assert it.recalled(it.committed) == it.at(max(it.committed, secure))


@given(moments, st.integers(0, 1_400), st.binary(min_size=1, max_size=40))
def test_of_what_is_not_whole_a_beginning_is_read(
    story: list[list[Key | StoredEntry] | float], place: int, garbage: bytes
) -> None:
    """The file may be older than the ledger takes it for, too: the host has lost its power."""
    with lived(story) as it:
        fd = os.open(it.path, os.O_RDWR)
        if place < os.fstat(fd).st_size:
            os.pwrite(fd, garbage, place)
        os.close(fd)
        for committed in range(1, it.number + 1):
            states = [it.at(number) for number in (committed, *it.made) if number >= committed]
            assert it.recalled(committed) in states


def test_one_half_is_filled_while_the_file_takes_in_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "SLOW_SECONDS", float("inf"))  # a busy disk is no part of this
    path = tmp_path / "ledger"
    it, number, committed = Ledger(path), 1, 1

    def append() -> bool:
        row = StoredEntry(1, "web", str(number + 1), b"", bytes(ledger.HALF_BYTES // 5))
        return it.append(LIFE, number + 1, number, packed({row.key: row}), committed=committed)

    def held() -> list[int]:
        return [int(instance) for _, _, instance in ledger.read(path, LIFE, committed)]

    while append():
        number += 1
    assert held() == list(range(2, 10)), "both halves are full"
    for _ in range(3):
        committed += 4
        for _ in range(4):
            assert append()
            number += 1
        assert not append()
        assert held() == list(range(committed + 1, number + 1))
    it.close()
    assert path.stat().st_size <= 2 * ledger.HALF_BYTES


def test_where_nothing_is_written_nothing_is_acknowledged(tmp_path: Path) -> None:
    (tmp_path / "ledger").symlink_to("/dev/full")
    it = Ledger(tmp_path / "ledger")
    assert not it.append(LIFE, 2, 1, packed({(1, "web", "a"): None}), committed=1)
    it.close()
    assert ledger.read(tmp_path / "missing", LIFE, 0) == {}
    assert ledger.read(tmp_path, LIFE, 0) == {}


def test_a_slow_disk_is_left_alone_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has what was written slowly; and is tried again."""
    it = Ledger(tmp_path / "ledger")
    changed: list[Changed] = [{(1, "web", name): None} for name in "abc"]
    monkeypatch.setattr(ledger, "SLOW_SECONDS", 0.0)
    assert it.append(LIFE, 2, 1, packed(changed[0]), committed=1)
    assert not it.append(LIFE, 3, 2, packed(changed[1]), committed=1)
    monkeypatch.setattr(ledger, "REST_SECONDS", 0.0)
    it._rests_until = 0.0
    assert it.append(LIFE, 3, 2, packed(changed[1]), committed=1)
    assert it.append(LIFE, 4, 3, packed(changed[2]), committed=1)
    it.close()
    assert ledger.read(tmp_path / "ledger", LIFE, 1) == {**changed[0], **changed[1], **changed[2]}


def test_what_is_too_much_is_not_taken(tmp_path: Path) -> None:
    """And what lies in the ledger already is still there."""
    it = Ledger(tmp_path / "ledger")
    small, large = (StoredEntry(1, "web", name, b"", bytes(size)) for name, size in _SIZES)
    assert it.append(LIFE, 2, 1, packed({small.key: small}), committed=1)
    assert not it.append(LIFE, 3, 2, packed({large.key: large}), committed=2)
    it.close()
    assert ledger.read(tmp_path / "ledger", LIFE, 1) == {small.key: small}


_SIZES = (("small", 10), ("large", ledger.HALF_BYTES))
