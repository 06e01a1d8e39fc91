"""The packed form of a checkpoint: all that was shown at one moment.

checkpoint  zlib: msgpack, one after the other: [node, kind, name, id, owner, body]
"""

import zlib
from collections.abc import Iterable, Iterator

import msgpack

from discoagent.core.entry import Entry, Kind
from discoagent.store.sqlite import BrokenStoreError

PACKED_TOGETHER = 500  # entries; then others may have the interpreter
QUICKLY = 1  # zlib's level: half the size of none, for a tenth of the time of the best


def pack(shown: Iterable[tuple[str, Entry]]) -> bytes:
    """Pack what nodes show; for a thread of its own, as there may be much."""
    pack_one = msgpack.Packer().pack
    deflater = zlib.compressobj(QUICKLY)
    parts: list[bytes] = []
    rows: list[bytes] = []
    for node, it in shown:
        rows.append(pack_one((node, it.kind, it.name, it.id, it.owner, it.body)))
        if len(rows) == PACKED_TOGETHER:
            parts.append(deflater.compress(b"".join(rows)))
            rows.clear()
    return b"".join([*parts, deflater.compress(b"".join(rows)), deflater.flush()])


def unpack(packed: bytes) -> Iterator[tuple[str, Entry]]:
    """Read what `pack` has packed. Raises BrokenStoreError for anything else."""
    unpacker = msgpack.Unpacker(use_list=False)
    inflater = zlib.decompressobj()
    try:
        unpacker.feed(inflater.decompress(packed))
        for node, kind, *rest in unpacker:
            yield node, Entry(Kind(kind), *rest)
    except Exception as error:  # whatever shape the nonsense has
        raise BrokenStoreError("a checkpoint of another shape") from error
