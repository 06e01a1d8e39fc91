"""What a real agent finds out about its own set-up."""

from pathlib import Path

from discoagent.client import Disco
from discoagent.client.operating import Diagnosis
from tests.agent.harness import AgentProcess, Cluster, scratch_directory, start_agent


def examined(agent: AgentProcess) -> list[Diagnosis]:
    """Let an agent examine itself."""
    with Disco(agent.socket) as disco:
        return disco.examine()


def problems(agent: AgentProcess) -> dict[str, str]:
    """Return subject -> text of what it has to complain of."""
    return {it.subject: it.text for it in examined(agent) if it.state == "problem"}


def test_in_a_healthy_cluster() -> None:
    """Each agent reaches the other, and is heard by it."""
    with Cluster("a", "b") as pair:
        for node, other in (("a", "b"), ("b", "a")):
            found = examined(pair[node])
            assert {it.state for it in found} == {"ok"}
            assert f"peer {other}" in {it.subject for it in found}


def test_a_clock_that_is_late() -> None:
    """Both sides see it, from their own place."""
    with Cluster("a", "b") as pair:
        pair.start("c", program="tests.agent.late_clock")
        pair.wait_acquainted()
        assert problems(pair["a"]) == {"clock": "the clock of c is 600 s behind ours"}
        assert "ahead of ours" in problems(pair["c"])["clock"]


def test_who_stands_at_the_wrong_place(tmp_path: Path) -> None:
    """Another cluster's seed, an address that is nobody's, no state that can be written."""
    (tmp_path / "file").write_text("")
    with (
        scratch_directory() as directory,
        start_agent(directory, "x", cluster="other") as x,
        start_agent(
            directory,
            "a",
            join=[x.bind],
            arguments=["--advertise", "127.0.0.1:1", "--state-dir", str(tmp_path / "file/state")],
        ) as a,
    ):
        found = problems(a)
        assert set(found) == {"ready", "advertise", "state", "cluster"}
        assert "127.0.0.1:1" in found["advertise"]
        assert "'other'" in found["cluster"]
        assert "'test'" in found["cluster"]


def test_few_files_may_be_open() -> None:
    """It starts all the same, and says what to do."""
    with (
        scratch_directory() as directory,
        start_agent(directory, program="tests.agent.few_files") as agent,
    ):
        (line,) = [it for it in examined(agent) if it.subject == "limits"]
        assert line.state == "problem"
        assert "only 64 files" in line.text
        assert "LimitNOFILE" in line.advice
