"""What `discoctl sim` runs: worlds that are drawn or asked for, and what is said of them."""

import json

import pytest

from discoagent.core.effects import Answer, Dial, Disconnect, Effect, Redial, Send
from discoagent.core.messages import (
    Absent,
    Digest,
    DigestReply,
    Page,
    Probe,
    SyncChunk,
)
from discoagent.core.presence import Presence
from discoagent.sim import runs, trace
from discoagent.sim.__main__ import main
from discoagent.sim.chaos import run_seed
from discoagent.sim.profile import PATIENT, Profile
from discoagent.sim.words import in_words
from tests.core.vocabulary import A

LAST = Page(A, 2, 9, {}, ())


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what was printed."""
    return capsys.readouterr().out.splitlines()


def test_one_world_with_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    """The same seed, the same log, to the last step."""
    logs = []
    for _ in range(2):
        assert main(["--seed", "7", "--nodes", "2", "--seconds", "2"]) == 0
        logs.append([line for line in lines(capsys) if not line.startswith("took")])

    assert logs[0] == logs[1]
    assert any("begins as a.10000000000" in line for line in logs[0])
    assert any(line.split()[1:] == ["b", "->", "a:", "Hello"] for line in logs[0])
    assert logs[0][-5].startswith("1 seeds, 0 failed")


def test_the_log_of_trouble_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind of message and of effect has words of its own."""
    flags = "--nodes 4 --services 1 --seconds 60 --churn 3 --loss 0.2 --restart 4s --partition 8s"
    assert main(["--seed", "5", *flags.split()]) == 0
    told = lines(capsys)

    for said in (
        "shows + web/s0@",
        "DeltaMessage ",
        "SyncRequest ",
        "SyncChunk ",
        "Welcome ",
        "Probe ",
        "ProbeReply ",
        "Farewell restart",
        "for suspect, was alive: silent for",
    ):
        assert any(said in line for line in told), said


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        (Send(("b:1", "c:1"), Digest(1, ((A, 3),))), "-> b, c: Digest a at 3"),
        (Answer(A, DigestReply(1, ())), "-> a: DigestReply nobody"),
        (Answer(A, Probe(1, ())), "-> a: Probe yourself"),
        (Answer(A, SyncChunk(1, True, (Absent(A),))), "-> a: SyncChunk no a"),
        (
            Answer(A, SyncChunk(1, True, (LAST,))),
            "-> a: SyncChunk a page of 0 after 2 at 9, the last",
        ),
        (Answer(A, SyncChunk(1, False, ())), "-> a: SyncChunk and more"),
        (Dial("b:1"), "dials b"),
        (Disconnect("b:1"), "hangs up on b"),
        (Redial("b:1"), "connects to b anew"),
    ],
)
def test_what_is_rare_has_words_as_well(effect: Effect, said: str) -> None:
    """Whatever a replica may ask for."""
    assert in_words(effect) == said


def test_a_long_run_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stderr, so that what came of it stands alone."""
    monkeypatch.setattr(runs, "PROGRESS_EVERY", -1.0)
    monkeypatch.setattr(trace, "STEPS", 500)
    assert main(["--seed", "1", "--quiet"]) == 0
    assert main(["--seeds", "2", "--nodes", "2", "--seconds", "1"]) == 0
    said = capsys.readouterr().err

    assert " virtual s, 500 steps" in said
    assert "2 of 2 seeds, 0 failed" in said


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


def test_who_is_asked_to_restart_comes_back() -> None:
    """Also when the trouble is over: agreement is a matter of its start, not of its grace."""
    report = run_seed(2, profile=Profile.asked(nodes=4, seconds=6, restart=4.0))

    assert report.failure is None
    assert report.agreement < 5
    assert report.sent["Hello"] > 8


def test_clogs_are_of_some_worlds() -> None:
    """Each kind of trouble is absent from most."""
    clogged = [seed for seed in range(200) if Profile.swarm(seed).clogs]

    assert 30 < len(clogged) < 90


def test_more_nodes_than_letters(capsys: pytest.CaptureFixture[str]) -> None:
    """Told of a few seeds each, and named by their number."""
    assert main(["--seed", "1", "--nodes", "28", "--services", "1", "--seconds", "1"]) == 0
    assert any(" node27" in line for line in lines(capsys))
