"""Fixed-size hashes of sets, kept in O(1): equal sets, equal digests; one XOR a change.

A digest is compared between agents that trust each other, so 64 bits of a good mixer suffice: a
chance collision costs one delayed repair, and the next change ends it.
"""

try:
    from _blake2 import blake2b  # without hashlib, which loads OpenSSL as well: 4 MiB for nothing
except ImportError:
    from hashlib import blake2b

_MASK = (1 << 64) - 1


def hashed(raw: bytes, size: int) -> bytes:
    """Return a BLAKE2b hash of so many bytes."""
    return blake2b(raw, digest_size=size).digest()


def name_hash(name: str) -> int:
    """Return the 8-byte hash by which a node's or a cluster's name travels in heartbeats."""
    return int.from_bytes(hashed(name.encode(), 8), "big")


def mix(value: int) -> int:
    """Spread a number over 64 bits (splitmix64's finalizer: Steele, Lea, Flood, OOPSLA 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Digests:
    """The set digest over (node, incarnation), and the vector digest over their clocks too."""

    __slots__ = ("_parts", "set", "vector")

    def __init__(self) -> None:
        self.set = 0
        self.vector = 0
        self._parts: dict[str, tuple[int, int]] = {}

    def count(self, node: str, node_hash: int, incarnation: int, clock: int) -> None:
        """Let the node be counted as it stands now."""
        member = mix(node_hash ^ mix(incarnation))
        vector = mix(member ^ mix(clock))
        self.drop(node)
        self._parts[node] = (member, vector)
        self.set ^= member
        self.vector ^= vector

    def drop(self, node: str) -> None:
        """Count the node no more."""
        member, vector = self._parts.pop(node, (0, 0))
        self.set ^= member
        self.vector ^= vector
