"""The local API: what an application says to the agent on its own host, and what comes back. Pure.

Any language with ZeroMQ and msgpack can speak it; this docstring is its specification.

**Transport.** A ZeroMQ DEALER (without a ROUTING_ID of its own) connected to the agent's `ipc://`
socket. A request and each of its answers is one frame of msgpack (strings as `str`, packed values
as `bin`). Requests may be pipelined; answers to one request come in order, answers to different
requests in any. Changes are made in the order asked. Who asks is taken from the kernel
(SO_PEERCRED), never from the message.

**Request**: `[version, number, operation, arguments]`: 1, a number of the asker's choice (0..2^53,
unique among its open requests), a word, a map. An argument that the operation does not know is
refused by name. A request is at most `REQUEST_BYTES_MAX` bytes: the socket itself closes the
connection of whoever sends more.

**Answer**: `[number, status, body]`.

    0 DONE    the last answer; body is the result
    1 ERROR   the last answer; body is {"code", "kind", "message", "field" or nil};
              code as in `errors.py`
    2 MORE    a part of the result; more answers follow

The number is nil where the request was too broken to have one. Readers take the fields they know:
later versions add some. Whoever does not read its answers loses them beyond `UNREAD_BYTES_MAX`,
and its watches with them.

**Rows.** An instance is `[service, id, node, overlay, owner, body]`, where overlay is "",
"suspect" or "restarting" and owner and body are packed as in `instance.py`. A meta (what is said of
a key of a topic) is `[topic, id, node, overlay, owner, body, "presence"]`, its body packed as in
`presence.py`; the id names it over all its versions. An event is
`[kind, at_ms, row or nil, row before or nil, cause or nil, actor, token or nil, node or nil]`;
overlays are worked out when read and make no events, so an event's rows have none. Out of the
record a ninth field follows, seen_ms: when this agent saw it, by its own clock.

**Operations**: the arguments (and what they are if absent), then the result. `wait_ms` (0): until
the agent is ready, a query waits so long, then answers what there is. The result of every query is
a map with `"partial"`: was the agent not ready? It holds `"stale_ms"`, too, where most other nodes
are silent, so that the agent may be cut off: how long ago it heard the one that is silent for
longest. Changes never wait. `id` is
`SERVICE/INSTANCE@NODE`, `SERVICE/INSTANCE` or `INSTANCE`; this node's own is preferred, and one
that still fits several is refused with code 2.

    hello
        -> {"node", "incarnation", "cluster", "version", "api", "wire", "pid"}
    list        services ([]: all), tags ([]: any), node (nil), usable (false),
                filter (nil: any; an expression of `filters.py`), wait_ms
        -> MORE: [row...], at most LIST_PAGE_ROWS each; DONE: {"partial"}
    at          ms since the epoch, then as with `list`
        -> as of `list`, what was shown then; DONE: {"partial", "missing_ms"}
    history     id (nil: all), since_ms (nil: all; else what was seen in the last so many),
                last (false), wait_ms
        -> MORE: [event...], oldest first; with `last` from the latest `added` on, and an error
           where nothing is known of that id; DONE: {"partial", "missing_ms"}
    get         id, wait_ms
        -> {"row", "checks", "partial"}: of an instance of this node, in the order of its checks,
           [{"output", "ago_ms" or nil, "took_ms", "failures": in a row, "penalty"}...], else []
    services    wait_ms
        -> {"services": [[name, {state: count}]...], "partial"}, sorted
    members     wait_ms
        -> {"members": [map as `discoctl members -o json`...], "partial"}, sorted
    status      ready_ms (0: answer at once; else once ready, or when it is over)
        -> the map of `discoctl status -o json`
    ping
        -> {"node"}
    register    service, port (nil), address (nil: the host that the agent advertises),
                id (nil: SERVICE-PORT, or SERVICE-PID, or SERVICE), tags ([]), meta ({}),
                lifetime (["process", nil]): ["process", pid or nil: the asker],
                    ["lease", ttl_ms] or ["static"],
                replace (false), wrapper (nil), checks ([]), verify (false), dry_run (false),
                ref (nil), registered_ms (nil), updated_ms (nil)
        -> {"row", "adopted"}; with dry_run {}: nothing is done, but what would be refused is
    update      id; port, address (absent: keep); tags, meta (absent: keep; else the whole of it);
                tag ([]), untag ([]), set ({}), unset ([]), checks (absent: keep)
        -> {"row"}
    renew       id
        -> {"row"}
    ttl         id, word: pass, warn or fail; note ("")
        -> {"row"}
    maint       on, id (nil: all of this node), reason (nil), for_ms (nil: until it is put back)
        -> {"rows"}
    drain       id (nil: all of this node)
        -> {"rows"}
    reload      dry_run (false: apply the difference)
        -> {"dry_run", "config": {"changed", "restart": what that takes a restart for},
            "services": [{"change": "added", "updated" or "removed", "service", "id", "file" or
            nil}...], "problems": [{"file" or nil, "line" or nil, "field" or nil, "message"}...]}
    deregister  id, cause (nil; `exit:CODE` or `exit:SIGNAL`, by the wrapper alone),
                own (false; true: only if the asker owns it, so that who took it over keeps it)
        -> {"row"}: as it was before
    presence    topic, wait_ms
        -> MORE: [row...] of the topic's metas, in any order; DONE: {"partial"}
    topics      wait_ms
        -> {"topics": [[topic, number of keys, number of metas]...], "partial"}, sorted
    track       topic, key, meta ({}; a JSON object), lifetime and wrapper as with `register`,
                id (nil: a meta of its own), ref (nil), registered_ms (nil), updated_ms (nil)
        -> {"row", "adopted"}
    retrack     topic, id (or the whole ref), meta (absent: keep)
        -> {"row"}
    untrack     topic, id (or the whole ref), cause (nil; as with `deregister`)
        -> {"row"}: as it was before
    watch       services ([]: all; nil: none), topics (nil: none; []: all),
                filter (nil: any; of instances), wait_ms, caught_up (false), token (nil), seen (0),
                kept (false)
        -> MORE: [event...] batches: the present as `added`, or what the token's holder missed, a
           `synced`, then events as they happen, `caught-up` if that was asked for; DONE {} after a
           `cancel`. With a filter a change that lets an instance fit is told as `added`, one that
           ends that as `removed`
    seen        nodes (nil: all that are present), wait_ms
        -> MORE: [], now and then; DONE once so many have seen what this node has changed until
           now, or when the time is over, or at once if there are fewer:
           {"seen": [[node, ms until that was known]...], "missing": [node...]}
    converged   wait_ms
        -> MORE: [], now and then; DONE once all that are present have what is shown here now, or
           when the time is over: {"nodes": [[node, "same", "behind" or "silent",
           {node: how many of its steps are missing there}]...], "partial"}
    cancel      watch: the number of its request
        -> {}, whether or not there is such a watch
    more        watch, batches: how many more batches the asker has room for
        -> nothing at all: no answer, unless the arguments are refused
    log-level   level (nil: only say it): debug, info, warning or error
        -> {"level"}
    monitor     level ("info")
        -> MORE: [[at_ms, level, message]...], the agent's log from now on; DONE {} after a `cancel`
    examine
        -> {"diagnoses": [[subject, "ok", "warning" or "problem", text, advice]...]}, after some
           seconds: the agent dials its peers and asks how they see it
    settings
        -> {"settings": {key: value}}, the configuration in force
    join        addresses: ["HOST:PORT"...], wait_ms (2000)
        -> {"results": [[address, ok, error or nil, code]...]}, code 0, 1 (not reached) or 4
    why         node
        -> the map of `discoctl why NODE -o json`
    forget      node
        -> {"node", "state": what it was before}
    leave
        -> {} once the departure was told to all; then the agent ends

*register* of a (service, id) that the same owner has here changes that entry and keeps its ref. An
agent that was started anew has forgotten: whoever held a registration says it again with `ref`
(`[incarnation, clock]`, or `NODE.INCARNATION.CLOCK`), `registered_ms` and `updated_ms` of the last
answer it had; then nothing differs from before and nobody sees an event. `adopted`: this went on
with a registration that was there before. `wrapper` is the asker's own pid: when the process ends,
the agent waits for a moment (25 ms, and only while the wrapper lives) for a `deregister` that tells
how, before it gives the plain cause `exit`.

*track* makes a meta of its own at each call, so a key has as many as were tracked; one that is said
again is named by the `id` of its row. A meta's ref is that of its last change: `retrack` with
another meta gives another, which is an event. Whatever the meta, `retrack` gives a lease its whole
time anew; without a meta it does only that, and only leases take it.

*checks* is a list of at most 8 maps:

    {"kind": "http", "target": "http:/PATH", "https:/PATH" or a URL, "match": a text, if any, ...}
    {"kind": "tcp", "target": "HOST:PORT", or nil: the instance's own address and port, ...}
    {"kind": "exec", "command": [word...], ...}
        and of these three "interval_ms" (5000), "timeout_ms" (2000), "rise" (1), "fall" (2)
    {"kind": "ttl", "interval_ms": until which the owner must have said `ttl` again}

In an entry each has "state" and "flapping", too. A check is `pending` until its first pass; then
`fall` failures in a row make it worse and `rise` better outcomes make it better, and one that keeps
changing is held at its worst until it has calmed down. A check of the same thing keeps its state
when a registration is said again. Commands run as the owner, and are refused where the agent cannot
become that user.

*verify*: the process, or a child of it, must listen on the port. On others only: code 6. On none
yet: the instance is `pending` until it does, by a check of kind "port" of the agent's own.

*maint* and *drain* give instances the state `maint` or `draining`, whatever their checks say;
*maint* with `on` false ends both. Without an id they are for root and the agent's own user, as is
*reload*.

*update* applies `tags` and `meta`, then `untag` and `unset`, then `tag` and `set`. *join*,
*leave*, *forget*, *monitor*, *settings* and changing the *log-level* are for root and the agent's
own user.

**The record.** `at` and `history` are answered out of what this agent saw, over its restarts, as
long ago as its bounds allow. Moments are those of its own clock, those of `at_ms` of whoever made a
change. What had changed while it was away is told as seen when it was back, with the cause
`unknown`. `missing_ms` is nil, or `[from or nil, until]`: it saw nothing between these two moments
(nil: ever before), so the answer to `at` is what it showed last before (or first after) that, and
`history` lacks what happened then. An id that is not there (any more) is looked for in the record.

**Tokens.** A watch with `token` is told what leads from there to now; a `reset` with a node (nil:
of all) where that is not known, and the node's present as `added`. Each event carries the token of
a watcher who has seen it. In clusters of more than 64 nodes only `synced`, `reset` and one event a
second do; the others carry the number up to which the agent's events were seen: whoever goes on
from the last token says the last number as `seen`. With `kept` all else that is shown is told
before `synced`, as `kept`, to whoever does not know what did not change. To who knows it and has
said `caught_up`, a node that was reset is told as this life of the agent first found it, then a
`told`, then each change since; so what changed after a restart is seen step by step.

**Restarts.** An agent that was just started is ready before it knows all that its former life knew:
clients have to say their registrations again, other nodes may be starting, too. It tells a watch
with `caught_up` of the end of that by the event `caught-up`, after a `synced` or later. Who
watches over a restart shows on what a present lacks until then.

**Flow.** A watch starts with room for `WATCH_CREDIT` batches; each batch with events takes one,
each `more` adds to it (to at most `WATCH_CREDIT_MAX`). Events that wait for room are kept, in
order, up to `WATCH_PENDING_MAX`; beyond it they are dropped and the watch is told a `reset` and the
present anew, so a watcher that sleeps costs bounded memory and nobody's time. A batch holds at most
`WATCH_BATCH_EVENTS` events. A watch that has been quiet for long is sent an empty batch, which
costs no room and wants no `more`: it shows the agent whether anybody is still there.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import msgpack

from discoagent.core.limits import NUMBER_MAX
from discoagent.errors import DiscoError, InvalidRequest, shorten

API_VERSION = 1
REQUEST_BYTES_MAX = 256 * 1024
UNREAD_BYTES_MAX = 32 * 1024 * 1024
LIST_PAGE_ROWS = 5_000
PAGE_BYTES_MAX = 1024 * 1024  # a page or a batch is closed by its bytes, too
WATCH_CREDIT = 16
WATCH_CREDIT_MAX = 1_024
WATCH_BATCH_EVENTS = 500
WATCH_PENDING_MAX = 10_000


class Status(IntEnum):
    """What follows an answer."""

    DONE = 0
    ERROR = 1
    MORE = 2


class Request(NamedTuple):
    """A request whose envelope could be read; the arguments are still as they came."""

    number: int
    operation: str
    arguments: Mapping[Any, Any]


class Malformed(InvalidRequest):
    """A frame that is no request; `number` is its number if it has one."""

    def __init__(self, message: str, field: str, number: int | None = None) -> None:
        super().__init__(message, field=field)
        self.number = number


def read_request(frame: bytes | memoryview) -> Request:
    """Read a frame's envelope. Raises Malformed."""
    if not frame:
        raise Malformed("request: must be one frame, neither empty nor several", "request")
    try:
        raw = msgpack.unpackb(frame)
    except Exception as error:  # noqa: BLE001 - msgpack raises what its parts raise: all of it is "not msgpack"
        raise Malformed(f"request: is not msgpack ({type(error).__name__})", "request") from None
    if type(raw) is not list or len(raw) != 4:
        raise Malformed(
            "request: must be a list of 4, [version, number, operation, arguments]", "request"
        )
    version, number, operation, arguments = raw
    if type(number) is not int or not 0 <= number <= NUMBER_MAX:
        raise Malformed(
            f"number: must be an integer from 0 to 2^53, not {shorten(number)}", "number"
        )
    if version != API_VERSION or type(version) is not int:
        raise Malformed(
            f"version: must be {API_VERSION}, not {shorten(version)}", "version", number
        )
    if type(operation) is not str:
        raise Malformed(f"operation: must be a word, not {shorten(operation)}", "operation", number)
    if type(arguments) is not dict:
        raise Malformed(f"arguments: must be a map, not {shorten(arguments)}", "arguments", number)
    return Request(number, operation, arguments)


