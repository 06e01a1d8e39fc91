"""Agents of a newer release that still speaks wire version 1: in each message there is a field more
than its kind has today, and they send a kind that nobody knows today.

Which of the two a host runs changes with each of its lives, as in a deploy that is taken back.
"""

import msgpack

from discoagent import wire
from discoagent.core.entry import ReplicaId

NEWER_KIND = max(wire.Number) + 1
NEWER_EXTENSION = 99
NEWER_FIELD = "of a newer release"


def newer(frame: bytes) -> bytes:
    """Return a frame as the newer release says it: the new field is the last before the extensions.

    A heartbeat is a fixed struct, so that its new field is an extension.
    """
    if frame[0] == wire.WIRE_VERSION:
        extensions = {NEWER_EXTENSION: NEWER_FIELD.encode()}
        return frame[:-1] + bytes(msgpack.packb(extensions))
    *fields, extensions = msgpack.unpackb(frame, strict_map_key=False)
    return bytes(msgpack.packb([*fields, NEWER_FIELD, extensions]))


def unheard_of(sender: ReplicaId) -> bytes:
    """Return a message of a kind that nobody knows today."""
    return bytes(msgpack.packb([wire.WIRE_VERSION, NEWER_KIND, sender, NEWER_FIELD, {}]))
