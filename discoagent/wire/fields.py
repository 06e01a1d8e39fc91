"""Single fields off the wire, each with its type and bound checked before the next. Pure.

A frame is never unpacked whole: the schema asks for each field in turn, and the unpacker is told to
refuse any array, map or extension type that the schema did not open itself. So a header that claims
four billion elements costs nothing, and what a frame can make the reader allocate follows from the
bytes it really brings.
"""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgpack

from discoagent.core.entry import ReplicaId
from discoagent.core.limits import MESSAGE_BYTES_MAX, NAME_BYTES_MAX

INTEGER_MAX = 2**63 - 1

_FIRST_BUFFER_BYTES = 512  # it grows; the default of 1 MiB would be mapped anew for each frame

_name_matches = re.compile(rf"[A-Za-z0-9._-]{{1,{NAME_BYTES_MAX}}}").fullmatch
_control_in = re.compile(r"[\x00-\x1f\x7f-\x9f]").search

T = TypeVar("T")


class WireError(Exception):
    """A frame that this version does not read. Nothing of it was used.

    `reason` is a short stable word, fit for a counter: `size`, `malformed`, `version`,
    `unknown-kind`, `missing`, `type`, `range`, `length`, `name`, `control`, `order`, `reference`,
    `duplicate` or `trailing`. `detail` is for the log and names the field and its bound.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Reader:
    """A cursor over one msgpack frame. Every method names the field it reads, for the error."""

    __slots__ = ("_array_header", "_map_header", "_next", "_skip", "tell")

    def __init__(self, packed: bytes | memoryview) -> None:
        unpacker = msgpack.Unpacker(
            read_size=_FIRST_BUFFER_BYTES,
            max_buffer_size=MESSAGE_BYTES_MAX,
            max_array_len=0,
            max_map_len=0,
            max_ext_len=0,
        )
        unpacker.feed(packed)
        self._next: Callable[[], Any] = unpacker.unpack
        self._array_header: Callable[[], int] = unpacker.read_array_header
        self._map_header: Callable[[], int] = unpacker.read_map_header
        self._skip: Callable[[], None] = unpacker.skip
        self.tell: Callable[[], int] = unpacker.tell

    def integer(self, field: str, low: int = 0, high: int = INTEGER_MAX) -> int:
        """Read an integer in low..high."""
        try:
            value = self._next()
        except ValueError as error:
            raise _unreadable(field, error) from None
        if type(value) is not int:
            raise _wrong_type(field, "an integer", value)
        if not low <= value <= high:
            raise WireError("range", f"{field} is {value}, not in {low}..{high}")
        return value

    def optional_index(self, field: str, table: list[T]) -> T | None:
        """Read nil, or the number of an element of `table`, and return that element."""
        try:
            value = self._next()
        except ValueError as error:
            raise _unreadable(field, error) from None
        return None if value is None else _at(field, table, value)

    def index(self, field: str, table: list[T]) -> T:
        """Read the number of an element of `table` and return that element."""
        try:
            value = self._next()
        except ValueError as error:
            raise _unreadable(field, error) from None
        return _at(field, table, value)

    def choice(self, field: str, table: Mapping[int, T]) -> T:
        """Read an integer that stands for one of a few values."""
        try:
            value = self._next()
        except ValueError as error:
            raise _unreadable(field, error) from None
        if type(value) is not int:
            raise _wrong_type(field, "an integer", value)
        if value not in table:
            raise WireError("range", f"{field} is {value}, not one of {', '.join(map(str, table))}")
        return table[value]

    def boolean(self, field: str) -> bool:
        """Read true or false."""
        try:
            value = self._next()
        except ValueError as error:
            raise _unreadable(field, error) from None
        if type(value) is not bool:
            raise _wrong_type(field, "a boolean", value)
        return value

    def blob(self, field: str, bytes_max: int) -> bytes:
        """Read at most `bytes_max` opaque bytes."""
        try:
            value = self._next()
        except ValueError as error:
            raise _unreadable(field, error) from None
        if type(value) is not bytes:
            raise _wrong_type(field, "bytes", value)
        if len(value) > bytes_max:
            raise WireError("length", f"{field} has {len(value)} bytes, the bound is {bytes_max}")
        return value

    def text(self, field: str, bytes_max: int, bytes_min: int = 1) -> str:
        """Read UTF-8 without control characters, of bytes_min..bytes_max bytes."""
        try:
            value = self._next()
        except ValueError as error:
            raise _unreadable(field, error) from None
        if type(value) is not str:
            raise _wrong_type(field, "text", value)
        size = len(value) if value.isascii() else len(value.encode())
        if not bytes_min <= size <= bytes_max:
            raise WireError("length", f"{field} has {size} bytes, not {bytes_min}..{bytes_max}")
        if _control_in(value):
            raise WireError("control", f"{field} holds a control character")
        return value

    def name(self, field: str) -> str:
        """Read a node's, service's or instance's name."""
        try:
            value = self._next()
        except ValueError as error:
            raise _unreadable(field, error) from None
        if type(value) is not str:
            raise _wrong_type(field, "text", value)
        if not _name_matches(value):
            raise WireError("name", f"{field} is not [A-Za-z0-9._-]{{1,{NAME_BYTES_MAX}}}")
        return value

    def replica(self, field: str) -> ReplicaId:
        """Read the two fields node and incarnation. Nodes are few and named often: interned."""
        return ReplicaId(sys.intern(self.name(field)), self.integer(field))

    def array(self, field: str, fields_min: int) -> int:
        """Open an array of unlike fields and return its length: later versions append some."""
        try:
            count = self._array_header()
        except ValueError:
            raise WireError("type", f"{field} is not an array") from None
        if count < fields_min:
            raise WireError("missing", f"{field} has {count} of {fields_min} fields")
        return count

    def items(self, field: str, items_max: int) -> int:
        """Open an array of like items and return how many there are."""
        try:
            count = self._array_header()
        except ValueError:
            raise WireError("type", f"{field} is not an array") from None
        if count > items_max:
            raise WireError("length", f"{field} has {count} items, the bound is {items_max}")
        return count

    def pairs(self, field: str, pairs_max: int) -> int:
        """Open a map and return how many pairs there are."""
        try:
            count = self._map_header()
        except ValueError:
            raise WireError("type", f"{field} is not a map") from None
        if count > pairs_max:
            raise WireError("length", f"{field} has {count} pairs, the bound is {pairs_max}")
        return count

    def skip(self, count: int) -> None:
        """Pass by `count` fields of whatever type, building nothing."""
        for _ in range(count):
            self._skip()


def _at(field: str, table: list[T], value: object) -> T:
    if type(value) is not int:
        raise _wrong_type(field, "an integer", value)
    if not 0 <= value < len(table):
        raise WireError("reference", f"{field} is {value}, the table has {len(table)}")
    return table[value]


def _unreadable(field: str, error: ValueError) -> WireError:
    """Say why the unpacker refused. Its limits of 0: a container where a single value belongs."""
    if isinstance(error, UnicodeDecodeError):
        return WireError("type", f"{field} is not UTF-8")
    if isinstance(error, msgpack.FormatError):
        return WireError("malformed", f"{field} is not msgpack")
    return WireError("type", f"{field} is not a single value: {error}")


def _wrong_type(field: str, expected: str, value: object) -> WireError:
    return WireError("type", f"{field} is not {expected} but {type(value).__name__}")
