"""What travels in the extension map of a message; whoever does not know a key passes it by.

1  wall clock  milliseconds since the epoch when the message was sent, u64 big-endian;
               in each ProbeReply, for the diagnosis of clocks that differ
"""

import struct
from collections.abc import Mapping

WALL_CLOCK = 1
_U64 = struct.Struct(">Q")


def of_wall_clock(ms: int) -> dict[int, bytes]:
    """Return the extension that tells this time."""
    return {WALL_CLOCK: _U64.pack(ms)}


def wall_clock(extensions: Mapping[int, bytes]) -> int | None:
    """Return the time that a message's extensions tell; None if none, or nonsense."""
    raw = extensions.get(WALL_CLOCK)
    if raw is None or len(raw) != _U64.size:
        return None
    (ms,) = _U64.unpack(raw)
    return int(ms)
