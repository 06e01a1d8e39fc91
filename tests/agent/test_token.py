"""Tokens: what is written is read; what is no token, or only a part of one, is refused."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoagent import token
from discoagent.core.limits import NUMBER_MAX
from discoagent.errors import InvalidRequest
from discoagent.token import Giver, Token, Vector, read, write

NAMES = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=128)
NUMBERS = st.integers(0, NUMBER_MAX)
POSITIONS = st.dictionaries(NAMES, st.tuples(NUMBERS, NUMBERS), max_size=8)
GIVERS = st.none() | st.builds(Giver, NAMES, NUMBERS, NUMBERS)
CLUSTERS = st.integers(0, 2**64 - 1)


@given(cluster=CLUSTERS, giver=GIVERS, positions=st.none() | POSITIONS)
def test_what_is_written_is_read(
    cluster: int, giver: Giver | None, positions: dict[str, tuple[int, int]] | None
) -> None:
    """In the characters that the contract allows."""
    text = write(cluster, giver, None if positions is None else Vector(positions))

    assert set(text) <= token.TEXT_CHARACTERS
    assert read(text) == Token(cluster, giver, positions)


@given(before=POSITIONS, moves=st.lists(st.tuples(NAMES, st.none() | st.tuples(NUMBERS, NUMBERS))))
def test_a_vector_moves(
    before: dict[str, tuple[int, int]], moves: list[tuple[str, tuple[int, int] | None]]
) -> None:
    """Whatever moved, and was written in between, a token tells where all stand."""
    vector, positions = Vector(before), dict(before)
    for node, position in moves:
        vector.move(node, position)
        if position is None:
            positions.pop(node, None)
        else:
            positions[node] = position

        assert read(write(1, None, vector)).vector == positions


def test_many_nodes_are_deflated() -> None:
    """A token of five thousand nodes is no longer than what may stand in an environment."""
    positions = {f"host-{n}.example": (1_790_000_000_000_000 + 7_919 * n, n) for n in range(5_000)}
    text = write(2**64 - 1, Giver("host-1.example", 1_790_000_000_000_000, 7), Vector(positions))

    assert len(text) < 100_000
    assert read(text).vector == positions


A_TOKEN = write(9, Giver("a", 5, 7), Vector({"a": (5, 3), "b": (6, 4)}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1",
        "1.",
        "hello",
        "1.hello",
        "x.aaaa",
        f"{A_TOKEN} ",
        f"{A_TOKEN}\n",
        A_TOKEN.removeprefix("1."),
        A_TOKEN.replace("1.", "1z."),
        None,
        7,
        b"1.aaaa",
        "1.\u00e9",
        "1." + "A" * 100,
        write(9, None, None).replace("1.", "1z."),
    ],
)
def test_no_token(text: object) -> None:
    """It is refused by name."""
    with pytest.raises(InvalidRequest, match="is no token") as refusal:
        read(text)
    assert refusal.value.field == "token"


@given(data=st.data())
def test_a_token_that_was_cut_off_or_changed(data: st.DataObject) -> None:
    """It is none; it does not stand for another."""
    place = data.draw(st.integers(2, len(A_TOKEN) - 1))
    other = data.draw(st.sampled_from(sorted(token.TEXT_CHARACTERS - {A_TOKEN[place]})))
    for text in (A_TOKEN[:place], A_TOKEN[:place] + other + A_TOKEN[place + 1 :]):
        try:
            found = read(text)
        except InvalidRequest:
            continue
        assert found == read(A_TOKEN)  # the last character has bits to spare


def test_a_later_version_is_a_token() -> None:
    """What it says is not known: its holder is told all anew."""
    assert read("2.whatever~") == read("31z._") == token.UNREADABLE
