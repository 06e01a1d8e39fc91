"""One agent for all tests of a file that only need one."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from discoagent.errors import NoInstance
from tests.agent.harness import AgentProcess, Raw, scratch_directory, start_agent


@pytest.fixture(scope="module")
def agent() -> Iterator[AgentProcess]:
    """A running agent, whose socket every user may connect to."""
    with (
        scratch_directory() as directory,
        start_agent(directory, settings={"socket_mode": "0666"}) as running,
    ):
        yield running


@pytest.fixture
def asker(agent: AgentProcess) -> Iterator[Raw]:
    """A connection to that agent; what it leaves registered is removed."""
    with agent.raw() as raw:
        yield raw
        for instance in raw.list():
            with suppress(NoInstance):  # it may end by itself just now
                raw.ask("deregister", id=instance.name)
