"""An agent's figures as Prometheus text (exposition format 0.0.4). Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from discoagent.instance import Json

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
Sample = tuple[Mapping[str, str], float]


def text(status: Json) -> str:
    """Return the figures of a `status` answer, a family after the other."""
    return "".join(f"{line}\n" for line in _lines(status))


def _lines(status: Json) -> Iterator[str]:
    yield from _family("info", "gauge", "Who the agent is.", [(_identity(status), 1)])
    for name, what in (
        ("ready", "Is the agent ready to answer whole?"),
        ("alone", "Was no peer reached at the start?"),
        ("isolated", "Is the agent more likely cut off than most of its peers gone?"),
        ("secure", "Is the traffic between agents encrypted and authenticated?"),
    ):
        yield from _family(name, "gauge", what, [({}, int(bool(status[name])))])
    yield from _family(
        "uptime_seconds", "gauge", "Since the agent began.", [({}, status["uptime_ms"] / 1000)]
    )
    yield from _family(
        "members",
        "gauge",
        "Nodes by the state in which this agent sees them.",
        [({"state": state}, number) for state, number in status["members"].items()],
    )
    yield from _family(
        "instances",
        "gauge",
        "Instances registered here, and in the whole cluster.",
        [({"where": where}, number) for where, number in status["instances"].items()],
    )
    yield from _counters(status["counters"])


def _identity(status: Json) -> dict[str, str]:
    return {name: str(status[name]) for name in ("node", "cluster", "version", "wire")}


def _counters(counters: Mapping[str, int]) -> Iterator[str]:
    """Give each part of the agent a family: `mesh.pub.full` is `mesh_total{what="pub.full"}`."""
    parts: dict[str, list[Sample]] = {}
    for name, number in sorted(counters.items()):
        part, _, what = name.partition(".")
        parts.setdefault(part, []).append(({"what": what}, number))
    for part, samples in parts.items():
        yield from _family(
            f"{part}_total", "counter", f"What the part `{part}` of the agent has counted.", samples
        )


def _family(name: str, kind: str, what: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP discoagent_{name} {what}"
    yield f"# TYPE discoagent_{name} {kind}"
    for labels, value in samples:
        inner = ",".join(f'{key}="{_escaped(word)}"' for key, word in labels.items())
        yield f"discoagent_{name}{{{inner}}} {value:g}" if inner else f"discoagent_{name} {value:g}"


def _escaped(word: Any) -> str:
    return str(word).translate(_ESCAPES)
