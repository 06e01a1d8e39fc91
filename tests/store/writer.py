"""A process that writes to a store until it is killed, and says what it has been confirmed.

    python -m tests.store.writer DIRECTORY SEED

    kept N      the entries of all batches up to N outlive a kill
    written N   and so does everything else of them

The batches follow from the seed, so that a reader knows what each one made of the store.
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from discoagent.core.effects import Event, EventKind
from discoagent.core.entry import Cause, Entry, Kind
from discoagent.store import Identity, Store, StoredEntry, StoredLife
from discoagent.store.events import LoggedEvent

US = Identity("a", "test")
ENTRIES_MAX = 800
Table = dict[tuple[int, str, str], StoredEntry]


def batches(seed: int) -> Iterator[list[StoredEntry | tuple[int, str, str]]]:
    """Yield batches without end: rows that are kept, and keys that are dropped."""
    luck = random.Random(seed)
    while True:
        batch: list[StoredEntry | tuple[int, str, str]] = []
        for _ in range(luck.randrange(1, 40)):
            key = (luck.randrange(1, 3), luck.choice(["web", "db"]), str(luck.randrange(200)))
            if luck.random() < 0.3:
                batch.append(key)
            else:
                owner, body = luck.randbytes(30), luck.randbytes(luck.randrange(300))
                lease = (3_000, luck.randrange(10**12)) if luck.random() < 0.2 else (None, None)
                batch.append(StoredEntry(*key, owner, body, *lease))
        yield batch


def apply(table: Table, batch: list[StoredEntry | tuple[int, str, str]]) -> None:
    """Do to a table what a batch does to the store."""
    for each in batch:
        if isinstance(each, StoredEntry):
            table[each.key] = each
        else:
            table.pop(each, None)


def logged(number: int) -> LoggedEvent:
    """Return the event of that number."""
    entry = Entry(Kind.SERVICE, "web", "1", b"owner", b"event %d" % number)
    why = Cause("registered", b"", number)
    return LoggedEvent(number, number, Event(EventKind.ADDED, "a", entry, None, why), (5, number))


def hand_over(store: Store, number: int, batch: list[StoredEntry | tuple[int, str, str]]) -> None:
    """Hand a batch to the store, with one event."""
    for each in batch:
        if isinstance(each, StoredEntry):
            store.keep({each.key: each}, ENTRIES_MAX)
        else:
            store.keep({each: None}, ENTRIES_MAX)
    store.append_events([logged(number)])
    store.note(vector=b"vector %d" % number)


def main(directory: Path, seed: int) -> None:
    """Write for ever."""
    luck = random.Random(seed)
    store = Store(directory, US, wall_ms=lambda: 0)
    store.begin(StoredLife(store.recalled.incarnation + 1, 0), (), 5.0)
    for number, batch in enumerate(batches(seed), 1):
        hand_over(store, number, batch)
        assert store.secure() == 0, "the ledger is large enough"
        print("kept", number, flush=True)
        if luck.random() < 0.3:
            store.hand_over()
        if luck.random() < 0.1:
            assert store.flush(5.0)
            print("written", number, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
