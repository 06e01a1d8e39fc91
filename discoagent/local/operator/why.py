"""What an operator is told of a node's state: the evidence, and what would clear it. Pure."""

from typing import Any

from discoagent.core.effects import NodeState
from discoagent.core.entry import ReplicaId
from discoagent.core.evidence import Case, Change, Evidence, Witness
from discoagent.instance import rfc3339

WORD = "a new heartbeat of it, here or at a node that is asked, or its answer to a question"
CLEARS = {
    NodeState.ALIVE: None,
    NodeState.SUSPECT: WORD,
    NodeState.RESTARTING: f"its next life; or {WORD}",
    NodeState.DOWN: f"its next life; or {WORD}: its port is dialled again and again",
    NodeState.LEFT: "its next life: who has left does not come back in this one",
    NodeState.FORGOTTEN: "its next life; or its own word, unless it has left",
}


def told(node: str, case: Case, now: float, wall_ms: int) -> dict[str, Any]:
    """Return a case as the local API tells it; `now` is the shell's clock, `wall_ms` the wall's."""
    last = case.changes[-1]
    return {
        "node": node,
        "incarnation": last.replica.incarnation,
        "state": case.state.value,
        "since": _at(last.at, now, wall_ms),
        "reason": case.reason,
        "evidence": None if case.evidence is None else _evidence(case.evidence),
        "clears": CLEARS[case.state],
        "due_ms": _ms(case.due),
        "changes": [_change(change, now, wall_ms) for change in case.changes],
    }


def itself(own: ReplicaId) -> dict[str, Any]:
    """Return what is told of the agent's own node: it is alive, for it answers."""
    return {
        "node": own.node,
        "incarnation": own.incarnation,
        "state": NodeState.ALIVE.value,
        "since": None,
        "reason": "it is this agent's own",
        "evidence": None,
        "clears": None,
        "due_ms": None,
        "changes": [],
    }


def _change(change: Change, now: float, wall_ms: int) -> dict[str, Any]:
    return {
        "at": _at(change.at, now, wall_ms),
        "incarnation": change.replica.incarnation,
        "before": None if change.before is None else change.before.value,
        "after": change.after.value,
        "reason": change.reason,
        "evidence": _evidence(change.evidence),
    }


def _evidence(it: Evidence) -> dict[str, Any]:
    return {
        "silence_ms": _ms(it.silence),
        "beat": it.beat,
        "spoke_ms": _ms(it.spoke),
        "answered_ms": _ms(it.answered),
        "told_ms": _ms(it.told),
        "told_by": it.teller or None,
        "port": None if it.port is None else it.port.value,
        "dialled_ms": _ms(it.dialled),
        "refused_ms": _ms(it.refused),
        "refused_by": it.refuser or None,
        "farewell": it.farewell,
        "witnesses": [_witness(witness) for witness in it.witnesses],
        "silent": it.silent,
        "present": it.present,
    }


def _witness(it: Witness) -> dict[str, Any]:
    return {
        "node": it.node,
        "asked_ms": _ms(it.asked),
        "beat": it.beat,
        "heard_ms": _ms(it.heard),
        "refused_ms": _ms(it.refused),
    }


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _at(at: float, now: float, wall_ms: int) -> str:
    return rfc3339(wall_ms - round((now - at) * 1000))
