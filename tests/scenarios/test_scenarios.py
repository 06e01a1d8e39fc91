"""Each scenario still reads as it was written."""

from pathlib import Path

import pytest

from tests.scenarios.player import COMMAND, OUTPUT, SCENARIOS, played


@pytest.mark.parametrize("path", SCENARIOS, ids=[path.stem for path in SCENARIOS])
def test_it_goes_as_it_is_told(path: Path) -> None:
    """`python -m tests.scenarios NAME` writes into it what it brings about now."""
    text = path.read_text()

    assert played(text) == text


@pytest.mark.parametrize("path", SCENARIOS, ids=[path.stem for path in SCENARIOS])
def test_it_tells_a_story(path: Path) -> None:
    """A title, then what it is about, before anything happens; and something comes of it."""
    title, empty, story, *rest = path.read_text().splitlines()

    assert title.endswith(".")
    assert empty == ""
    assert not story.startswith(" ")
    assert any(line.startswith(OUTPUT) for line in rest)
    assert all(line.startswith(COMMAND) for line in rest if line.startswith(" "))
