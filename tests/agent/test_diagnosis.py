"""What is said of a set-up: each fault by a line of its own, with what to do."""

from typing import Any

import pytest

from discoagent.core.effects import DialOutcome, NodeState
from discoagent.local.operator.diagnosis import diagnose
from discoagent.local.operator.facts import Facts, PeerFacts, RefusalFacts, State, StateFacts

OPEN, REFUSED, SILENT = DialOutcome.OPEN, DialOutcome.REFUSED, DialOutcome.SILENT
B = PeerFacts(
    node="b",
    endpoint="10.0.0.2:7800",
    state=NodeState.ALIVE,
    heard=0.4,
    router=OPEN,
    publisher=OPEN,
    answered=True,
    hears_us=0.3,
    skew=0.01,
    boot="there",
    version="2.0.0",
)
C = B._replace(node="c", endpoint="10.0.0.3:7800", boot="elsewhere")
STATE = StateFacts("/var/lib/discoagent", free=2**30)
HEALTHY = Facts(
    node="a",
    version="2.0.1",
    uptime=60.0,
    boot="here",
    bind="10.0.0.1:7800",
    advertise="10.0.0.1:7800",
    advertised=OPEN,
    publisher=OPEN,
    ready=True,
    alone=False,
    isolated=False,
    secure=False,
    files=65_536,
    store=STATE,
    suspect_after=2.0,
    service_problems=(),
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
    assert [it.subject for it in found] == [
        *("ready", "advertise", "key", "limits", "state", "disk", "services"),
        *("version", "clock", "peer b"),
    ]
    assert "this agent is 2.0.1, its peers are 2.0.0" in [it.text for it in found]


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
        ({"advertised": SILENT, "uptime": 3.0}, "advertise", "nothing answers", "advertise"),
        (
            {"publisher": REFUSED, "peers": ()},
            "advertise",
            "nobody listens at the port after 10.0.0.1:7800",
            "advertise",
        ),
        ({"store": None}, "state", "no state directory", "state_dir"),
        ({"store": STATE._replace(trouble="it is lost")}, "state", "it is lost", "give"),
        ({"store": STATE._replace(owner="user eve")}, "state", "belongs to user eve", "chown"),
        ({"store": STATE._replace(free=4096)}, "disk", "4 KiB left", "make room"),
        ({"service_problems": ("web.toml:3: bad",)}, "services", "web.toml:3: bad", "reload"),
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
        (
            peer(missed_at=(7800, 7801)),
            "peer b",
            "no connection of it comes in at our port 7800 nor at 7801",
            "open both ports here",
        ),
        (peer(state=NodeState.DOWN), "peer b", "it is down", "see after its host"),
        (peer(skew=600.0), "clock", "600 s ahead of ours", "synchronise"),
        (peer(skew=-600.0), "clock", "600 s behind ours", "synchronise"),
        (
            {"peers": (B._replace(skew=600.0), C._replace(skew=599.0))},
            "clock",
            "this host's clock is 600 s behind those of b, c",
            "the clock of this host",
        ),
        (
            peer(endpoint="10.0.0.1:7900", boot="here"),
            "second agent",
            "b at 10.0.0.1:7900 runs on this host too",
            "stop one",
        ),
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


def test_a_full_disk_is_one_fault() -> None:
    """That the store cannot be written follows from it, and is said in its line."""
    full = STATE._replace(free=0, trouble="no room")
    (found,) = [it for it in diagnose(HEALTHY._replace(store=full)) if it.state is not State.OK]
    assert found.subject == "disk"
    assert "no room" in found.text


def test_agents_beside_each_other_on_loopback() -> None:
    """That is how one tries it out; and one behind the same address may be on another host."""
    here = B._replace(endpoint="127.0.0.1:7900", boot="here")
    playground = HEALTHY._replace(bind="127.0.0.1:7800", advertise="127.0.0.1:7800", peers=(here,))
    translated = HEALTHY._replace(peers=(B._replace(endpoint="10.0.0.1:7900"),))
    for facts in (playground, translated):
        assert {it.state for it in diagnose(facts)} == {State.OK}


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
