"""What is wrong with a set-up, and what to do about it: facts in, diagnoses out. Pure.

Each diagnosis is about one *subject* and is `ok`, a `warning` (it works, but not as it should) or a
`problem`; the latter two come with advice.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from discoagent.core.effects import DialOutcome, NodeState

SKEW_MAX = 30.0  # seconds between two hosts' wall clocks: events are dated by their owner's
DISK_FREE_MIN = 16 * 1024 * 1024
FILES_BASE, FILES_PER_PEER = 256, 4  # descriptors: a peer's two links, both ways
RECENT = 600.0  # seconds for which a refusal is of interest


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Diagnosis(NamedTuple):
    """What was found of one subject."""

    subject: str
    state: State
    text: str
    advice: str = ""


class PeerFacts(NamedTuple):
    """What was found out about one peer; seconds, None where nothing came back.

    `hears_us`: how long ago it had a sign of life of ours; `skew`: its wall clock minus ours.
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


class RefusalFacts(NamedTuple):
    """A greeting that came to nothing: `word` says why (cluster, wire, name), `ago` in seconds."""

    word: str
    text: str
    ago: float


class Facts(NamedTuple):
    """What was found out about an agent and its host."""

    node: str
    bind: str
    advertise: str
    advertised: DialOutcome
    ready: bool
    alone: bool
    isolated: bool
    files: int
    state_dir: str | None
    state_trouble: str | None
    disk_free: int | None
    suspect_after: float
    peers: tuple[PeerFacts, ...]
    refusals: tuple[RefusalFacts, ...]


def diagnose(facts: Facts) -> list[Diagnosis]:
    """Return a diagnosis of each subject, in an order that suits a reader."""
    return [
        _readiness(facts),
        _advertise(facts),
        _limits(facts),
        _state(facts),
        *_refusals(facts),
        *_peers(facts),
    ]


def _readiness(facts: Facts) -> Diagnosis:
    if facts.isolated:
        return Diagnosis(
            "ready",
            State.PROBLEM,
            f"{facts.node} hears nothing of most of its peers: it is likely cut off itself",
            "look at this host's network first: the others may be well",
        )
    if facts.alone:
        return Diagnosis(
            "ready",
            State.PROBLEM,
            "no peer was reached since the start, so this agent serves alone",
            "check `join`, and that its ports (that one and the next) are open from here",
        )
    if not facts.ready:
        return Diagnosis(
            "ready",
            State.WARNING,
            "the agent is still looking for its peers",
            "ask again in a few seconds",
        )
    return Diagnosis("ready", State.OK, f"{facts.node} answers and is ready")


def _advertise(facts: Facts) -> Diagnosis:
    here = f"{facts.advertise}, which it advertises"
    if facts.advertised is DialOutcome.OPEN:
        return Diagnosis("advertise", State.OK, f"the agent is reached at {here}")
    heard = any(peer.hears_us is not None for peer in facts.peers)
    text = f"{_WHAT[facts.advertised]} at {here}"
    advice = f"set `advertise` to an address of this host at which the others reach {facts.bind}"
    if heard:  # a way through an address translation may be closed to the host itself
        return Diagnosis("advertise", State.OK, f"{text}, from here; its peers do reach it")
    return Diagnosis("advertise", State.PROBLEM, text, advice)


def _limits(facts: Facts) -> Diagnosis:
    needed = FILES_BASE + FILES_PER_PEER * len(facts.peers)
    if facts.files >= needed:
        return Diagnosis("limits", State.OK, f"{facts.files} files may be open")
    return Diagnosis(
        "limits",
        State.PROBLEM,
        f"only {facts.files} files may be open; with {len(facts.peers)} peers {needed} are needed",
        "raise LimitNOFILE= in the unit (or `ulimit -n`), then restart the agent",
    )


