"""The table `[history]` of the configuration."""

from pathlib import Path

import pytest

from discoagent.daemon import config
from discoagent.store.rows import Bounds
from tests.house.test_config import load, problems, written


def test_how_long_the_record_is(tmp_path: Path) -> None:
    """By rows and days, from a file, the environment and a flag; a change takes a restart."""
    file = written(tmp_path, "[history]\nrows = 20000\n")

    assert load().history == Bounds(50_000, 30)
    assert load(file).history == Bounds(20_000, 30)
    assert load(file, {"DISCOAGENT_HISTORY__ROWS": "30000"}).history.rows == 30_000
    assert load(set=("history.days=7",)).history.days == 7
    assert config.differences(load(written(tmp_path, "", "other.toml")), load(file)) == ["history"]
    assert "history" not in config.LIVE


@pytest.mark.parametrize(
    ("text", "key", "bounds"),
    [
        ("rows = 9999", "rows", "from 10000 to 10000000, not 9999"),
        ("rows = true", "rows", "from 10000 to 10000000, not True"),
        ('days = "7"', "days", "from 1 to 3650, not '7'"),
        ("days = 0", "days", "from 1 to 3650, not 0"),
    ],
)
def test_a_record_of_no_use(tmp_path: Path, text: str, key: str, bounds: str) -> None:
    """Tokens need the last events, whatever is kept for people."""
    file = written(tmp_path, f"[history]\n{text}\n")

    assert problems(file) == [f"{file}: history.{key} must be a whole number {bounds}"]
