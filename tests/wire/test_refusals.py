"""What is not a message of this version is refused by name and at little cost.

What a later version may add is passed by.
"""

import tracemalloc
from typing import Any

import msgpack
import pytest

from discoagent.core.messages import Heartbeat, Hello, SyncRequest
from discoagent.wire import HEARTBEAT_BYTES, Number, WireError, decode, encode
from tests.wire.nonsense import (
    CAUSE,
    HELLO,
    NONSENSE,
    RECORD,
    WEB,
    WHO,
    delta,
    entry,
    frame,
    hello,
    page,
    record,
)
from tests.wire.specimens import SENDER, SPECIMENS, specimen_frames


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_is_refused_by_name(case: str) -> None:
    """The reason is a word for counters, the detail names the field and its bound."""
    nonsense, refusal = NONSENSE[case]

    with pytest.raises(WireError, match=f"^{refusal}"):
        decode(nonsense)


def test_the_parts_of_the_nonsense_are_sense() -> None:
    """Or the cases above would be refused for another reason than they say."""
    for sense in (hello(), delta(WEB), record(), page([1, *WEB[2:]], live=[1, 1, 2, 7])):
        decode(sense)


HEARTBEAT = encode(Heartbeat(1, 2, 3, 4, 5, 6, 7), None)


@pytest.mark.parametrize(
    ("nonsense", "refusal"),
    [
        (HEARTBEAT[:1], f"size: a heartbeat of 1 bytes, not at least {HEARTBEAT_BYTES}"),
        (HEARTBEAT[:-1], f"size: a heartbeat of {HEARTBEAT_BYTES - 1} bytes"),
        (HEARTBEAT + b"\0", "trailing: "),
        (HEARTBEAT[:-1] + b"\xc0", "type: extensions is not a map"),
        (HEARTBEAT[:-1] + b"\x81", "malformed: the frame ends within a field"),
        (b"\x02" + HEARTBEAT[1:], "version: message.version is 2"),
        (b"\x01\x07" + HEARTBEAT[2:], "unknown-kind: message.kind is 7"),
    ],
)
def test_nonsense_for_a_heartbeat_is_refused(nonsense: bytes, refusal: str) -> None:
    """By the same words."""
    with pytest.raises(WireError, match=f"^{refusal}"):
        decode(nonsense)


@pytest.mark.parametrize("number", range(len(SPECIMENS)))
def test_every_cut_of_every_message_is_refused(number: int) -> None:
    """No prefix of a message is a message."""
    whole = specimen_frames()[number]

    for size in range(len(whole)):
        with pytest.raises(WireError, match=r"malformed|size"):
            decode(whole[:size])


LATER: tuple[Any, ...] = (
    None,
    1.5,
    "x" * 9_000,
    {"a": [{}]},
    [[1], {2: 3}],
    msgpack.ExtType(9, b"xyz"),
)


def _grown(fields: list[Any]) -> list[Any]:
    """Append the fields of a later version."""
    return [*fields, *LATER]


def test_fields_of_a_later_version_are_passed_by() -> None:
    """Of whatever type and size, in the message and in each array of unlike fields within it."""
    cause = _grown(CAUSE)
    web = _grown(entry(cause=0))
    member = _grown(entry(gap=1, kind=0, name="", id="", body=_grown(RECORD)))
    verdict = _grown(entry(gap=1, kind=3, body=_grown(WHO)))
    grown_delta = _grown([*WHO, 0, 9, 0, 0, 0, 0])
    grown_delta[4:8] = [cause], [b"o"], [web, member, verdict], [4, 0, 0]
    plain = delta(
        entry(cause=0),
        entry(gap=1, kind=0, name="", id="", body=RECORD),
        entry(gap=1, kind=3, body=WHO),
        removed=[4, 0, 0],
    )

    grown = frame(Number.DELTA, [grown_delta], *LATER, sender=_grown(WHO), extensions={1: b"x"})

    assert decode(grown).message == decode(plain).message
    assert decode(grown).sender == decode(plain).sender
    assert decode(grown).extensions == {1: b"x"}


@pytest.mark.parametrize(
    ("number", "fields"),
    [
        (Number.WELCOME, [*HELLO[:-1], [["b", 1, "e", 1, 1, 0, 0, 0]]]),
        (Number.DIGEST, [1, [["b", 1, 2]]]),
        (Number.DIGEST_REPLY, [1, [["b", 1, "e", 1, 1, 0, 0, 0]]]),
        (Number.SYNC_REQUEST, [1, [["b", 1, 0, 0, 0]]]),
        (Number.SYNC_CHUNK, [1, True, [[2, "b", 1]]]),
        (Number.SYNC_CHUNK, [1, True, [[1, *WHO, 0, 9, [b"o"], [], True, [1, 9]]]]),
        (Number.SYNC_CHUNK, [1, True, [[0, *WHO, 0, 9, [], [], [], []]]]),
    ],
)
def test_items_of_a_later_version_are_passed_by(number: Number, fields: list[Any]) -> None:
    """The last field of these is a list of items; each of them may have grown."""
    *head, [item] = fields

    grown = frame(number, *head, [[*item, *LATER]], *LATER)

    assert decode(grown) == decode(frame(number, *fields))


def test_extensions_of_a_later_version_are_kept() -> None:
    """Whoever knows them finds them in the envelope, in both forms of a frame."""
    extensions = {1: b"signature", 2**40: b""}

    for message in (Hello(1, "prod", "e:1", (1, 1)), Heartbeat(1, 2, 3, 4, 5, 6, 7)):
        envelope = decode(encode(message, SENDER, extensions))

        assert envelope.message == message
        assert envelope.extensions == extensions


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xdd\xff\xff\xff\xff" * 1_000,  # arrays of four billion arrays of …
        b"\x9a\x01\x03" + b"\xdd\xff\xff\xff\xff" * 1_000,
        frame(8, 1, [])[:-2] + b"\xdd\x00\x00\x00\xff" + b"\xdd\xff\xff\xff\xff" * 1_000,
        hello(clock=None)[:-2] + b"\xdd\xff\xff\xff\xff" * 1_000,
        hello(clock=None)[:-2] + b"\xdf\xff\xff\xff\xff" * 1_000,
        hello(clock=None)[:-2] + b"\xc6\xff\xff\xff\xff" * 1_000,
        frame(3, *HELLO, None)[:-2] + b"\x91" * 100_000 + b"\x80",  # deep, to be passed by
        frame(3, *HELLO, None)[:-2] + b"\xdd\xff\xff\xff\xff" * 1_000,
        delta(causes=None)[:20] + b"\xdd\xff\xff\xff\xff" * 1_000,
    ],
)
def test_a_claim_costs_nothing(bomb: bytes) -> None:
    """A header may claim what it likes: memory follows the bytes that are there."""

    def peak() -> int:
        tracemalloc.start()
        try:
            with pytest.raises(WireError):
                decode(bomb)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # Other threads of this process are traced as well, and are not busy each time.
    assert min(peak() for _ in range(3)) < 10 * len(bomb) + 100_000


def test_the_format_is_what_version_1_says() -> None:
    """Two frames byte by byte: a change of these is a new wire version."""
    heartbeat = encode(Heartbeat(1, 2, 3, 4, 5, 6, 7, 8), None)
    request = encode(SyncRequest(3, ()), SENDER._replace(incarnation=5))

    assert heartbeat.hex() == "0100" + "".join(f"{n:016x}" for n in range(1, 8)) + "08" + "80"
    assert request == b"\x96\x01\x08\x92\xa6node-a\x05\x03\x90\x80"
