"""What changed after a clock: each step once, in order, with its whole before; or not known."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoagent.core import ring as ring_module
from discoagent.core.effects import Event
from discoagent.core.entry import Entry, Key
from discoagent.core.messages import Delta
from discoagent.core.node import Node
from discoagent.core.steps import steps_after
from tests.core.histories import History, histories
from tests.core.vocabulary import REGISTERED, A, entry, member

State = dict[Key, Entry]


def shown(history: History, clock: int) -> State:
    """Return what the owner showed at that clock."""
    return {it.key: it for it in history.states()[clock].values() if it.shown}


def apply(state: State, event: Event) -> None:
    """Let a watcher who held exactly this see the event: it must make sense to it."""
    about = event.entry or event.before
    assert about is not None
    assert state.get(about.key) == event.before
    assert event.entry != event.before
    if event.entry is None:
        del state[about.key]
    else:
        state[about.key] = event.entry


@st.composite
def nodes(draw: st.DrawFn) -> tuple[History, Node]:
    """Draw a history, and the owner's node or that of whoever joined some of its deltas."""
    history = draw(histories())
    node = Node(A)
    if draw(st.booleans()):
        node.chain = history.chain()
        return history, node
    ends = sorted(draw(st.sets(st.integers(1, history.clock), min_size=1)))
    since = 0
    for end in ends:
        while since < end:
            delta = history.delta(since, end)
            node.chain.join(delta)
            since = delta.until
    return history, node


@given(drawn=nodes(), data=st.data())
def test_the_steps_after_any_clock(drawn: tuple[History, Node], data: st.DataObject) -> None:
    """They lead from the owner's state then to its state now, through its states between."""
    history, node = drawn
    clock = data.draw(st.integers(1, node.chain.clock))
    steps = steps_after(node, clock)
    if steps is None:
        return
    state = shown(history, clock)
    for event in steps:
        apply(state, event)
        if event.clock:
            assert state == shown(history, event.clock)

    assert state == shown(history, node.chain.clock)


@given(history=histories())
def test_the_owner_knows_every_step(history: History) -> None:
    """Each is told once, whatever it pushed and when."""
    node = Node(A)
    node.chain = history.chain()
    for clock in range(1, history.clock + 1):
        steps = steps_after(node, clock)
        assert steps is not None
        states = [shown(history, each) for each in range(clock, history.clock + 1)]
        changes = sum(one != other for one, other in pairwise(states))
        assert len(steps) == changes


def test_what_was_pushed_is_known_within_a_push() -> None:
    """A receiver of what the owner pushed knows each step, a reader of a net change does not."""
    steps = ((entry("1", b"v1"), REGISTERED), (entry("1", b"v2"), REGISTERED))
    history = History(((member(), REGISTERED), *steps), frozenset())
    pushed, net = Node(A), Node(A)
    for batch in history.chain().deltas_after(0):
        for delta in batch:
            pushed.chain.join(delta)
    net.chain.join(history.delta(0, 3))

    told = steps_after(pushed, 2)
    assert told is not None
    assert [(it.before, it.entry) for it in told] == [(steps[0][0], steps[1][0])]
    assert steps_after(net, 2) is None


def test_beyond_the_ring_it_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ring keeps so many steps, and a scan tells of none."""
    monkeypatch.setattr(ring_module, "RING_STEPS_MIN", 2)
    many = tuple((entry("1", b"v%d" % n), REGISTERED) for n in range(5))
    node = Node(A)
    node.chain = History(((member(), REGISTERED), *many), frozenset()).chain()
    scanned = Node(A)
    scanned.chain.install(node.chain.clock, dict(node.chain.live()))

    assert steps_after(node, 1) is None
    assert len(steps_after(node, 4) or ()) == 2
    assert steps_after(node, 6) == []
    assert steps_after(scanned, 3) is None
    assert steps_after(scanned, 6) == []


def test_a_cut_segment_of_another_history_is_no_answer() -> None:
    """An empty delta that hides steps tells of none of them."""
    node = Node(A)
    node.chain.join(Delta(A, 0, 4, {1: (member(), REGISTERED)}, {}))

    assert steps_after(node, 2) is None
