"""From a token on, at any agent: exactly what was missed; a reset only where that is not known."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from discoagent.core.entry import Kind, MemberRecord
from discoagent.local.events import history as history_module
from discoagent.local.events import resuming as resuming_module
from discoagent.local.requests.queries import Scope
from discoagent.token import read
from tests.agent.token_world import NODES, Watcher, World, away, end, three
from tests.core.vocabulary import entry


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no clocks: all that was said has arrived."""
    monkeypatch.setattr(resuming_module, "REACH_SECONDS", 0.0)


@pytest.fixture
def world() -> Iterator[World]:
    """Three agents, each with an entry of its own."""
    world = three()
    yield world
    world.close()


def changed(world: World) -> list[tuple[str, str]]:
    """Let each agent make two changes; return them in the order of nodes."""
    for node in NODES:
        world.put(node, entry(f"of-{node}", b"v2"))
        world.put(node, entry(f"new-{node}"))
    return [
        step for node in NODES for step in (("updated", f"of-{node}"), ("added", f"new-{node}"))
    ]


@pytest.mark.parametrize("at", NODES)
def test_exactly_what_was_missed(world: World, at: str) -> None:
    """At the agent that gave the token, and at others."""
    watcher = away(world, "a")
    missed = changed(world)

    world.go_on(watcher, at)

    assert watcher.told == missed
    assert watcher.resets == []


@pytest.mark.parametrize("at", NODES)
def test_nothing_was_missed(world: World, at: str) -> None:
    watcher = away(world, "a")

    world.go_on(watcher, at)

    assert (watcher.told, watcher.resets) == ([], [])


@pytest.mark.parametrize("enough", range(8))
@pytest.mark.parametrize("at", NODES)
def test_every_token_on_the_way(world: World, enough: int, at: str) -> None:
    """Within one push of several changes a watcher may stop at any, and go on anywhere."""
    watcher = world.watch("b")
    watcher.enough = enough
    end(world, "a", "of-a")
    world.put("a", *(entry(f"n{n}") for n in range(4)), entry("n0", b"v2"), entry("n4"))
    watcher.at = watcher.enough = None
    seen = list(watcher.told)

    world.go_on(watcher, at)

    assert watcher.resets == []
    assert [*seen, *watcher.told] == [
        ("removed", "of-a"),
        *(("added", f"n{n}") for n in range(4)),
        ("updated", "n0"),
        ("added", "n4"),
    ]


def test_a_restarted_node_alone_is_reset(world: World) -> None:
    """At another agent than the one that gave the token, and only that node."""
    watcher = away(world, "a")
    missed = changed(world)
    world.restart("c")

    world.go_on(watcher, "b")

    assert watcher.resets == ["c"]
    assert watcher.told[:4] == missed[:4]
    assert sorted(watcher.told[4:]) == [("added", "new-c"), ("added", "of-c")]


def test_a_restart_before_the_token_is_no_reset(world: World) -> None:
    """Though it made no event, the token knows of it."""
    world.restart("c")
    watcher = away(world, "a")
    missed = changed(world)

    world.go_on(watcher, "b")

    assert (watcher.told, watcher.resets) == (missed, [])


def test_a_restart_after_the_last_event_is_in_the_next_token(world: World) -> None:
    watcher = world.watch("a")
    world.restart("c")
    world.put("b", entry("of-b", b"v2"))
    watcher.at = None

    world.go_on(watcher, "b")

    assert watcher.resets == []


def test_at_its_giver_a_restart_of_another_is_no_reset(world: World) -> None:
    watcher = away(world, "a")
    missed = changed(world)
    world.restart("c", lost=1)

    world.go_on(watcher, "a")

    assert watcher.resets == []
    assert sorted(watcher.told) == sorted([*missed, ("removed", "of-c")])


def test_a_node_that_went_is_reset_and_one_that_came_is_added(world: World) -> None:
    """Both are known by name; nothing of them is told twice."""
    watcher = away(world, "a")
    world.kill("c")
    world.wait(6)
    world.begin("d", "a")
    world.put("d", entry("of-d"))

    world.go_on(watcher, "b")

    assert watcher.resets == ["c"]
    assert watcher.told == [("added", "of-d")]


def test_beyond_the_log_the_vector_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The giver itself knows the steps of all nodes, as others do."""
    monkeypatch.setattr(history_module, "EVENTS_KEPT", 3)
    watcher = away(world, "a")
    missed = changed(world)
    assert world.histories["a"].after(world.histories["a"].number - 4) is None

    world.go_on(watcher, "a")

    assert (watcher.told, watcher.resets) == (missed, [])


def test_the_log_is_bounded_in_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "BYTES_KEPT", 10_000)
    for number in range(30):
        world.put("a", entry("large", b"%03d" % number * 300))

    history = world.histories["a"]
    kept = next(n for n in range(history.number) if history.after(n) is not None)
    assert history.number - kept == 5


def test_a_token_of_another_cluster(world: World) -> None:
    """All is told anew."""
    watcher = away(world, "a")
    for text in (watcher.token, "9.of-a-later-version"):
        mine = Watcher(view=dict(watcher.view), token=text)
        for history in world.histories.values():
            history.cluster ^= 1

        world.go_on(mine, "b")

        assert mine.resets == [None]
        assert len(mine.told) == 3


def test_a_token_in_the_midst_of_a_present(world: World) -> None:
    """Whoever has seen only a part of it is told all anew."""
    watcher = Watcher(token=world.histories["a"].lost)

    world.go_on(watcher, "a")

    assert watcher.resets == [None]


def test_a_token_in_the_midst_of_a_node_s_present(world: World) -> None:
    """That node is told anew; what was seen of others is not."""
    world.put("c", *(entry(f"c{n}") for n in range(5)))
    watcher = away(world, "a")
    world.restart("c")
    watcher.enough = 2
    world.go_on(watcher, "b")
    watcher.enough = None

    world.go_on(watcher, "a")

    assert watcher.resets == ["c"]
    assert len(watcher.told) == 6


def test_a_scope(world: World) -> None:
    """Only what is watched is told; other services move the watcher on all the same."""
    scope = Scope(frozenset({"db"}))
    watcher = world.watch("a", scope)
    watcher.at = None
    changed(world)
    world.put("b", entry("1", name="db"))

    for at in NODES:
        mine = Watcher(scope, token=watcher.token)
        world.go_on(mine, at)
        assert mine.told == [("added", "1")]


def test_a_scope_of_topics(world: World) -> None:
    """What is missed of a topic is told as of a service, and apart from one of its name."""
    scope = Scope(None, frozenset({"db"}))
    watcher = world.watch("a", scope)
    watcher.at = None
    world.put("b", entry("1", name="db"))
    world.put("b", replace(entry("2", name="db"), kind=Kind.PRESENCE))

    for at in NODES:
        mine = Watcher(scope, token=watcher.token)
        world.go_on(mine, at)
        assert mine.told == [("added", "2")]


def test_during_a_handover(world: World) -> None:
    """What is shown then is no state of one chain: a token of that time resets the node."""
    world.end("c")
    world.bare("c", incarnation=2, record=MemberRecord("c:1", "0"))
    world.run("c", world.running["c"].seeds(["a:1"], world.now))
    watcher = away(world, "a")
    assert read(watcher.token).vector == {"a": (1, 3), "b": (1, 3), "c": (2, 0)}

    world.go_on(watcher, "b")

    assert (watcher.told, watcher.resets) == ([("added", "of-c")], ["c"])