def _state(facts: Facts) -> Diagnosis:
    if facts.state_dir is None:
        return Diagnosis(
            "state",
            State.PROBLEM,
            "there is no state directory: a restart forgets what no application says again",
            "name a directory that the agent may write with `state_dir`",
        )
    if facts.state_trouble is not None:
        return Diagnosis(
            "state",
            State.PROBLEM,
            f"{facts.state_dir} cannot be written: {facts.state_trouble}",
            "give the directory to the agent's user, or make room; the agent tries on by itself",
        )
    if facts.disk_free is not None and facts.disk_free < DISK_FREE_MIN:
        return Diagnosis(
            "state",
            State.PROBLEM,
            f"the disk of {facts.state_dir} has only {facts.disk_free // 1024} KiB left",
            "make room, before the agent can no longer keep what outlives a restart",
        )
    return Diagnosis("state", State.OK, f"{facts.state_dir} is written")


_REFUSED = {
    "cluster": (
        "cluster",
        "give both the same `cluster`, or take the address out of `join`",
    ),
    "wire": ("version", "upgrade the older one of the two"),
    "name": ("name", "give each agent a name of its own with `node`, or stop the other one"),
}


def _refusals(facts: Facts) -> Iterator[Diagnosis]:
    for refusal in facts.refusals:
        if refusal.ago <= RECENT:
            subject, advice = _REFUSED[refusal.word]
            text = f"{refusal.text} ({refusal.ago:.0f} s ago)"
            yield Diagnosis(subject, State.PROBLEM, text, advice)


_WHAT = {
    DialOutcome.OPEN: "an agent answers",
    DialOutcome.REFUSED: "nobody listens",
    DialOutcome.MUTE: "somebody accepts and stays mute",
    DialOutcome.SILENT: "nothing answers",
}


def _peers(facts: Facts) -> Iterator[Diagnosis]:
    for peer in facts.peers:
        if peer.state is NodeState.LEFT:
            continue
        found = list(_faults(facts, peer))
        yield from found
        if not found:
            yield Diagnosis(
                f"peer {peer.node}", State.OK, f"{peer.endpoint} is reached, and reaches us"
            )


def _faults(facts: Facts, peer: PeerFacts) -> Iterator[Diagnosis]:
    subject = f"peer {peer.node}"
    if peer.state is NodeState.DOWN:
        yield Diagnosis(
            subject,
            State.PROBLEM,
            f"it is down, last heard {peer.heard:.0f} s ago; {_WHAT[peer.router]} at "
            f"{peer.endpoint}",
            "see after its host; if it is gone for good it is forgotten by itself",
        )
        return
    unreached = peer.router if peer.router is not DialOutcome.OPEN else peer.publisher
    if unreached is not DialOutcome.OPEN:
        port = "its port" if peer.router is not DialOutcome.OPEN else "the port after its port"
        yield Diagnosis(
            subject,
            State.PROBLEM,
            f"{_WHAT[unreached]} at {port} ({peer.endpoint}) from here",
            "open both ports in the firewalls between the two hosts; see whether its agent runs",
        )
    elif not peer.answered:
        yield Diagnosis(
            subject,
            State.PROBLEM,
            f"{peer.endpoint} is reached, and its agent does not answer",
            "see whether it hangs: `systemctl status discoagent` there",
        )
    elif peer.hears_us is None or peer.hears_us > facts.suspect_after:
        ago = "" if peer.hears_us is None else f" since {peer.hears_us:.0f} s"
        yield Diagnosis(
            subject,
            State.PROBLEM,
            f"we reach it, and it hears nothing of us{ago}: it looks for us at {facts.advertise}",
            "open that port and the next one here, towards it, or correct `advertise`",
        )
    if peer.skew is not None and abs(peer.skew) > SKEW_MAX:
        way = "ahead of" if peer.skew > 0 else "behind"
        yield Diagnosis(
            "clock",
            State.PROBLEM,
            f"the clock of {peer.node} is {abs(peer.skew):.0f} s {way} ours",
            "synchronise the clocks of both hosts (chrony, systemd-timesyncd)",
        )
