"""Writes log records to systemd's journal, with priorities and fields.

The native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram a record to
`/run/systemd/journal/socket`, a line `FIELD=value` each, or, for a value of several lines, the
field's name, its length as a little-endian u64, and the value.
"""

import logging
import os
import socket
import struct
import sys
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
RECORD_BYTES_MAX = 64 * 1024  # a datagram; a traceback is cut so that it fits
# Syslog's, the graver the smaller (syslog(3)); what is between gets the less grave one.
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
DEBUG_PRIORITY = 7


def connected() -> bool:
    """Does what this process writes to stderr go to the journal (systemd.exec(5))?"""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        here = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(here.st_dev), str(here.st_ino))


def priority(level: int) -> int:
    """Return syslog's number for a level of `logging`."""
    return next((number for least, number in _PRIORITIES if level >= least), DEBUG_PRIORITY)


def packed(fields: Mapping[str, str]) -> bytes:
    """Return the datagram of a record; `fields` are named in capitals."""
    parts = []
    for name, value in fields.items():
        raw = value.encode("utf-8", "backslashreplace")
        if b"\n" in raw:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(raw)) + raw + b"\n")
        else:
            parts.append(name.encode() + b"=" + raw + b"\n")
    return b"".join(parts)


class JournalHandler(logging.Handler):
    """Sends each record to the journal; a record that cannot be sent goes to stderr.

    What `extra={"fields": {"peer": ...}}` said is there as DISCOAGENT_PEER.
    """

    def __init__(self, path: str = SOCKET) -> None:
        """Raises OSError if there is no journal."""
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)  # a journal that hangs holds nobody up
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        message = self.format(record)  # with its traceback, if there is one
        fields = {
            "MESSAGE": message[: RECORD_BYTES_MAX // 2],
            "PRIORITY": str(priority(record.levelno)),
            "SYSLOG_IDENTIFIER": "discoagent",
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
        }
        for name, value in getattr(record, "fields", {}).items():
            fields[f"DISCOAGENT_{name.upper()}"] = str(value)
        try:
            self._socket.send(packed(fields))
        except OSError:
            sys.stderr.write(f"<{priority(record.levelno)}>{message}\n")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()
