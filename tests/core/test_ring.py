"""The ring: what it keeps, what it nets, and what it says when it does not reach."""

import pytest

from discoagent.core import ring as ring_module
from discoagent.core.entry import Cause
from discoagent.core.messages import Delta, Removal
from discoagent.core.ring import Ring, Segment, weight_of
from tests.core.vocabulary import (
    DEREGISTERED,
    REGISTERED,
    UPDATED,
    A,
    chain_of,
    entry,
    member,
)

ONE, TWO, THREE = (entry("1", body) for body in (b"v1", b"v2", b"v3"))
GONE = entry("1", b"")


def segment(before: int, until: int, weight: int = 96) -> Segment:
    """Return a segment in which nothing is left of what happened."""
    return Segment(before, until, weight=weight)


def test_a_message_may_hold_both_kinds_of_bodies() -> None:
    """A weight is what goes over the wire, roughly: names, owner, body, and the step itself."""
    assert weight_of(ONE) == 96 + len("web") + len("1") + len(ONE.owner) + len(b"v1")
    assert weight_of(member()) == 96 + 512


def test_segments_are_contiguous() -> None:
    """A ring with a hole would answer wrongly."""
    ring = Ring()
    ring.push(segment(0, 3))

    with pytest.raises(AssertionError, match="contiguous"):
        ring.push(segment(4, 5))


def test_it_does_not_answer_for_what_it_does_not_hold() -> None:
    """Empty, before its first segment, at its end."""
    ring = Ring()

    assert ring.since(0, A) is None

    ring.push(segment(3, 5))

    assert ring.since(2, A) is None
    assert ring.since(5, A) is None
    assert ring.since(3, A) == Delta(A, 3, 5, {}, {})
    assert ring.since(4, A) == Delta(A, 3, 5, {}, {})

    ring.clear()

    assert len(ring) == 0
    assert ring.since(3, A) is None


def test_it_stays_within_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few segments: all but the last go, if the weight is too much."""
    monkeypatch.setattr(ring_module, "RING_BYTES_MAX", 1_000)
    ring = Ring()
    for clock in range(10):
        ring.push(segment(clock, clock + 1, weight=300))

    assert len(ring) == 3

    ring.push(segment(10, 11, weight=5_000))

    assert len(ring) == 1


def test_an_owner_s_growing_segment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put into an open segment drops what is too old by now."""
    monkeypatch.setattr(ring_module, "RING_BYTES_MAX", 500)
    ring = Ring()
    ring.push(segment(0, 1, weight=200))
    ring.push(segment(1, 1))
    ring.grow(ring.open(1, None), 2, 300)

    assert len(ring) == 1


@pytest.mark.parametrize("bound", ["CHUNK_BYTES_MAX", "CHUNK_ENTRIES_MAX"])
def test_a_full_segment_is_followed_by_another(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    """So that no delta is too large for a message."""
    monkeypatch.setattr(ring_module, bound, 2)
    chain = chain_of(*((entry(str(n)), REGISTERED) for n in range(5)))
    sizes = [delta.until - delta.since for batch in chain.deltas_after(0) for delta in batch]

    assert max(sizes) <= 2
    assert sum(sizes) == 5


def test_what_happened_to_one_instance_in_two_steps_is_told_as_two() -> None:
    """Within one turn: registered, updated and withdrawn are three deltas of one message."""
    chain = chain_of((ONE, REGISTERED), (TWO, UPDATED), (GONE, DEREGISTERED))

    assert chain.deltas_after(0) == [
        (
            Delta(A, 0, 1, {1: (ONE, REGISTERED)}, {}),
            Delta(A, 1, 2, {2: (TWO, UPDATED)}, {1: Removal(UPDATED, 2)}),
            Delta(A, 2, 3, {}, {2: Removal(DEREGISTERED, 3)}),
        )
    ]


def test_batches_are_about_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message holds as many deltas as fit, by weight and by number."""
    chain = chain_of(*((entry("1", f"v{n}".encode()), UPDATED) for n in range(4)))
    monkeypatch.setattr(ring_module, "DELTAS_MAX", 3)

    assert [len(batch) for batch in chain.deltas_after(0)] == [3, 1]

    monkeypatch.setattr(ring_module, "CHUNK_BYTES_MAX", 1)

    assert [len(batch) for batch in chain.deltas_after(0)] == [1, 1, 1, 1]


def test_what_one_turn_pushed_is_not_told_with_the_next() -> None:
    """The owner pushes what came after its last push, and nothing twice."""
    chain = chain_of((ONE, REGISTERED))

    assert chain.deltas_after(0) == [(Delta(A, 0, 1, {1: (ONE, REGISTERED)}, {}),)]
    assert chain.deltas_after(1) == []

    chain.put(TWO, UPDATED)

    assert chain.deltas_after(1) == [
        (Delta(A, 1, 2, {2: (TWO, UPDATED)}, {1: Removal(UPDATED, 2)}),)
    ]


def test_a_net_holds_no_more_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least one segment, else as many as fit: the reader asks on."""
    chain = chain_of(*((entry(str(n)), REGISTERED) for n in range(4)), flush_after=range(9))
    monkeypatch.setattr(ring_module, "CHUNK_BYTES_MAX", 2 * 300)

    first = chain.delta_since(0)

    assert first is not None
    assert first.until == 2

    monkeypatch.setattr(ring_module, "CHUNK_BYTES_MAX", 1)

    first = chain.delta_since(0)

    assert first is not None
    assert first.until == 1


class TestNetCauses:
    """What a reader that missed some steps is told of the end of what it holds."""

    def removed(self, *steps: tuple[bytes, Cause], at: int = 1) -> dict[int, Removal]:
        """Return what a reader that stood at a clock is told of versions of one instance."""
        chain = chain_of(*((entry("1", body), why) for body, why in steps), flush_after=range(9))
        delta = chain.delta_since(at)
        assert delta is not None
        return dict(delta.removed)

    def test_updated_and_withdrawn_is_withdrawn(self) -> None:
        """Not the update that it never saw ended the version that it holds."""
        removed = self.removed((b"v1", REGISTERED), (b"v2", UPDATED), (b"", DEREGISTERED))

        assert removed == {1: Removal(DEREGISTERED, 3)}

    def test_withdrawn_and_registered_again(self) -> None:
        """The end comes with the clock of its own step."""
        removed = self.removed((b"v1", REGISTERED), (b"", DEREGISTERED), (b"v3", REGISTERED))

        assert removed == {1: Removal(DEREGISTERED, 2)}

    def test_updated_twice(self) -> None:
        """The last step that took a version of it is what counts."""
        removed = self.removed((b"v1", REGISTERED), (b"v2", UPDATED), (b"v3", UPDATED))

        assert removed == {1: Removal(UPDATED, 3)}

    def test_what_came_and_went_unseen(self) -> None:
        """Of that it is told nothing."""
        assert self.removed((b"v1", REGISTERED), (b"", DEREGISTERED), at=0) == {}
