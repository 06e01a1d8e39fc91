"""Deliberate bugs and the stories that they break.

A mutant that lives means that a check has gone blind, or that a story has lost its point.
"""

from collections.abc import Callable

import pytest

Patch = Callable[[pytest.MonkeyPatch], None]
Story = Callable[[], None]


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

    def demand(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the bug into the core; its story has to notice."""
        patch, story = self._all[name]
        patch(monkeypatch)
        with pytest.raises(AssertionError):
            story()
