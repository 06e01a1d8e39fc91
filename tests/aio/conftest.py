"""What the tests of the asyncio client share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.harness import AgentProcess, scratch_directory, start_agent


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return where an agent's socket may be put."""
    return str(tmp_path / "agent.sock")


@pytest.fixture(scope="module")
def agent() -> Iterator[AgentProcess]:
    """Return an agent that the tests of a file share; each uses services of its own."""
    with scratch_directory() as directory, start_agent(directory) as agent:
        yield agent
