"""The scratch directory of `dev`: gone with its maker, or removed by the next one."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from discoagent.cli.scratch import Scratch

MAKE_AND_DIE = """
import os, signal
from discoagent.cli.scratch import Scratch
print(Scratch("dev-1.sock").path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let them be made where the test can look."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    tempfile.tempdir = None


def test_it_goes_with_its_maker(place: Path) -> None:
    """With all that is in it."""
    scratch = Scratch("dev-1.sock")
    (scratch.path / "dev-1.state").mkdir()
    scratch.close()

    assert list(place.iterdir()) == []


def test_what_a_killed_one_left_is_removed_by_the_next(place: Path) -> None:
    """But neither what a living one uses, nor what nobody of us made."""
    others = [place / "discoagent-dev-file", place / "discoagent-dev-no-lock"]
    others[0].touch()
    others[1].mkdir()
    living = Scratch("dev-1.sock")
    made = subprocess.run(
        [sys.executable, "-c", MAKE_AND_DIE], stdout=subprocess.PIPE, text=True, check=False
    )
    left = Path(made.stdout.strip())
    assert left.parent == place
    assert left.is_dir()

    own = Scratch("dev-1.sock")

    assert set(place.iterdir()) == {living.path, own.path, *others}
    living.close()
    own.close()
