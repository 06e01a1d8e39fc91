"""What an examination finds out of an agent and its host, and what is said of it: values alone."""

from enum import StrEnum
from typing import NamedTuple

from discoagent.core.effects import DialOutcome, NodeState


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Diagnosis(NamedTuple):
    """What was found of one *subject*. `advice` is what to do; there is none where all is well."""

    subject: str
    state: State
    text: str
    advice: str = ""


class PeerFacts(NamedTuple):
    """What was found out about one peer; seconds, None where nothing came back.

    `hears_us`: how long ago it had a sign of life of ours; `skew`: its wall clock minus ours.
    `missed_at`: our ports at which none of its connections comes in, as far as that can be known.
    `boot` names its host's boot, `version` is its agent's; both empty while they are not known.
    """

    node: str
    endpoint: str
    state: NodeState
    heard: float
    router: DialOutcome
    publisher: DialOutcome
    answered: bool
    hears_us: float | None
    skew: float | None
    missed_at: tuple[int, ...] = ()
    boot: str = ""
    version: str = ""


class RefusalFacts(NamedTuple):
    """A greeting that came to nothing: `word` says why (cluster, wire, name), `ago` in seconds."""

    word: str
    text: str
    ago: float


class StateFacts(NamedTuple):
    """What was found out about the state directory.

    `owner`: the user it belongs to, if that is neither root nor the agent's own user; `trouble`:
    what keeps it from being written; `free`: bytes that its disk has left, None if unknown.
    """

    directory: str
    owner: str | None = None
    trouble: str | None = None
    free: int | None = None


class Facts(NamedTuple):
    """What was found out about an agent and its host.

    `advertised` and `publisher`: what a connect to its own two ports came to, where it advertises
    them. `uptime` and `suspect_after` in seconds. `service_problems`: what is wrong with its
    service files. `store` is None where there is no state directory.
    """

    node: str
    version: str
    uptime: float
    boot: str
    bind: str
    advertise: str
    advertised: DialOutcome
    publisher: DialOutcome
    ready: bool
    alone: bool
    isolated: bool
    secure: bool
    files: int
    store: StateFacts | None
    suspect_after: float
    service_problems: tuple[str, ...]
    peers: tuple[PeerFacts, ...]
    refusals: tuple[RefusalFacts, ...]
