"""What `discoctl sim` runs: worlds that are drawn or asked for, and what is said of them."""

import json

import pytest

from discoagent.core.presence import Presence
from discoagent.sim.__main__ import main
from discoagent.sim.profile import PATIENT, Profile


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what was printed."""
    return capsys.readouterr().out.splitlines()


def test_one_world_with_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    """The same seed, the same log, to the last step."""
    runs = []
    for _ in range(2):
        assert main(["--seed", "7", "--nodes", "2", "--seconds", "2"]) == 0
        runs.append([line for line in lines(capsys) if not line.startswith("took")])

    assert runs[0] == runs[1]
    assert any("begins as a.10000000000" in line for line in runs[0])
    assert runs[0][-5].startswith("1 seeds, 0 failed")


def test_without_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    """What came of it, alone."""
    assert main(["--seed", "7", "--nodes", "2", "--seconds", "2", "--quiet"]) == 0
    assert len(lines(capsys)) == 6


def test_many_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """One value."""
    flags = "--nodes 3 --services 1 --seconds 5 --churn 2 --loss 0.1 --partition 2s"
    assert main(["--seeds", "2", *flags.split(), "--json"]) == 0
    (line,) = lines(capsys)
    found = json.loads(line)

    assert (found["seeds"], found["failures"]) == (2, [])
    assert found["bytes_per_node_second"] > 70  # a heartbeat a second to each of two others


def test_a_failure_says_how_to_see_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last steps, what it broke, and one command."""
    monkeypatch.setattr(Presence, "applied", lambda *_: [])
    flags = "--nodes 3 --services 1 --seconds 8 --loss 0.4 --churn 6 --restart 1.5s"

    assert main(["--seed", "3", "--seeds", "2", *flags.split()]) == 1
    told = lines(capsys)
    assert [line for line in told if line.startswith("replay: ")] == [
        f"replay: discoctl sim --seed {seed} {flags}" for seed in (3, 4)
    ]
    (first, _) = [line for line in told if " failed: " in line]
    assert first.startswith("seed 3 failed: ")
    assert "2 seeds, 2 failed" in told


def test_nothing_happens_but_what_is_asked_for() -> None:
    """No trouble of other kinds, and the limits of the core as they are."""
    calm = Profile.asked(nodes=4)
    assert (calm.cuts, calm.crashes, calm.pauses, calm.writes, calm.loss) == (0,) * 5
    assert (calm.nodes, calm.timing) == (4, PATIENT)

    split = Profile.asked(partition=60.0, seconds=30.0)
    assert split.cuts * split.seconds == 2
    assert (split.cut_lasts, split.away_lasts, split.pause_lasts) == (60.0, None, None)
    assert Profile.asked(pause=2.0).pauses == 0.25


def test_more_nodes_than_letters(capsys: pytest.CaptureFixture[str]) -> None:
    """Told of a few seeds each, and named by their number."""
    assert main(["--seed", "1", "--nodes", "28", "--services", "1", "--seconds", "1"]) == 0
    assert any(" node27" in line for line in lines(capsys))
