"""What no peer of this version sends: builders of odd frames, and cases with their refusals."""

from typing import Any

import msgpack

from discoagent.wire import Number

WHO = ["node-a", 5]
HELLO = [1, "prod", "10.0.0.5:7800", 1, 1, [], 9, 0]
WEB = [1, None, 1, "web", "web-1", 0, b""]  # gap, cause, kind, name, id, owner, body
RECORD = ["10.0.0.5:7800", "0.1.0", 1, 1, [], {}, True, "", []]
CAUSE = ["registered", b"", 1]


def frame(
    number: int, *fields: Any, version: Any = 1, sender: Any = WHO, extensions: Any = None
) -> bytes:
    """An envelope around any fields at all."""
    return bytes(msgpack.packb([version, number, sender, *fields, extensions or {}]))


def hello(**changes: Any) -> bytes:
    """A Hello with some fields changed, by name."""
    order = ["number", "cluster", "endpoint", "low", "high", "features", "clock", "set_digest"]
    return frame(
        Number.HELLO, *(changes.get(name, value) for name, value in zip(order, HELLO, strict=True))
    )


def delta(
    *added: Any,
    since: Any = 0,
    until: Any = 9,
    causes: Any = (CAUSE,),
    owners: Any = (b"o",),
    removed: Any = (),
) -> bytes:
    """A DeltaMessage of any parts at all."""
    return frame(Number.DELTA, [[*WHO, since, until, causes, owners, added, removed]])


def page(*entries: Any, after: Any = 0, clock: Any = 9, last: Any = True, live: Any = ()) -> bytes:
    """A SyncChunk of one page of any parts at all."""
    return frame(Number.SYNC_CHUNK, 1, True, [[1, *WHO, after, clock, [b"o"], entries, last, live]])


def entry(**changes: Any) -> list[Any]:
    """An entry of a delta with some fields changed, by name."""
    order = ["gap", "cause", "kind", "name", "id", "owner", "body"]
    return [changes.get(name, value) for name, value in zip(order, WEB, strict=True)]


def record(**changes: Any) -> bytes:
    """A delta of a member record with some fields changed, by name."""
    order = ["endpoint", "version", "low", "high", "features", "labels"]
    order += ["settled", "boot", "ended"]
    body = [changes.get(name, value) for name, value in zip(order, RECORD, strict=True)]
    return delta(entry(kind=0, name="", id="", body=body))


