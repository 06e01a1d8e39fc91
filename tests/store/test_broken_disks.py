"""Files that are cut off or garbage, directories that are read-only, disks that are full."""

import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from discoagent import store as module
from discoagent.store import Store, StoredLife
from tests.store.test_store import PATIENCE, begun, events, opened, row, table
from tests.store.writer import US

ROWS = [row(str(number)) for number in range(300)]


def filled(directory: Path) -> Path:
    """Make a store with 300 entries, cleanly closed; return its file."""
    store = begun(directory, *ROWS)
    store.append_events(events(*range(1, 2_001)))
    store.close()
    return directory / "agent.db"


def usable(directory: Path) -> None:
    """Assert that this store can be written and read back."""
    begun(directory, row("new")).close()
    again = opened(directory)
    again.close()
    assert [each.id for each in again.recalled.entries] == ["new"]


@pytest.mark.parametrize("seed", range(20))
def test_a_file_that_was_cut_off(tmp_path: Path, seed: int) -> None:
    file = filled(tmp_path)
    os.truncate(file, random.Random(seed).randrange(file.stat().st_size))

    store = opened(tmp_path)
    store.close()

    assert set(store.recalled.entries) <= set(ROWS)
    assert not store.recalled.good or table(store) == {each.key: each for each in ROWS}
    usable(tmp_path)


@pytest.mark.parametrize("seed", range(40))
def test_a_file_with_garbage_in_it(tmp_path: Path, seed: int) -> None:
    """What is read is what was written, or nothing."""
    file = filled(tmp_path)
    luck = random.Random(seed)
    raw = bytearray(file.read_bytes())
    for _ in range(luck.randrange(1, 4)):
        size = luck.choice([1, 30, 3_000])
        first = luck.randrange(len(raw) - size)
        raw[first : first + size] = luck.randbytes(size)
    file.write_bytes(raw)

    store = opened(tmp_path)
    store.begin(StoredLife(2, 0), store.recalled.entries, PATIENCE)
    logged = store.events_after(1, 0)
    store.close()

    assert logged in (None, events(*range(1, 2_001)))

    assert set(store.recalled.entries) <= set(ROWS)
    if store.recalled.good:
        assert set(store.recalled.entries) == set(ROWS)
    usable(tmp_path)


@pytest.mark.parametrize("content", [b"", b"nonsense", bytes(8_192), b"SQLite format 3\0" * 600])
def test_what_is_no_store_is_set_aside(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "agent.db"
    file.write_bytes(content)

    with caplog.at_level(logging.WARNING):
        opened(tmp_path).close()

    aside = list(tmp_path.glob("agent.db.broken-*"))
    assert [each.read_bytes() for each in aside] == ([content] if content else [])
    assert len(caplog.records) == len(aside)
    usable(tmp_path)


def test_a_store_of_another_version_is_set_aside(tmp_path: Path) -> None:
    file = filled(tmp_path)
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    store = opened(tmp_path)
    store.close()

    assert store.recalled.entries == []
    assert len(list(tmp_path.glob("agent.db.broken-*"))) == 1


def test_few_broken_files_are_kept(tmp_path: Path) -> None:
    for second in range(6):
        (tmp_path / "agent.db").write_bytes(b"nonsense %d" % second)
        Store(tmp_path, US, wall_ms=partial(int, second * 1000)).close()

    aside = sorted(tmp_path.glob("agent.db.broken-*"))
    assert [each.read_bytes() for each in aside] == [b"nonsense %d" % n for n in (3, 4, 5)]


def test_a_file_that_breaks_while_it_is_used(tmp_path: Path) -> None:
    """It is set aside, and all that there is goes into a new one."""
    returned: list[bool] = []
    filled(tmp_path)
    store = Store(tmp_path, US, wall_ms=lambda: 0, on_returned=lambda: returned.append(True))
    store.begin(StoredLife(2, 0), ROWS, PATIENCE)
    with (tmp_path / "agent.db").open("r+b") as file:
        file.write(b"x" * 4_096)
    os.truncate(tmp_path / "agent.db-wal", 0)
    store.keep({row("late").key: row("late")}, 301)
    assert store.flush(PATIENCE)
    if returned:
        store.replace_entries([*ROWS, row("late")])
    store.close()

    again = opened(tmp_path)
    again.close()
    assert not again.recalled.good or set(again.recalled.entries) == {*ROWS, row("late")}


LIMITED = """
import resource, sys
from pathlib import Path
from discoagent.store import Store, StoredLife
from tests.store.test_store import row
from tests.store.writer import US
directory, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
store = Store(directory, US, wall_ms=lambda: 0)
store.begin(StoredLife(store.recalled.incarnation + 1, 0), store.recalled.entries, 5)
for number in range(300):
    one = row(f"more-{number}")
    store.keep({one.key: one}, 300 + number)
    assert store.flush(5)
print(len(store.recalled.entries), store.away)
store.close()
"""


@pytest.mark.parametrize("limit", [0, 20_000, 100_000, 10**9])
def test_a_disk_without_room(tmp_path: Path, limit: int) -> None:
    """What was kept is recalled, one line says so, and the next life knows that something lacks."""
    filled(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), str(limit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert ran.stdout.split() == ["300", str(limit < 10**9)], ran.stderr
    assert ran.stderr.count("cannot be written") == (limit < 10**9)
    again = opened(tmp_path)
    again.close()
    assert {*ROWS} <= set(again.recalled.entries)
    assert again.recalled.good == (limit == 10**9)
    assert again.recalled.good == (len(again.recalled.entries) == 600)


MOUNTED = """
set -e
mount -t tmpfs -o size=600k none "$1"
cp "$2"/agent.db* "$1"/
if [ "$3" = full ]; then cat /dev/zero > "$1"/filler 2>/dev/null || true; fi
if [ "$3" = ro ]; then mount -o remount,ro "$1"; fi
exec "$4" -c "$5" "$1" 1000000000
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare"
)
@pytest.mark.parametrize("kind", ["full", "ro"])
def test_a_real_disk_that_is_full_or_read_only(tmp_path: Path, kind: str) -> None:
    source, mount = tmp_path / "source", tmp_path / "mount"
    source.mkdir()
    mount.mkdir()
    filled(source)
    ran = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", MOUNTED, "sh"),
            *(str(mount), str(source), kind, sys.executable, LIMITED),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert ran.stdout.split() == ["300", "True"], ran.stderr
    assert ran.stderr.count("cannot be written") == 1


def test_a_directory_that_comes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is tried again, and asks for all entries anew."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.02)
    directory = tmp_path / "missing" / "state"
    returned = threading.Event()
    store = Store(directory, US, wall_ms=lambda: 0, on_returned=returned.set)
    store.begin(StoredLife(9, 0), [], PATIENCE)
    assert store.away
    directory.parent.mkdir()
    assert returned.wait(PATIENCE)
    store.replace_entries(ROWS)
    store.close()

    again = opened(directory)
    again.close()
    assert set(again.recalled.entries) == set(ROWS)
    assert again.recalled.incarnation == 9
