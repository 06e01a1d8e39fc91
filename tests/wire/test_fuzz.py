"""Whatever arrives: a message or a WireError, never anything else."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from discoagent.wire import WireError, decode
from tests.wire.specimens import SPECIMENS, specimen_frames
from tests.wire.strategies import mutate, scramble

FRAMES = 20_000


def _verdict(frame: bytes) -> str:
    """Say what became of a frame: its kind, or the reason of its refusal."""
    try:
        return type(decode(frame).message).__name__
    except WireError as error:
        return error.reason


def test_messages_with_one_field_changed() -> None:
    """Most are refused, each for a reason that was meant; those that still make sense are read."""
    random = Random(1)  # the seed under which every reason below comes up
    specimens = specimen_frames()

    verdicts = Counter(_verdict(mutate(random.choice(specimens), random)) for _ in range(FRAMES))

    kinds = {type(message).__name__ for message in SPECIMENS}
    assert set(verdicts) == kinds | {
        "control",
        "length",
        "malformed",
        "missing",
        "name",
        "order",
        "range",
        "reference",
        "size",
        "trailing",
        "type",
        "unknown-kind",
        "version",
    }


def test_messages_with_bytes_changed() -> None:
    """Cut, doubled, overwritten, made up."""
    random = Random(2)
    specimens = specimen_frames()

    verdicts = Counter(_verdict(scramble(random.choice(specimens), random)) for _ in range(FRAMES))

    assert verdicts["malformed"] > 0
    assert verdicts.total() == FRAMES


@given(frame=st.binary(max_size=200))
def test_any_bytes(frame: bytes) -> None:
    """Hypothesis looks for what a seed misses."""
    _verdict(frame)


@given(seed=st.integers(0, 2**32), number=st.integers(0, len(SPECIMENS) - 1))
def test_a_mutation_changes_the_frame(seed: int, number: int) -> None:
    """And the same seed makes the same frame, or a failure could not be told again."""
    frame = specimen_frames()[number]

    mutated = mutate(frame, Random(seed))

    assert mutated != frame
    assert mutated == mutate(frame, Random(seed))
