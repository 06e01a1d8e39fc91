"""The client's side of the local protocol (see `api.py`): calls out as bytes, answers in. Pure.

A `Session` numbers requests and pairs what comes back with them; it has no socket, no clock and no
thread, so that the threaded `Disco` and an asyncio client are two thin shells over it:

    number, frame = session.ask(call)   # you must send `frame`
    answer = session.receive(frame)     # for every frame that arrives; None: it finished nothing
    value, quality = answer.result()    # or raises the error that the agent answered

What can be asked, and how its result is read, is in `calls.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import msgpack

from discoagent.api import API_VERSION, REQUEST_BYTES_MAX, Status
from discoagent.errors import BY_CODE, DiscoError, InvalidRequest
from discoagent.instance import rfc3339

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Call(NamedTuple, Generic[T_co]):
    """One thing to ask: the operation, its arguments, and how the result is read.

    `read` is given the bodies of all MORE answers in order, and the body of the last answer.
    """

    operation: str
    arguments: Mapping[str, Any]
    read: Callable[[list[Any], Any], T_co]


class Missing(NamedTuple):
    """Between which two moments (RFC 3339) the agent saw nothing; `since` None: ever before."""

    since: str | None
    until: str


class Quality(NamedTuple):
    """How far an answer can be relied on.

    `partial`: the agent was not ready. `stale_ms`: it may be cut off from the others, and has not
    heard some of them for so long. `missing`: what the record lacks of what was asked.
    """

    partial: bool = False
    stale_ms: int | None = None
    missing: Missing | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Quality":
        """Read what a result says of itself."""
        stale_ms, missing = told.get("stale_ms"), told.get("missing_ms")
        return cls(
            bool(told.get("partial")),
            None if stale_ms is None else int(stale_ms),
            None if missing is None else _missing(*missing[:2]),
        )


class Answer(NamedTuple):
    """What finished a request, or, for a stream, what came of it.

    `bodies`: of the MORE answers so far (a stream: of this one alone). `body`: of the last answer.
    """

    number: int
    call: Call[Any]
    status: Status
    bodies: list[Any]
    body: Any

    def result(self) -> tuple[Any, Quality]:
        """Return the result and how far to rely on it; raise the error that was answered.

        Raises DiscoError (kind `protocol`) if the answer does not have the shape of `api.py`.
        """
        if self.status is Status.ERROR:
            raise error_of(self.body)
        try:
            value = self.call.read(self.bodies, self.body)
            quality = Quality.of(self.body if isinstance(self.body, dict) else {})
        except DiscoError:
            raise
        except Exception as error:  # whatever shape the nonsense has
            raise nonsense(f"its answer to `{self.call.operation}` has another shape") from error
        return value, quality


class _Open(NamedTuple):
    call: Call[Any]
    stream: bool
    bodies: list[Any]


class Session:
    """The requests of one connection and the answers to them."""

    def __init__(self) -> None:
        self._number = 0
        self._open: dict[int, _Open] = {}

    @property
    def open(self) -> int:
        """How many requests wait for their last answer."""
        return len(self._open)

    def ask(self, call: Call[Any], *, stream: bool = False) -> tuple[int, bytes]:
        """Return the number of a new request and the frame that you must send.

        `stream`: `receive` returns each MORE answer as it comes, instead of with the last one.
        Raises InvalidRequest if an argument cannot be packed, or all together are too large.
        """
        self._number += 1
        frame = self._pack(self._number, call)
        self._open[self._number] = _Open(call, stream, [])
        return self._number, frame

    def tell(self, call: Call[None]) -> bytes:
        """Return the frame of a request that is not answered, which you must send."""
        self._number += 1
        return self._pack(self._number, call)

    def forget(self, number: int) -> None:
        """Wait no longer for a request: what still comes of it is dropped."""
        self._open.pop(number, None)

    def receive(self, frame: bytes) -> Answer | None:
        """Take in a frame. Return what finished a request (or came of a stream), else None.

        Answers to requests that nobody waits for any more are dropped. Raises DiscoError (kind
        `protocol`) for a frame that is no answer at all: the connection is of no use then.
        """
        number, status, body = _unpack(frame)
        waiting = self._open.get(number)
        if waiting is None:
            return None
        if status is not Status.MORE:
            del self._open[number]
            return Answer(number, waiting.call, status, waiting.bodies, body)
        if waiting.stream:
            return Answer(number, waiting.call, status, [body], None)
        waiting.bodies.append(body)
        return None

    @staticmethod
    def _pack(number: int, call: Call[Any]) -> bytes:
        try:
            frame: bytes = msgpack.packb([API_VERSION, number, call.operation, call.arguments])
        except UnicodeEncodeError as error:
            from discoagent.rules import refuse

            refuse(_culprit(call) or call.operation, "UTF-8", error.object)
        except (TypeError, ValueError, OverflowError) as error:
            field = _culprit(call)
            raise InvalidRequest(
                f"{call.operation}: {field} cannot be sent: {error}", field=field
            ) from None
        if len(frame) > REQUEST_BYTES_MAX:
            raise InvalidRequest(
                f"{call.operation}: {len(frame)} bytes of arguments, at most {REQUEST_BYTES_MAX}"
            )
        return frame


def _missing(since_ms: int | None, until_ms: int) -> Missing:
    return Missing(None if since_ms is None else rfc3339(since_ms), rfc3339(until_ms))


def error_of(body: Any) -> DiscoError:
    """Return the error that the body of an ERROR answer stands for."""
    if not isinstance(body, dict) or not isinstance(body.get("message"), str):
        return nonsense("its error is no map with a message")
    kind = BY_CODE.get(body.get("code", 7), DiscoError)
    return kind(body["message"], kind=body.get("kind"), field=body.get("field"))


def nonsense(what: str) -> DiscoError:
    """Return the error for an agent that does not keep to the protocol."""
    return DiscoError(
        f"the agent does not speak local protocol {API_VERSION}: {what}", kind="protocol"
    )


def _unpack(frame: bytes) -> tuple[int, Status, Any]:
    try:
        number, status, body = msgpack.unpackb(frame)[:3]
        status = Status(status)
        if number is not None:
            return int(number), status, body
    except Exception as error:  # msgpack raises many kinds, and so do shapes
        raise nonsense("a frame that is no answer") from error
    raise error_of(body)  # the agent could not even read the request's number


def _culprit(call: Call[Any]) -> str | None:
    """Name the first argument that msgpack refuses."""
    for field, value in call.arguments.items():
        try:
            msgpack.packb(value)
        except (TypeError, ValueError, OverflowError):
            return field
    return None
