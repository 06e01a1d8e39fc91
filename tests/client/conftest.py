"""What the tests of the client share."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return where an agent's socket may be put."""
    return str(tmp_path / "agent.sock")
