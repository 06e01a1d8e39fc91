"""Which instance is chosen: what counts first, and that the choice is spread."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from discoagent.client.choice import choose, in_order, resolvable
from discoagent.instance import Instance, Lifetime, Member, Owner

WEB = Instance(
    service="web",
    id="w",
    node="a",
    address="h",
    port=80,
    tags=(),
    meta={},
    state="passing",
    lifetime=Lifetime("static"),
    owner=Owner(0),
    checks=(),
    registered_at="",
    updated_at="",
    ref="",
)
STATES = ["passing", "warning", "suspect", "restarting", "critical"]
INSTANCES = st.builds(
    replace,
    st.just(WEB),
    node=st.sampled_from("abc"),
    port=st.sampled_from([None, 80]),
    state=st.sampled_from(STATES),
    meta=st.dictionaries(st.sampled_from("xy"), st.sampled_from("12")),
)
PAIRS = st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("12")), max_size=3)


def member(node: str, **labels: str) -> Member:
    """Return a node with labels."""
    return Member(node, 1, "h:1", "alive", 0, 0, None, "", labels)


MEMBERS = [member("a", x="1"), member("b", z="2")]


def test_the_state_counts_before_what_is_preferred() -> None:
    """Those without a port or out of use are no choice at all."""
    near = replace(WEB, meta={"zone": "a"}, state="warning")
    far = replace(WEB, id="far")

    assert in_order([near, far], [("zone", "a")], []) == [far, near]
    assert resolvable([near, replace(WEB, port=None), replace(WEB, state="critical")]) == [near]


def test_labels_of_its_node_count_as_its_meta() -> None:
    """Each pair once; the more fit, the earlier; what is equal keeps its order."""
    one, two, three = (replace(WEB, id=each, node=each) for each in "abc")
    two = replace(two, meta={"x": "1", "z": "2"})

    assert in_order([one, two, three], [("z", "2")], MEMBERS) == [two, one, three]
    assert in_order([three, one, two], [("x", "1")], MEMBERS) == [one, two, three]
    assert in_order([one, two], [("x", "1"), ("z", "2")], MEMBERS) == [two, one]


@given(st.lists(INSTANCES, min_size=1), PAIRS)
def test_any_of_the_first_is_chosen(
    instances: list[Instance], prefer: list[tuple[str, str]]
) -> None:
    """As `in_order` has them; nothing is lost in sorting."""
    ordered = in_order(instances, prefer, MEMBERS)
    chosen = choose(instances, prefer, MEMBERS)

    assert sorted(map(id, ordered)) == sorted(map(id, instances))
    assert in_order([ordered[0], chosen], prefer, MEMBERS)[0] is ordered[0]
    assert in_order([chosen, ordered[0]], prefer, MEMBERS)[0] is chosen


def test_the_choice_is_spread() -> None:
    """Over all that are equal."""
    many = [replace(WEB, id=str(number)) for number in range(4)]

    assert {choose(many).id for _ in range(200)} == {"0", "1", "2", "3"}
