"""Nothing is removed, and nobody is accused, without a reason in the world."""

from collections.abc import Callable

from discoagent.core.effects import Emit, Event, EventKind, NodeState, StateChanged
from discoagent.core.entry import Cause, CauseWord, ReplicaId
from discoagent.core.timing import TICK
from discoagent.sim.model import serial_of
from discoagent.sim.step import Step

PROMPT = 0.02  # s of latency up to which a healthy peer is never even suspect
SLACK = 1.5  # seconds that ticks, jitter and heartbeats on their way may add to a silence


def removals_have_reasons(step: Step) -> None:
    """An entry is removed because it ended, because its node is gone, or because nobody spoke for
    it in time.
    """
    for effect in step.effects:
        if not isinstance(effect, Emit) or effect.event.kind is not EventKind.REMOVED:
            continue
        reason = _reason(step, effect.event)
        if reason is None:
            raise step.fail(removals_have_reasons, f"{effect.event}")
        if reason == "ended":
            assert effect.event.before is not None
            step.observer.buried.add(serial_of(effect.event.before))


def _reason(step: Step, event: Event) -> str | None:
    assert event.before is not None
    registration = step.world.model.of(event.before)
    word = event.cause.word
    if word in NODE_WORDS:
        return word if NODE_WORDS[word](step, event) else None
    if word == CauseWord.UNKNOWN:
        if registration.late or _grace_is_over(step, event.node):
            return "late"
        return "ended" if registration.ended is not None else None
    if (event.node, event.before.key, event.cause) not in step.world.model.endings:
        return None
    return "ended" if registration.ended is not None else None


def _is_down(step: Step, event: Event) -> bool:
    """Was that node taken down in this step?"""
    return any(it.after is NodeState.DOWN for it in _states(step, event.node))


def _states(step: Step, node: str) -> list[StateChanged]:
    """Return how a node's state changed in this step."""
    return [
        effect
        for effect in step.effects
        if isinstance(effect, StateChanged) and effect.replica.node == node
    ]


def _verdict_on(step: Step, event: Event) -> bool:
    """Was this life forgotten in this step, and did an operator say so?"""
    verdicts = step.world.model.verdicts
    states = _states(step, event.node)
    return any(it.after is NodeState.FORGOTTEN and it.replica in verdicts for it in states)


def _closed_by(step: Step, event: Event) -> bool:
    """Did a life of that node leave, for that cause, or for one that hearsay does not tell?"""
    hearsay = Cause(CauseWord.NODE_LEFT, b"", 0)
    return any(
        life.replica.node == event.node and life.closing and event.cause in (life.closing, hearsay)
        for life in step.world.model.lives.values()
    )


NODE_WORDS: dict[str, Callable[[Step, Event], bool]] = {
    CauseWord.NODE_DOWN: _is_down,
    CauseWord.NODE_LEFT: _closed_by,
    CauseWord.NODE_FORGOTTEN: _verdict_on,
}


def _grace_is_over(step: Step, node: str) -> bool:
    since = step.observer.unsettled_since.get(node)
    grace = step.world.profile.timing.restart_grace / step.host.rate
    return since is not None and step.world.now - since >= grace


def handovers_are_dated(step: Step) -> None:
    """Note since when a node is unsettled here, for `_grace_is_over`. (This check only looks.)"""
    since = step.observer.unsettled_since
    for peer in step.peers():
        life = step.world.model.lives.get(peer.replica)
        if life is None or life.settled(peer.node.chain.clock) or peer.node.hidden:
            since.pop(peer.node.name, None)
        elif peer.node.held is not None:
            since.setdefault(peer.node.name, step.world.now)


def verdicts_have_reasons(step: Step) -> None:
    """Nobody is suspected or taken down without a silence, and no silence is without its cause in
    the world.
    """
    for effect in step.effects:
        if not isinstance(effect, StateChanged) or effect.before is None:
            continue
        if effect.after is NodeState.DOWN:
            _judge(step, effect, step.world.profile.timing.down_after)
        elif effect.after is NodeState.SUSPECT and step.world.profile.latency[1] <= PROMPT:
            _judge(step, effect, step.world.profile.timing.suspect_after)
        elif effect.after is NodeState.FORGOTTEN and effect.before is NodeState.ALIVE:
            raise step.fail(verdicts_have_reasons, f"it was heard: {effect}")
        elif effect.after is NodeState.RESTARTING and not _was_away(step, effect.replica):
            raise step.fail(verdicts_have_reasons, f"it was there all the time: {effect}")


def _said_restart(step: Step, replica: ReplicaId) -> bool:
    return step.world.model.lives[replica].said_restart


def _was_away(step: Step, replica: ReplicaId) -> bool:
    """Did that life say that it stops, or did it end or stand still not long ago?"""
    owner = step.world.hosts[replica.node]
    if _said_restart(step, replica) or not owner.awake:
        return True
    timing, late = step.world.profile.timing, 2 * step.world.profile.latency[1]
    window = timing.restart_grace + timing.down_after + SLACK + late
    return (
        owner.life is None
        or owner.life.replica != replica
        or (step.world.now - owner.unreachable < window)
    )


def _judge(step: Step, effect: StateChanged, silence: float) -> None:
    world, now = step.world, step.world.now
    if effect.before is NodeState.RESTARTING or _said_restart(step, effect.replica):
        return
    if world.profile.timing.restart_grace == 0 and _was_away(step, effect.replica):
        return
    heard = step.observer.heard.get(effect.replica)
    if heard is not None and now - heard < silence / step.host.rate - 2 * TICK:
        raise step.fail(verdicts_have_reasons, f"heard {now - heard:.2f} s ago: {effect}")
    owner = world.hosts[effect.replica.node]
    if not owner.awake or owner.life is None or owner.life.replica != effect.replica:
        return
    trouble = world.network.troubled(owner.name, step.host.name)
    began = max(owner.life.began, step.host.links.since(owner.name))
    window = silence / step.host.rate + SLACK + 2 * world.profile.latency[1]
    if now - max(trouble, began) > window:
        raise step.fail(verdicts_have_reasons, f"nothing is wrong with the network: {effect}")
