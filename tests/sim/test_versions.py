"""Two releases of one wire version in one cluster: each reads what it knows of the other."""

from dataclasses import replace

import pytest

from discoagent import wire
from discoagent.core.entry import ReplicaId
from discoagent.core.messages import Heartbeat, Hello, Message
from discoagent.sim import Profile
from discoagent.sim.chaos import run_seed
from discoagent.sim.versions import NEWER_EXTENSION, newer, unheard_of
from discoagent.wire.fields import Reader
from tests.sim.worlds import everywhere, three

A = ReplicaId("a", 1)
HELLO = Hello(1, "sim", "a:1", (1, 1), (), 1)
HEARTBEAT = Heartbeat(1, 1, 1, 1, 1, 1, 1)
WORLDS, AT_ONCE = 60, 5


@pytest.mark.parametrize("message", [HELLO, HEARTBEAT], ids=["array", "struct"])
def test_what_a_newer_release_says_is_read_as_it_was_meant(message: Message) -> None:
    """There is more in the frame, and the same message in it."""
    frame = wire.encode(message, A)

    assert len(newer(frame)) > len(frame)
    assert wire.decode(newer(frame)).message == message
    assert wire.decode(newer(wire.encode(HEARTBEAT, A))).extensions.keys() == {NEWER_EXTENSION}


def test_a_kind_that_nobody_knows_is_refused_by_its_own_word() -> None:
    """So that a counter shows it."""
    with pytest.raises(wire.WireError) as refused:
        wire.decode(unheard_of(A))
    assert refused.value.reason == "unknown-kind"


def test_a_deploy_and_back() -> None:
    """b is taken back to the older release, a gets the newer, then b once more: one cluster."""
    world = three(profile=Profile(mixed=True))
    assert [world.hosts[name].newer for name in "abc"] == [False, True, False]
    for name in "bab":
        world.stop(name)
        world.run(1)
        world.start(name)
        world.register(name, "db", f"after-{name}")
        world.run(2)
        assert everywhere(world, "abc", f"db/after-{name}@{name}")

    assert world.unread > 10
    world.settle()


@pytest.mark.parametrize("first", range(0, WORLDS, AT_ONCE))
def test_in_every_kind_of_trouble(first: int) -> None:
    """No profile has its own way of breaking on a field or a kind that is new."""
    profiles = {seed: Profile.swarm(seed) for seed in range(first, first + AT_ONCE)}
    reports = [run_seed(seed, None, replace(it, mixed=True)) for seed, it in profiles.items()]

    assert [(it.seed, str(it.failure)) for it in reports if it.failure] == []


def test_a_reader_that_knows_its_own_fields_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds of two releases notice it."""
    monkeypatch.setattr(Reader, "skip", lambda *_: None)
    report = run_seed(0, None, Profile(mixed=True))

    assert report.failure is not None
    assert report.failure.check == "every message is read"
