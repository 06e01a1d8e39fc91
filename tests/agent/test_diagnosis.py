"""What is said of a set-up: each fault by a line of its own, with what to do."""

from typing import Any

import pytest

from discoagent.core.effects import DialOutcome, NodeState
from discoagent.local.diagnosis import Facts, PeerFacts, RefusalFacts, State, diagnose

OPEN, REFUSED, SILENT = DialOutcome.OPEN, DialOutcome.REFUSED, DialOutcome.SILENT
B = PeerFacts("b", "10.0.0.2:7800", NodeState.ALIVE, 0.4, OPEN, OPEN, True, 0.3, 0.01)
HEALTHY = Facts(
    node="a",
    bind="10.0.0.1:7800",
    advertise="10.0.0.1:7800",
    advertised=OPEN,
    ready=True,
    alone=False,
    isolated=False,
    files=65_536,
    state_dir="/var/lib/discoagent",
    state_trouble=None,
    disk_free=2**30,
    suspect_after=2.0,
    peers=(B,),
    refusals=(),
)


def peer(**changes: Any) -> dict[str, Any]:
    """Change what was found out of the one peer."""
    return {"peers": (B._replace(**changes),)}


def test_a_healthy_agent() -> None:
    """Nothing but what is well, and nothing to do."""
    found = diagnose(HEALTHY)
    assert {it.state for it in found} == {State.OK}
    assert {it.advice for it in found} == {""}
    assert [it.subject for it in found] == ["ready", "advertise", "limits", "state", "peer b"]


@pytest.mark.parametrize(
    ("changes", "subject", "text", "advice"),
    [
        ({"alone": True}, "ready", "no peer was reached", "join"),
        ({"isolated": True}, "ready", "cut off", "network"),
        (
            {"advertised": SILENT, "peers": ()},
            "advertise",
            "nothing answers",
            "advertise",
        ),
        ({"files": 64}, "limits", "only 64 files", "LimitNOFILE"),
        ({"state_dir": None}, "state", "no state directory", "state_dir"),
        ({"state_trouble": "disk is full"}, "state", "disk is full", "make room"),
        ({"disk_free": 4096}, "state", "4 KiB left", "make room"),
        (
            peer(router=REFUSED),
            "peer b",
            "nobody listens at its port",
            "see whether its agent runs",
        ),
        (peer(publisher=SILENT), "peer b", "at the port after its port", "open both ports"),
        (peer(answered=False), "peer b", "does not answer", "hangs"),
        (peer(hears_us=None), "peer b", "hears nothing of us", "advertise"),
        (peer(hears_us=30.0), "peer b", "hears nothing of us since 30 s", "advertise"),
        (peer(state=NodeState.DOWN), "peer b", "it is down", "see after its host"),
        (peer(skew=600.0), "clock", "600 s ahead of ours", "synchronise"),
        (peer(skew=-600.0), "clock", "600 s behind ours", "synchronise"),
        (
            {"refusals": (RefusalFacts("cluster", "c is of 'x'", 3),)},
            "cluster",
            "of 'x'",
            "cluster",
        ),
        ({"refusals": (RefusalFacts("wire", "speaks 2", 3),)}, "version", "speaks 2", "upgrade"),
        ({"refusals": (RefusalFacts("name", "a is in use", 3),)}, "name", "in use", "node"),
    ],
)
def test_a_fault_is_named(changes: dict[str, Any], subject: str, text: str, advice: str) -> None:
    """By one line, and by no other."""
    (found,) = [it for it in diagnose(HEALTHY._replace(**changes)) if it.state is not State.OK]
    assert (found.subject, found.state) == (subject, State.PROBLEM)
    assert text in found.text
    assert advice in found.advice


def test_not_ready_yet_is_no_problem() -> None:
    """It may be in a moment."""
    found = diagnose(HEALTHY._replace(ready=False))
    assert (found[0].subject, found[0].state) == ("ready", State.WARNING)


def test_what_is_over() -> None:
    """A refusal of an hour ago, a node that left, an address that peers alone reach."""
    old = RefusalFacts("cluster", "c is of 'x'", 3_600)
    left = B._replace(state=NodeState.LEFT, router=REFUSED)
    facts = HEALTHY._replace(refusals=(old,), peers=(B, left), advertised=SILENT)
    assert {it.state for it in diagnose(facts)} == {State.OK}
