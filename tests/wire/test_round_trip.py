"""What is encoded is decoded as it was."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoagent.core.entry import Cause, Entry, Kind, ReplicaId
from discoagent.core.messages import (
    Delta,
    DeltaMessage,
    Envelope,
    Heartbeat,
    Hello,
    Message,
    Page,
    SyncChunk,
)
from discoagent.wire import HEARTBEAT_BYTES, TOPIC_BYTES, decode, encode, topic
from tests.wire.specimens import SENDER, SPECIMENS
from tests.wire.strategies import (
    BY_KIND,
    extension_maps,
    messages,
    senders,
)


@pytest.mark.parametrize("kind", BY_KIND, ids=lambda kind: kind.__name__)
@given(data=st.data(), sender=senders, extensions=extension_maps)
def test_every_kind_of_message_returns_as_it_was(
    kind: type[Message], data: st.DataObject, sender: ReplicaId, extensions: dict[int, bytes]
) -> None:
    """decode(encode(m)) == m, its sender and its extensions too."""
    message = data.draw(BY_KIND[kind])

    envelope = decode(encode(message, sender, extensions))

    assert envelope == Envelope(message, None if kind is Heartbeat else sender, extensions)


@given(message=messages)
def test_a_memoryview_is_as_good_as_bytes(message: Message) -> None:
    """The transport hands over what ZeroMQ received without a copy."""
    frame = encode(message, SENDER)

    assert decode(memoryview(frame)) == decode(frame)


@given(message=messages)
def test_equal_messages_have_equal_frames(message: Message) -> None:
    """A frame decoded and encoded again is the same bytes, whatever the order of a mapping was."""
    frame = encode(message, SENDER)

    assert encode(decode(frame).message, SENDER) == frame


def test_specimens_are_of_every_kind() -> None:
    """Whoever fuzzes with them reaches every codec."""
    assert {type(message) for message in SPECIMENS} == set(BY_KIND) == set(get_args(Message))
    assert [decode(encode(message, SENDER)).message for message in SPECIMENS] == list(SPECIMENS)


@given(heartbeat=BY_KIND[Heartbeat])
def test_a_heartbeat_has_one_size(heartbeat: Message) -> None:
    """Whatever it says; with its topic far below 100 bytes."""
    assert len(encode(heartbeat, None)) == HEARTBEAT_BYTES
    assert TOPIC_BYTES + HEARTBEAT_BYTES <= 100


@pytest.mark.parametrize("length", [1, 128])
def test_names_do_not_make_a_heartbeat_longer(length: int) -> None:
    """Neither the cluster's nor the node's."""
    sender = ReplicaId("n" * length, 2**63 - 1)
    counted, hashed = 2**63 - 1, 2**64 - 1
    largest = Heartbeat(hashed, counted, counted, counted, hashed, hashed, hashed, 255)

    frame = topic("c" * length) + encode(largest, sender)

    assert len(frame) == TOPIC_BYTES + HEARTBEAT_BYTES


def test_topics_differ_by_cluster() -> None:
    """The prefix keeps two clusters apart."""
    assert topic("prod") == topic("prod")
    assert topic("prod") != topic("test")
    assert len(topic("prod")) == TOPIC_BYTES


def test_only_a_heartbeat_goes_without_a_sender() -> None:
    """Everything else is refused here, for no peer could answer it."""
    with pytest.raises(ValueError, match="Hello names its sender"):
        encode(Hello(1, "prod", "a:1", (1, 1)), None)


def _service(number: int) -> Entry:
    owner = bytes(bytearray(b"12345678" + b"o" * 60))  # equal each time, and never the same object
    return Entry(Kind.SERVICE, "web", f"web-{number}", owner, b"")


def test_owners_causes_and_services_are_shared_within_a_message() -> None:
    """A hundred entries of one application hold one owner, one cause and one service string."""
    added = {dot: (_service(dot), Cause("registered", b"a" * 40, 1)) for dot in range(1, 101)}

    message = decode(encode(DeltaMessage((Delta(SENDER, 0, 100, added, {}),)), SENDER)).message

    assert isinstance(message, DeltaMessage)
    arrived = message.deltas[0].added.values()
    assert len({id(entry.owner) for entry, _ in arrived}) == 1
    assert len({id(entry.name) for entry, _ in arrived}) == 1
    assert len({id(cause) for _, cause in arrived}) == 1


def test_services_are_shared_between_messages() -> None:
    """A table of 100,000 entries that came in many pages holds each service's name once."""
    names = []
    for dot in (1, 2):
        page = Page(SENDER, 0, 9, {dot: _service(dot)})
        message = decode(encode(SyncChunk(1, True, (page,)), SENDER)).message
        assert isinstance(message, SyncChunk)
        part = message.parts[0]
        assert isinstance(part, Page)
        names.append(part.entries[dot].name)

    assert names[0] is names[1]