NONSENSE = {
    # integers are integers, not what Python takes for one
    "true for a clock": (hello(clock=True), "type: greeting.clock is not an integer but bool"),
    "a float": (hello(clock=1.0), "type: greeting.clock is not an integer but float"),
    "NaN": (hello(clock=float("nan")), "type: greeting.clock is not an integer but float"),
    "nil": (hello(clock=None), "type: greeting.clock is not an integer but NoneType"),
    "negative": (hello(clock=-1), "range: greeting.clock is -1, not in 0..9223372036854775807"),
    "1 for true": (record(settled=1), "type: member.settled is not a boolean but int"),
    "bytes for text": (hello(cluster=b"prod"), "type: greeting.cluster is not text but bytes"),
    "text for bytes": (delta(entry(body="b")), "type: entry.body is not bytes but str"),
    "bytes for a name": (delta(entry(name=b"web")), "type: entry.name is not text but bytes"),
    "an array for text": (hello(cluster=["prod"]), "type: greeting.cluster is not a single value"),
    "an empty array for text": (hello(cluster=[]), "type: greeting.cluster is not text but list"),
    "a map for an integer": (hello(clock={1: 1}), "type: greeting.clock is not a single value"),
    "an array for a choice": (delta(entry(kind=[])), "type: entry.kind is not an integer but list"),
    "an extension type": (
        hello(clock=msgpack.ExtType(5, b"x")),
        "type: greeting.clock is not a single value",
    ),
    "an empty extension type": (
        hello(clock=msgpack.ExtType(5, b"")),
        "type: greeting.clock is not an integer",
    ),
    "a time": (hello(clock=msgpack.Timestamp(1)), "type: greeting.clock is not a single value"),
    "text for an array": (hello(features="sync"), "type: greeting.features is not an array"),
    "an array for a map": (record(labels=["zone", "a"]), "type: member.labels is not a map"),
    "an integer for a sender": (frame(3, *HELLO, sender=5), "type: sender is not an array"),
    "half a sender": (frame(3, *HELLO, sender=["node-a"]), "missing: sender has 1 of 2 fields"),
    "not UTF-8": (
        hello(cluster="prod").replace(b"prod", b"pr\xffd"),
        "type: greeting.cluster is not UTF-8",
    ),
    # text and names
    "no cluster": (hello(cluster=""), "length: greeting.cluster has 0 bytes, not 1..128"),
    "a line feed": (hello(endpoint="a\nb"), "control: greeting.endpoint holds a control character"),
    "a C1 control": (
        hello(endpoint="a\x9bb"),
        "control: greeting.endpoint holds a control character",
    ),
    "a node with a slash": (
        frame(3, *HELLO, sender=["a/b", 1]),
        r"name: sender is not \[A-Za-z0-9._-\]\{1,128\}",
    ),
    "a node of 129": (frame(3, *HELLO, sender=["a" * 129, 1]), "name: sender is not"),
    "an empty service": (delta(entry(name="")), "name: entry.name is not"),
    "an instance with a space": (delta(entry(id="web 1")), "name: entry.id is not"),
    "a service with a line feed at its end": (
        delta(entry(name="web\n")),
        "name: entry.name is not",
    ),
    "an empty topic": (delta(entry(kind=2, name="")), "length: entry.name has 0 bytes, not 1..128"),
    "a key with NUL": (delta(entry(kind=2, id="a\0")), "control: entry.id holds a control"),
    "a feature with a space": (hello(features=["a b"]), "name: greeting.features is not"),
    "no wire version in the range": (
        hello(low=2, high=1),
        "range: greeting.wire.high is 1, not in 2..",
    ),
    # choices and references
    "a kind of entry to come": (
        delta(entry(kind=4)),
        "range: entry.kind is 4, not one of 0, 1, 2, 3",
    ),
    "a parting to come": (frame(2, 3, []), "range: farewell.parting is 3, not one of 1, 2"),
    "a refusal to come": (
        frame(5, 1, 4, "prod", ""),
        "range: refusal.kind is 4, not one of 1, 2, 3",
    ),
    "a standing to come": (
        frame(7, 1, [["b", 1, "e", 1, 5, 0, 0, 0]]),
        "range: members.standing is 5, not one of",
    ),
    "a part to come": (
        frame(9, 1, True, [[3, "b", 1]]),
        "range: part.kind is 3, not one of 0, 1, 2",
    ),
    "an owner that is not there": (
        delta(entry(owner=1)),
        "reference: entry.owner is 1, the table has 1",
    ),
    "an owner before the first": (delta(entry(owner=-1)), "reference: entry.owner is -1"),
    "no owner": (delta(entry(owner=None)), "type: entry.owner is not an integer but NoneType"),
    "a cause that is not there": (
        delta(entry(cause=1)),
        "reference: entry.cause is 1, the table has 1",
    ),
    "true for a cause": (delta(entry(cause=True)), "type: entry.cause is not an integer but bool"),
    "a removal without a cause": (
        delta(removed=[1, None, 0]),
        "type: delta.removed.cause is not an integer",
    ),
    "half a removal": (
        delta(removed=[1]),
        "missing: delta.removed ends with a dot without a cause or a step",
    ),
    # the relations of dots and clocks
    "a delta that goes nowhere": (
        delta(since=9),
        "order: delta.since is 9, not below delta.until, 9",
    ),
    "a delta that goes back": (
        delta(since=10),
        "order: delta.since is 10, not below delta.until, 9",
    ),
    "a delta to 0": (delta(until=0), "range: delta.until is 0, not in 1.."),
    "a dot twice": (delta(WEB, entry(gap=0)), "range: delta.added.gap is 0, not in 1..8"),
    "a dot above until": (delta(entry(gap=6), since=4), "range: delta.added.gap is 6, not in 1..5"),
    "a dot at since": (delta(entry(gap=0), since=4), "range: delta.added.gap is 0"),
    "a removal above until": (
        delta(removed=[10, 0, 0]),
        "range: delta.removed.gap is 10, not in 1..9",
    ),
    "a removal before its dot": (
        delta(removed=[8, 0, 3]),
        "range: delta.removed.step is 3, not in 0..1",
    ),
    "a removal twice": (
        delta(removed=[3, 0, 0, 0, 0, 0]),
        "range: delta.removed.gap is 0, not in 1..6",
    ),
    "added and removed": (
        delta(WEB, removed=[1, 0, 0]),
        "order: a dot is in both delta.added and delta.removed",
    ),
    "an entry above the clock": (
        page([6, *WEB[2:]], after=4),
        "range: page.entries.gap is 6, not in 1..5",
    ),
    "an entry twice": (page([1, *WEB[2:]], [0, *WEB[2:]]), "range: page.entries.gap is 0"),
    "a run above the clock": (page(live=[9, 2]), "range: page.live.count is 2, not in 1..1"),
    "an empty run": (page(live=[1, 0]), "range: page.live.count is 0"),
    "a run within another": (page(live=[1, 5, 0, 2]), "range: page.live.gap is 0, not in 1..4"),
    "half a run": (page(live=[1]), "missing: page.live ends with a run without a count"),
    "nil for no run": (page(live=None), "type: page.live is not an array"),
    # missing fields
    "a short message": (frame(3, *HELLO[:-1]), "missing: HELLO has 11 of 12 fields"),
    "a short delta": (frame(1, [[*WHO, 0, 1, [], [], []]]), "missing: delta has 7 of 8 fields"),
    "a short entry": (delta(WEB[:-1]), "missing: entry has 6 of 7 fields"),
    "a short entry of a page": (page(WEB[:5]), "missing: entry has 5 of 6 fields"),
    "a short cause": (delta(causes=[CAUSE[:2]]), "missing: cause has 2 of 3 fields"),
    "a short record": (
        delta(entry(kind=0, name="", id="", body=RECORD[:7])),
        "missing: member has 7 of 9",
    ),
    "a short verdict": (delta(entry(kind=3, body=["b"])), "missing: forgotten has 1 of 2 fields"),
    "a short member": (frame(7, 1, [["b", 1, "e", 1, 1]]), "missing: members has 5 of 8 fields"),
    "a short want": (frame(8, 1, [["b", 1, 0, 0]]), "missing: sync.wants has 4 of 5 fields"),
    "a short clock": (frame(6, 1, [["b", 1]]), "missing: digest.known has 2 of 3 fields"),
    "a short part": (frame(9, 1, True, [[1, "b", 1]]), "missing: part has 2 of 8 fields"),
    "an empty part": (frame(9, 1, True, [[]]), "missing: part has 0 of 1 fields"),
    "two deltas": (frame(2, 1, [[], []]), "length: farewell.deltas has 2 items, the bound is 1"),
    "a label twice": (
        record(labels={"a": "", "b": ""}).replace(b"\xa1b", b"\xa1a"),
        "duplicate: member.labels",
    ),
    # frames
    "nothing": (b"", "size: the frame has 0 bytes"),
    "an empty array": (b"\x90", "missing: message has 0 of 2 fields"),
    "a cut header": (b"\xdc\x00", "malformed: the frame ends within a field"),
    "a cut frame": (hello()[:-3], "malformed: the frame ends within a field"),
    "a byte too many": (hello() + b"\0", "trailing: the message ends at byte"),
    "two messages": (hello() + hello(), "trailing: the message ends at byte"),
    "a reserved byte": (b"\x9c\x01\x03\xc1", "type: sender is not an array"),
    "a reserved byte for a value": (
        hello(set_digest=None)[:-2] + b"\xc1\x80",
        "malformed: greeting.set_digest is not msgpack",
    ),
    "a reserved byte to pass by": (
        frame(3, *HELLO, None)[:-2] + b"\xc1\x80",
        "malformed: the frame is not msgpack",
    ),
    "no map of extensions": (frame(3, *HELLO, extensions=[1]), "type: extensions is not a map"),
    "an extension twice": (
        frame(3, *HELLO)[:-1] + b"\x82\x01\xc4\x00\x01\xc4\x00",
        "duplicate: extensions has the key 1",
    ),
    "text": (b"GET / HTTP/1.1\r\n", "version: message.version is 71"),
    "a map": (b"\x81\x01\x02", "version: message.version is 129"),
    # versions and kinds
    "version 2": (frame(3, *HELLO, version=2), "version: message.version is 2, this agent reads 1"),
    "version 2 of another shape": (
        msgpack.packb([2, {"kind": "hello"}]),
        "version: message.version is 2",
    ),
    "version 0": (frame(3, *HELLO, version=0), "version: message.version is 0"),
    "no version": (
        frame(3, *HELLO, version="1"),
        "type: message.version is not an integer but str",
    ),
    "an unknown kind": (frame(99, "whatever"), "unknown-kind: message.kind is 99"),
    "a heartbeat as an array": (frame(0, *[0] * 8), "unknown-kind: message.kind is 0"),
}
