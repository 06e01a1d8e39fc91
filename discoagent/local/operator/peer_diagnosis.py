"""What is wrong between an agent and its peers, and what to do about it. Pure."""

from collections.abc import Iterator, Sequence

from discoagent.core.effects import DialOutcome, NodeState
from discoagent.endpoints import is_loopback, parse
from discoagent.local.operator.facts import Diagnosis, Facts, PeerFacts, State

SKEW_MAX = 30.0  # seconds between two hosts' wall clocks: events are dated by their owner's
OUTCOMES = {
    DialOutcome.OPEN: "an agent answers",
    DialOutcome.REFUSED: "nobody listens",
    DialOutcome.MUTE: "somebody accepts and stays mute",
    DialOutcome.SILENT: "nothing answers",
}


def versions(facts: Facts) -> Iterator[Diagnosis]:
    """Say which versions are met; another one is no fault, as long as both speak one wire."""
    others = sorted({peer.version for peer in facts.peers if peer.version})
    text = f"this agent is {facts.version}"
    yield Diagnosis(
        "version", State.OK, f"{text}, its peers are {', '.join(others)}" if others else text
    )


def clocks(facts: Facts) -> Iterator[Diagnosis]:
    """Compare the peers' clocks with ours; where most differ, it is ours that is wrong."""
    told = [peer for peer in facts.peers if peer.skew is not None]
    wrong = [peer for peer in told if abs(_skew(peer)) > SKEW_MAX]
    advice = "synchronise {} (chrony, systemd-timesyncd)"
    if len(wrong) > 1 and len(wrong) * 2 > len(told):
        skew = sorted(map(_skew, wrong))[len(wrong) // 2]
        way = "behind" if skew > 0 else "ahead of"
        yield Diagnosis(
            "clock",
            State.PROBLEM,
            f"this host's clock is {abs(skew):.0f} s {way} those of {_names(wrong)}",
            advice.format("the clock of this host"),
        )
        return
    for peer in wrong:
        way = "ahead of" if _skew(peer) > 0 else "behind"
        yield Diagnosis(
            "clock",
            State.PROBLEM,
            f"the clock of {peer.node} is {abs(_skew(peer)):.0f} s {way} ours",
            advice.format("the clocks of both hosts"),
        )
    if told and not wrong:
        most = max(abs(_skew(peer)) for peer in told)
        yield Diagnosis("clock", State.OK, f"the peers' clocks are within {most:.1f} s of ours")


def _skew(peer: PeerFacts) -> float:
    return peer.skew or 0.0


def _names(found: Sequence[PeerFacts]) -> str:
    """Name a few, and say how many more there are."""
    named = ", ".join(peer.node for peer in found[:3])
    return f"{named} and {len(found) - 3} more" if len(found) > 3 else named


def reaches_us(facts: Facts, peer: PeerFacts) -> bool:
    """Has the peer heard us lately?"""
    return peer.hears_us is not None and peer.hears_us <= facts.suspect_after


def peers(facts: Facts) -> Iterator[Diagnosis]:
    """Say of each peer whether it is reached and reaches us."""
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
            f"it is down, last heard {peer.heard:.0f} s ago; {OUTCOMES[peer.router]} at "
            f"{peer.endpoint}",
            "see after its host, and whether it is reached there (its `advertise`); gone for good "
            f"it is forgotten by itself, and by `discoctl forget {peer.node}` at once",
        )
        return
    unreached = peer.router if peer.router is not DialOutcome.OPEN else peer.publisher
    if unreached is not DialOutcome.OPEN:
        port = "its port" if peer.router is not DialOutcome.OPEN else "the port after its port"
        yield Diagnosis(
            subject,
            State.PROBLEM,
            f"{OUTCOMES[unreached]} at {port} ({peer.endpoint}) from here",
            "open both ports in the firewalls between the two hosts; see whether its agent runs, "
            "and at which address it is reached (its `advertise`)",
        )
    elif not peer.answered:
        yield Diagnosis(
            subject,
            State.PROBLEM,
            f"{peer.endpoint} is reached, and its agent does not answer",
            "see whether it hangs: `systemctl status discoagent` there",
        )
    elif not reaches_us(facts, peer):
        ago = "" if peer.hears_us is None else f" since {peer.hears_us:.0f} s"
        yield Diagnosis(
            subject,
            State.PROBLEM,
            f"we reach it, and it hears nothing of us{ago}: it looks for us at {facts.advertise}",
            "open that port and the next one here, towards it, or correct `advertise`",
        )
    elif peer.missed_at:
        yield Diagnosis(
            subject,
            State.PROBLEM,
            f"we reach it, and no connection of it comes in at our port "
            f"{' nor at '.join(map(str, peer.missed_at))}",
            "open both ports here, towards it, in the firewalls between the two hosts",
        )
    if _shares_our_host(facts, peer):
        yield Diagnosis(
            "second agent",
            State.PROBLEM,
            f"{peer.node} at {peer.endpoint} runs on this host too: what is registered here is "
            "divided among two nodes",
            "stop one of the two (`systemctl stop`), for a host needs one agent",
        )


def _shares_our_host(facts: Facts, peer: PeerFacts) -> bool:
    """Is it the same boot at the same address? On loopback, several agents are a playground."""
    here, there = parse(facts.advertise).host, parse(peer.endpoint).host
    return here == there and not is_loopback(here) and facts.boot == peer.boot != ""