# One packer for all answers: making one for each would cost more than the packing.
_pack = msgpack.Packer().pack
_header = msgpack.Packer(autoreset=False)


def done(number: int, body: Any) -> bytes:
    """Pack the last answer to a request."""
    packed: bytes = _pack((number, Status.DONE, body))
    return packed


def more(number: int, body: Any) -> bytes:
    """Pack a part of a result."""
    packed: bytes = _pack((number, Status.MORE, body))
    return packed


def failed(number: int | None, error: DiscoError) -> bytes:
    """Pack the answer to a request that was refused or that came to nothing."""
    body = {
        "code": error.code,
        "kind": error.kind,
        "message": error.message,
        "field": error.field,
    }
    packed: bytes = _pack((number, Status.ERROR, body))
    return packed


def packed(value: Any) -> bytes:
    """Pack a part of a batch once, for all the watches that will be sent it."""
    raw: bytes = _pack(value)
    return raw


def batch(number: int, parts: Sequence[bytes]) -> bytes:
    """Put packed parts together as one MORE answer, `[number, 2, [part...]]`."""
    _header.pack_array_header(3)
    _header.pack(number)
    _header.pack(Status.MORE)
    _header.pack_array_header(len(parts))
    head: bytes = _header.bytes()
    _header.reset()
    return head + b"".join(parts)
