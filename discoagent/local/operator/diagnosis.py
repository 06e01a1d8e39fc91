"""What is wrong with a set-up, and what to do about it: facts in, diagnoses out. Pure.

Each diagnosis is about one subject and is `ok`, a `warning` (it works, but not as it should) or a
`problem`; the latter two come with advice. What concerns peers is in `peer_diagnosis.py`.
"""

from collections.abc import Iterator

from discoagent.core.effects import DialOutcome
from discoagent.endpoints import is_loopback, parse
from discoagent.local.operator.facts import Diagnosis, Facts, State, StateFacts
from discoagent.local.operator.peer_diagnosis import OUTCOMES, clocks, peers, reaches_us, versions

DISK_FREE_MIN = 16 * 1024 * 1024
FILES_BASE, FILES_PER_PEER = 256, 4  # descriptors: a peer's two links, both ways
RECENT = 600.0  # seconds for which a refusal is of interest


def diagnose(facts: Facts) -> list[Diagnosis]:
    """Return a diagnosis of each subject, in an order that suits a reader."""
    return [
        _readiness(facts),
        _advertise(facts),
        _key(facts),
        _limits(facts),
        *_store(facts.store),
        *_services(facts),
        *_refusals(facts),
        *versions(facts),
        *clocks(facts),
        *peers(facts),
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
    if facts.advertised is DialOutcome.OPEN and facts.publisher is DialOutcome.OPEN:
        return Diagnosis(
            "advertise", State.OK, f"the agent is reached at {here}, and at the next port"
        )
    wrong = facts.advertised
    if wrong is DialOutcome.OPEN:
        wrong, here = facts.publisher, f"the port after {here}"
    # A peer that hears us long after we greeted it hears our heartbeats, from that address.
    late = facts.uptime > 2 * facts.suspect_after
    heard = late and any(reaches_us(facts, peer) for peer in facts.peers)
    text = f"{OUTCOMES[wrong]} at {here}"
    advice = f"set `advertise` to an address of this host at which the others reach {facts.bind}"
    if heard:  # a way through an address translation may be closed to the host itself
        return Diagnosis("advertise", State.OK, f"{text}, from here; its peers do reach it")
    return Diagnosis("advertise", State.PROBLEM, text, advice)


def _key(facts: Facts) -> Diagnosis:
    if facts.secure:
        return Diagnosis("key", State.OK, "traffic between agents is encrypted and authenticated")
    if is_loopback(parse(facts.bind).host):
        text = f"no cluster key; it listens on this host alone ({facts.bind})"
        return Diagnosis("key", State.OK, text)
    text = f"no cluster key: whoever reaches {facts.bind} is trusted, as `insecure` says"
    return Diagnosis("key", State.OK, text)


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


def _store(store: StateFacts | None) -> Iterator[Diagnosis]:
    """Whose the directory is and whether it can be written; then, apart, its disk's room."""
    if store is None:
        yield Diagnosis(
            "state",
            State.PROBLEM,
            "there is no state directory: a restart forgets what no application says again",
            "name a directory that the agent may write with `state_dir`",
        )
        return
    full = store.free is not None and store.free < DISK_FREE_MIN
    if store.owner is not None:
        yield Diagnosis(
            "state",
            State.PROBLEM,
            f"{store.directory} belongs to {store.owner}, who is not the agent's user"
            + (f": {store.trouble}" if store.trouble else ""),
            f"`chown -R` it to the agent's user, or name another with `state_dir`; see that no "
            f"other agent of {store.owner} uses it",
        )
    elif store.trouble is not None and not full:
        yield Diagnosis(
            "state",
            State.PROBLEM,
            f"{store.directory} cannot be written: {store.trouble}",
            "give the directory to the agent's user; the agent tries on by itself",
        )
    elif store.trouble is None:
        yield Diagnosis("state", State.OK, f"{store.directory} is written")
    if full:
        yield Diagnosis(
            "disk",
            State.PROBLEM,
            f"the disk of {store.directory} has only {(store.free or 0) // 1024} KiB left"
            + (f": {store.trouble}" if store.trouble else ""),
            "make room: what cannot be kept does not outlive a restart; the agent tries on by "
            "itself",
        )
    elif store.free is not None:
        yield Diagnosis(
            "disk",
            State.OK,
            f"the disk of {store.directory} has {store.free // 1024**2} MiB left",
        )


def _services(facts: Facts) -> Iterator[Diagnosis]:
    advice = "mend the file, then `discoctl reload`; what it wanted before stays until then"
    for problem in facts.service_problems:
        yield Diagnosis("services", State.PROBLEM, problem, advice)
    if not facts.service_problems:
        yield Diagnosis("services", State.OK, "every service file could be used")


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
