"""Histories: what an owner did, and the state of its chain at every clock, worked out plainly."""

from dataclasses import dataclass

from hypothesis import strategies as st

from discoagent.core.chain import Chain
from discoagent.core.entry import Entry
from discoagent.core.messages import Delta
from tests.core.vocabulary import DEREGISTERED, REGISTERED, A, Step, chain_of, entry, member, state

KEYS = ("1", "2", "3")
BODIES = (b"", b"v1", b"v2")  # a withdrawal, and two versions


@dataclass(frozen=True)
class History:
    """An owner's steps, and after which clocks it pushed."""

    steps: tuple[Step, ...]
    flush_after: frozenset[int]

    def chain(self, clock: int | None = None) -> Chain:
        """Return the owner's chain as it stood at that clock; none given: at the end."""
        chain = Chain(A)
        for made in range(len(self.steps) + 1):
            if chain.clock == clock:
                break
            chain = chain_of(*self.steps[:made], flush_after=self.flush_after)
        return chain

    def states(self) -> list[dict[int, Entry]]:
        """Return what is alive at each clock, by dot: the model, which knows of nothing else."""
        states: list[dict[int, Entry]] = [{}]
        for what, _ in self.steps:
            before = states[-1]
            after = {dot: it for dot, it in before.items() if it.key != what.key}
            if what.body != b"":
                after[len(states)] = what
            elif after == before:
                continue  # a withdrawal of what is not there is no step
            states.append(after)
        return states

    @property
    def clock(self) -> int:
        """Return the owner's clock at the end."""
        return len(self.states()) - 1

    def delta(self, since: int, until: int) -> Delta:
        """Return what the owner would have answered at `until` to somebody who stood at `since`."""
        delta = self.chain(until).delta_since(since)
        assert delta is not None
        assert delta.until <= until
        return delta


def _step(key: str, body: bytes) -> Step:
    return entry(key, body), DEREGISTERED if body == b"" else REGISTERED


steps = st.builds(_step, st.sampled_from(KEYS), st.sampled_from(BODIES))


def histories(*, at_least: int = 1, at_most: int = 12) -> st.SearchStrategy[History]:
    """Return histories that begin with the member record, as all do."""
    return st.builds(
        lambda made, flushes: History(((member(), REGISTERED), *made), frozenset(flushes)),
        st.lists(steps, min_size=at_least, max_size=at_most),
        st.sets(st.integers(1, at_most)),
    )


def is_the_owners(chain: Chain, history: History) -> bool:
    """Is the chain what its owner's was at that clock?"""
    return state(chain) == state(history.chain(chain.clock))
