"""Digests: equal for equal views, whatever way led to them."""

from hypothesis import given
from hypothesis import strategies as st

from discoagent.core.digest import Digests, mix, name_hash

views = st.dictionaries(
    st.sampled_from("abcd"), st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=4
)


def digests(*changes: tuple[str, tuple[int, int]]) -> Digests:
    """Return the digests after these changes."""
    made = Digests()
    for node, (incarnation, clock) in changes:
        made.count(node, name_hash(node), incarnation, clock)
    return made


@given(view=views, detour=views, data=st.data())
def test_they_depend_on_the_view_alone(
    view: dict[str, tuple[int, int]],
    detour: dict[str, tuple[int, int]],
    data: st.DataObject,
) -> None:
    """Not on the order of changes, nor on what was counted before."""
    made = digests(*detour.items(), *data.draw(st.permutations(sorted(view.items()))))
    for node in detour.keys() - view.keys():
        made.drop(node)

    assert (made.set, made.vector) == (digests(*view.items()).set, digests(*view.items()).vector)


@given(view=views, other=views)
def test_different_views_have_different_digests(
    view: dict[str, tuple[int, int]], other: dict[str, tuple[int, int]]
) -> None:
    """The set digest tells nodes and incarnations, the vector digest their clocks too."""
    one, two = digests(*view.items()), digests(*other.items())
    lives = {node: life for node, (life, _) in view.items()}

    assert (one.vector == two.vector) == (view == other)
    assert (one.set == two.set) == (lives == {node: life for node, (life, _) in other.items()})


def test_nobody_is_dropped_twice() -> None:
    """Dropping who is not counted changes nothing."""
    made = digests(("a", (1, 1)))
    made.drop("a")
    made.drop("a")

    assert (made.set, made.vector) == (0, 0)


def test_names_travel_as_eight_bytes() -> None:
    """These two are in the wire format: another value would be another protocol."""
    assert name_hash("a") == 0x40F89E395B66422F
    assert mix(0) == 0xE220A8397B1DCDAF
    assert 0 <= mix(2**64 - 1) < 2**64
