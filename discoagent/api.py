"""The local API: what an application says to the agent on its own host, and what comes back. Pure.

Any language with ZeroMQ and msgpack can speak it; this docstring is its specification.

**Transport.** A ZeroMQ DEALER connected to the agent's `ipc://` socket. A request and each of its answers is one
frame of msgpack (strings as `str`, packed values as `bin`). Requests may be pipelined; answers to one request come
in order, answers to different requests in any. Who asks is taken from the kernel (SO_PEERCRED), never from the
message.

**Request**: `[version, number, operation, arguments]`: 1, a number of the asker's choice (0..2^53, unique among its
open requests), a word, a map. An argument that the operation does not know is refused by name.

**Answer**: `[number, status, body]`.

    0 DONE    the last answer; body is the result
    1 ERROR   the last answer; body is {"code", "kind", "message", "field" or nil}; code as in `errors.py`
    2 MORE    a part of the result; more answers follow

**Rows.** An instance is `[service, id, node, overlay, owner, body]`, where overlay is "", "suspect" or "restarting"
and owner and body are packed as in `instance.py`. An event is
`[kind, at_ms, row or nil, row before or nil, cause or nil, actor, token or nil, node or nil]`.

**Operations.** `wait_ms`: until the agent is ready, a query waits so long, then answers what there is.
The result of every query is a map with `"partial"`: was the agent not ready?

| operation | arguments (default) | result |
| --- | --- | --- |
| hello | | {"node", "incarnation", "cluster", "version", "api", "wire", "pid"} |
| list | services ([]: all), tags ([]), node (nil), usable (false), wait_ms | MORE: [row...], at most 5,000 each; DONE: {"partial"} |
| get | id: `SERVICE/INSTANCE@NODE`, `SERVICE/INSTANCE` or `INSTANCE`; wait_ms | {"row", "partial"} |
| services | wait_ms | {"services": [[name, {state: count}]...], "partial"}, sorted |
| members | wait_ms | {"members": [map as in `interface`...], "partial"}, sorted |
| status | ready_ms (0: answer at once; > 0: once ready, or when it is over) | the map of the contract |
| ping | | {"node"} |
| register | service, port (nil), address (nil), id (nil), tags ([]), meta ({}), lifetime: ["process", pid or nil: the asker] or ["lease", ttl_ms] or ["static"]; replace (false), wrapper (nil: or the pid that will tell how the process ended; the asker's own), ref (nil: or the ref of an earlier answer, when a registration is said again), registered_ms (nil, likewise) | {"row", "adopted": was it there before?} |
| update | id, port (absent: keep), address, tags (absent: keep; else the whole list), tag ([]), untag ([]), meta (absent: keep; else the whole map), set ({}), unset ([]) | {"row"} |
| renew | id | {"row"} |
| deregister | id, cause (nil; `exit:CODE` or `exit:SIGNAL`, by the wrapper alone) | {"row"}: as it was before |
| watch | services ([]), wait_ms | MORE: [event...] batches: the present as `added`, a `synced`, then events as they happen, until `cancel`. Each batch is answered by `more` before the second next is sent (see Flow) |
| cancel | watch: the number of its request | {} ; the watch ends with DONE {} |
| more | watch, batches: how many more batches the asker has room for | nothing at all (no answer) |
| join | addresses: ["HOST:PORT"...], wait_ms | {"results": [[address, ok, error or nil, code]...]} |
| leave | | {} once the node's departure was told to all; then the agent ends |

**Flow.** A watch starts with room for `WATCH_CREDIT` batches; each `more` adds to it. Events that wait for room are
kept, in order, up to `WATCH_PENDING_MAX`; beyond it they are dropped and the watch is told a `reset` and the present
anew, so a watcher that sleeps costs bounded memory and nobody's time.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

API_VERSION = 1
REQUEST_BYTES_MAX = 256 * 1024
LIST_PAGE_ROWS = 5_000
WATCH_CREDIT = 16
WATCH_BATCH_EVENTS = 500
WATCH_PENDING_MAX = 10_000


class Status(IntEnum):
    """What follows an answer."""

    DONE = 0
    ERROR = 1
    MORE = 2


Arguments = Mapping[str, Any]
