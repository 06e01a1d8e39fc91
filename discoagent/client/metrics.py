"""An agent's figures, as values and as Prometheus text (exposition format 0.0.4). Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from discoagent.instance import Json

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
Sample = tuple[Mapping[str, str], float]


class Family(NamedTuple):
    """One metric: its whole name, whether it is a `gauge` or a `counter`, and its samples."""

    name: str
    type: str
    help: str
    samples: list[Sample]

    def to_json(self) -> Json:
        """Return it as `discoctl metrics -o json` shows it."""
        samples = [{"labels": dict(labels), "value": value} for labels, value in self.samples]
        return {"name": self.name, "type": self.type, "help": self.help, "samples": samples}


def text(status: Json) -> str:
    """Return the figures of a `status` answer, a family after the other."""
    return "".join(f"{line}\n" for family in families(status) for line in _lines(family))


def families(status: Json) -> Iterator[Family]:
    """Yield the figures of a `status` answer."""
    yield _gauge("info", "Who the agent is.", [(_identity(status), 1)])
    for name, what in (
        ("ready", "Is the agent ready to answer whole?"),
        ("alone", "Was no peer reached at the start?"),
        ("isolated", "Is the agent more likely cut off than most of its peers gone?"),
        ("secure", "Is the traffic between agents encrypted and authenticated?"),
    ):
        yield _gauge(name, what, [({}, int(bool(status[name])))])
    yield _gauge("uptime_seconds", "Since the agent began.", [({}, status["uptime_ms"] / 1000)])
    yield _gauge(
        "members",
        "Nodes by the state in which this agent sees them.",
        [({"state": state}, number) for state, number in status["members"].items()],
    )
    yield _gauge(
        "instances",
        "Instances registered here, and in the whole cluster.",
        [({"where": where}, number) for where, number in status["instances"].items()],
    )
    yield from _counters(status["counters"])


def _identity(status: Json) -> dict[str, str]:
    return {name: str(status[name]) for name in ("node", "cluster", "version", "wire")}


def _counters(counters: Mapping[str, int]) -> Iterator[Family]:
    """Give each part of the agent a family: `mesh.pub.full` is `mesh_total{what="pub.full"}`."""
    parts: dict[str, list[Sample]] = {}
    for name, number in sorted(counters.items()):
        part, _, what = name.partition(".")
        parts.setdefault(part, []).append(({"what": what}, number))
    for part, samples in parts.items():
        what = f"What the part `{part}` of the agent has counted."
        yield Family(f"discoagent_{part}_total", "counter", what, samples)


def _gauge(name: str, what: str, samples: list[Sample]) -> Family:
    return Family(f"discoagent_{name}", "gauge", what, samples)


def _lines(family: Family) -> Iterator[str]:
    name = family.name
    yield f"# HELP {name} {family.help}"
    yield f"# TYPE {name} {family.type}"
    for labels, value in family.samples:
        inner = ",".join(f'{key}="{_escaped(word)}"' for key, word in labels.items())
        yield f"{name}{{{inner}}} {value:g}" if inner else f"{name} {value:g}"


def _escaped(word: Any) -> str:
    return str(word).translate(_ESCAPES)
