"""Deliberate bugs and the stories that they break.

A mutant that lives means that a check has gone blind, or that a story has lost its point.
"""

from collections.abc import Callable
from functools import partial

import pytest

from discoagent.sim.chaos import run_seed

SEEDS = 200  # random worlds of which one is to notice
Patch = Callable[[pytest.MonkeyPatch], None]
Story = Callable[[], None]


def seeds(first: int = 0) -> None:
    """Run random worlds until one fails."""
    for seed in range(first, SEEDS):
        assert run_seed(seed).failure is None


def seeds_from(first: int) -> Story:
    """Return the random worlds but for the first ones, which are known to say nothing and cost."""
    return partial(seeds, first)


class Mutants:
    """Some bugs by name, each with the story that must fail."""

    def __init__(self) -> None:
        self._all: dict[str, tuple[Patch, Story]] = {}

    def caught_by(self, story: Story) -> Callable[[Patch], Patch]:
        """Enter a mutant under its function's name."""

        def enter(patch: Patch) -> Patch:
            self._all[patch.__name__] = patch, story
            return patch

        return enter

    def names(self) -> list[str]:
        """Return the names of all."""
        return list(self._all)

    def put(self, name: str, patch: pytest.MonkeyPatch) -> None:
        """Put the bug into the core."""
        self._all[name][0](patch)

    def meaning(self, name: str) -> str:
        """Return what the bug takes to be right."""
        meant = self._all[name][0].__doc__
        assert meant
        return " ".join(meant.split())

    def demand(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the bug into the core; its story has to notice."""
        patch, story = self._all[name]
        patch(monkeypatch)
        with pytest.raises(AssertionError):
            story()
