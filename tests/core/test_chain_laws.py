"""What holds for every history: joins, nets and scans give the owner's state, in any order."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoagent.core import chain as chain_module
from discoagent.core import ring as ring_module
from discoagent.core.chain import Chain
from discoagent.core.messages import Delta
from discoagent.core.sync import Assembly
from tests.core.histories import History, histories, is_the_owners
from tests.core.vocabulary import A, state


@st.composite
def histories_with_deltas(draw: st.DrawFn) -> tuple[History, list[Delta]]:
    """Draw a history and some of its deltas, between any clocks, in any order, repeated or not."""
    history = draw(histories())
    spans = st.tuples(st.integers(0, history.clock - 1), st.integers(1, history.clock))
    drawn = draw(st.lists(spans.filter(lambda span: span[0] < span[1]), max_size=8))
    return history, [history.delta(since, until) for since, until in drawn]


def joined(*deltas: Delta) -> Chain:
    """Return a chain that joined these deltas in this order."""
    chain = Chain(A)
    for delta in deltas:
        chain.join(delta)
    return chain


@given(history=histories())
def test_a_chain_is_its_model(history: History) -> None:
    """The owner's chain holds what a plain list of steps says, at every clock."""
    states = history.states()
    chains = [history.chain(clock) for clock in range(history.clock + 1)]

    assert [dict(chain.live()) for chain in chains] == states


@given(drawn=histories_with_deltas())
def test_whatever_is_joined_is_the_owner_s_state(drawn: tuple[History, list[Delta]]) -> None:
    """Any order and any number of deltas, with gaps: at every clock it has, it is the owner's."""
    history, deltas = drawn
    chain = Chain(A)
    for delta in deltas:
        chain.join(delta)

        assert is_the_owners(chain, history)


@given(drawn=histories_with_deltas(), data=st.data())
def test_joins_commute(drawn: tuple[History, list[Delta]], data: st.DataObject) -> None:
    """Whatever order they come in, the same deltas give the same state."""
    _, deltas = drawn
    shuffled = data.draw(st.permutations(deltas))

    assert state(joined(*deltas)) == state(joined(*shuffled))


@given(drawn=histories_with_deltas())
def test_joins_repeat_without_harm(drawn: tuple[History, list[Delta]]) -> None:
    """All of it once more changes nothing, and says so."""
    _, deltas = drawn
    chain = joined(*deltas)
    before = state(chain)

    assert all(not chain.join(delta) for delta in deltas)
    assert state(chain) == before


@given(history=histories(at_least=2), data=st.data())
def test_joins_associate(history: History, data: st.DataObject) -> None:
    """Two deltas one after the other are the delta over both."""
    first, middle, last = sorted(
        data.draw(st.integers(0, history.clock), label="clock") for _ in range(3)
    )
    ends = [(a, b) for a, b in ((first, middle), (middle, last)) if a < b]
    whole = [(first, last)] if first < last else []
    prefix = [(0, first)] if first else []

    parts = joined(*(history.delta(a, b) for a, b in prefix + ends))
    at_once = joined(*(history.delta(a, b) for a, b in prefix + whole))

    assert state(parts) == state(at_once)


@given(drawn=histories_with_deltas(), data=st.data())
def test_a_third_party_s_net_deltas_are_as_good(
    drawn: tuple[History, list[Delta]], data: st.DataObject
) -> None:
    """From any clock to any clock: whoever joined deltas answers as well as the owner."""
    history, deltas = drawn
    relay = joined(*deltas)
    since = data.draw(st.integers(0, history.clock))
    reader = joined(*([history.delta(0, since)] if since else []))
    delta = relay.delta_since(since)
    if delta is None:
        assert relay.clock <= since  # here the ring reaches back to the start
        return
    reader.join(delta)

    assert reader.clock == relay.clock
    assert is_the_owners(reader, history)


@given(history=histories(), chunk=st.integers(1, 400))
def test_net_deltas_in_small_chunks_lead_to_the_end(history: History, chunk: int) -> None:
    """A reader that asks on and on gets there, one chunk at a time, and no delta stands still."""
    owner, reader = history.chain(), Chain(A)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring_module, "CHUNK_BYTES_MAX", chunk)
        while reader.clock < owner.clock:
            delta = owner.delta_since(reader.clock)
            assert delta is not None
            assert reader.join(delta)

            assert is_the_owners(reader, history)


@given(history=histories(at_least=4), data=st.data())
def test_a_scan_by_several_servers_is_the_state_of_its_last_page(
    history: History, data: st.DataObject
) -> None:
    """While the owner goes on and servers take turns, what is installed is the owner's state."""
    assembly = Assembly(A)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain_module, "CHUNK_ENTRIES_MAX", data.draw(st.integers(1, 3)))
        for _ in range(50):
            clock = data.draw(st.integers(1, history.clock), label="server's clock")
            server = history.chain(max(clock, assembly.floor))
            page = server.page(assembly.after)
            assert assembly.accept(page)
            if page.live is not None:
                break
        else:
            pytest.fail("the scan does not end")
    found = assembly.state(page.live)
    assert found is not None
    reader = Chain(A)
    reader.install(page.clock, found)

    assert reader.clock == page.clock
    assert is_the_owners(reader, history)


@given(drawn=histories_with_deltas(), data=st.data())
def test_install_then_tail_is_the_owner_s_state(
    drawn: tuple[History, list[Delta]], data: st.DataObject
) -> None:
    """Deltas that came before a scan was done are joined to it, not lost and not undone."""
    history, deltas = drawn
    reader = joined(*deltas)
    clock = data.draw(st.integers(1, history.clock))
    reached = max(reader.clock, clock)
    reader.install(clock, history.states()[clock])

    assert reader.clock >= reached
    assert is_the_owners(reader, history)


@given(history=histories())
def test_runs_name_exactly_what_is_alive(history: History) -> None:
    """They ascend, do not touch, and give the live dots back."""
    chain = history.chain()
    runs = chain.runs()
    dots = [dot for first, count in runs for dot in range(first, first + count)]

    assert dots == [dot for dot, _ in chain.live()]
    assert all(a + n < b for (a, n), (b, _) in pairwise(runs))


@given(history=histories(), other=histories())
def test_hashes_are_equal_if_and_only_if_the_live_dots_are(
    history: History, other: History
) -> None:
    """The hash stands for the set of live dots, whatever way led to it."""
    one, two = history.chain(), other.chain()
    same = [dot for dot, _ in one.live()] == [dot for dot, _ in two.live()]

    assert (one.hash == two.hash) == same


@given(history=histories(at_most=20), count=st.integers(1, 6))
def test_a_ring_keeps_what_it_must_and_no_more(history: History, count: int) -> None:
    """Within its least steps it answers; beyond them it says that it cannot."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring_module, "RING_STEPS_MIN", count)
        owner = History(history.steps, frozenset(range(50))).chain()  # a segment a step
        reach = [owner.delta_since(clock) is not None for clock in range(owner.clock)]

    assert reach == [owner.clock - clock <= count for clock in range(owner.clock)]
