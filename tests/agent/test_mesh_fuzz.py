"""Fuzzed messages of a peer on every socket of the mesh, most valid but for one field.

The agent serves on. The short forms run always, a hundred thousand messages with `-m soak`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from random import Random

import pytest

from tests.agent.harness import AgentProcess, Raw, scratch_directory, start_agent, wait_until
from tests.agent.hostile import HostilePeer
from tests.wire.specimens import SPECIMENS

A_LIFE = 100  # messages that a life of the peer says to the ROUTER
A_CROWD = 2_000  # heartbeats that it publishes at once
GROWTH_KB_MAX = 8 * 1024
KINDS = {type(message).__name__ for message in SPECIMENS} - {"Heartbeat"}
REASONS = {
    "control", "entry", "frames", "identity", "length", "malformed", "misplaced", "missing", "name",
    "order", "range", "reference", "size", "trailing", "type", "unknown-kind", "version",
}  # fmt: skip
REASONS_OF_HEARTBEATS = {
    "frames", "malformed", "misplaced", "range", "size", "trailing", "type", "unknown-kind",
    "version",
}  # fmt: skip
UNASKED = {"chunk", "digest", "probe", "refusal", "seen", "welcome"}


def said(short: int) -> pytest.MarkDecorator:
    """Let the peer say so much, and in a soak all that was promised."""
    full = pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(600)])
    return pytest.mark.parametrize("count", [short, full])


@contextmanager
def besieged() -> Iterator[tuple[AgentProcess, HostilePeer]]:
    """Run an agent and a peer that says anything to it; afterwards it must be as good as before."""
    with scratch_directory() as directory, start_agent(directory) as agent:
        with HostilePeer(agent, "test", Random(1)) as peer:
            yield agent, peer
        with (
            start_agent(directory, "b", join=[agent.bind]) as honest,
            agent.raw() as here,
            honest.raw() as there,
        ):
            here.register("honest", id="here")
            there.register("honest", id="there")
            for asker in (here, there):
                wait_until(partial(_lists_both, asker))
        assert not [line for line in agent.lines if "internal error" in line]


def _lists_both(asker: Raw) -> bool:
    return {instance.id for instance in asker.list("honest")} == {"here", "there"}


def looked_at(agent: AgentProcess) -> int:
    """See that users can read all that the agent shows; return the memory that it holds, in kB."""
    with agent.raw() as asker:
        for event in asker.watch().present():
            event.to_json()
        asker.ask("services")
        asker.ask("members")
    return agent.resident_kb


def counted(agent: AgentProcess, part: str) -> dict[str, int]:
    """Return the agent's counters of this part."""
    counters: dict[str, int] = agent.status()["counters"]
    named = ((name.partition(f"{part}."), count) for name, count in counters.items())
    return {what: count for (before, _, what), count in named if what and not before}


def demand_flat(sizes: list[int]) -> None:
    """Demand that the memory did not grow once everything had been met."""
    assert max(sizes[-3:]) - sizes[len(sizes) // 4] < GROWTH_KB_MAX


@said(3_000)
def test_fuzzed_messages(count: int) -> None:
    """To the ROUTER, and in answer to what the agent asks; the peer's lives are short."""
    sizes = []
    with besieged() as (agent, peer):
        for _ in range(0, count, A_LIFE):
            peer.live_anew()
            for _ in range(A_LIFE):
                peer.ask()
            peer.reply()
            peer.settle()
            sizes.append(looked_at(agent))

        refused = counted(agent, "mesh.router")
        assert refused.keys() >= REASONS
        assert sum(refused.values()) > count // 2
        assert counted(agent, "received").keys() == KINDS
        assert {f"{each}-unasked" for each in UNASKED} <= counted(agent, "replica").keys()

        def refused_an_answer() -> bool:
            """Whether the agent asks one short life anything is luck: live on until it did."""
            peer.live_anew()
            peer.ask()
            peer.reply()
            peer.settle()
            return bool(counted(agent, "mesh.dealer").keys() & REASONS)

        wait_until(refused_an_answer)
    demand_flat(sizes)


@said(4_000)
def test_fuzzed_heartbeats(count: int) -> None:
    """To the SUB socket, which the agent drains now and then; none is lost."""
    sizes = []
    with besieged() as (agent, peer):

        def heard() -> int:
            refused = counted(agent, "mesh.sub")
            return counted(agent, "received").get("Heartbeat", 0) + sum(refused.values())

        for first in range(0, count, A_CROWD):
            peer.live_anew()
            for _ in range(A_CROWD):
                peer.publish()
            wait_until(lambda first=first: heard() == first + A_CROWD)  # type: ignore[misc]
            sizes.append(looked_at(agent))

        assert counted(agent, "mesh.sub").keys() >= REASONS_OF_HEARTBEATS
        assert counted(agent, "replica")["heartbeat-unknown"] > 0
    demand_flat(sizes)
