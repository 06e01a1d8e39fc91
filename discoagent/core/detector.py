"""Silence, evidence, and the verdicts that follow from them.

A *sign of life* is a beat of this incarnation that was not known before; nothing else is. It comes
directly, or is told in the answer to a question and dated from when the question was put; so
retelling is allowed, and nothing can loop. Who answers a question itself was alive when it was put:
that counts for the asker alone. Silence is the time since the last sign. It runs on a
*witnessed* clock, which advances by two ticks at most at each call: time in which this agent itself
did not run counts for nobody's silence, and after a pause longer than a heartbeat everybody's
starts anew and testimony from before is void. (On local health see Lifeguard: Dadgar, Phillips,
Currey, DSN 2018; on asking others SWIM: Das, Gupta, Motivala, DSN 2002.)

    alive       silent for less than suspect_after
    suspect     for longer; a reader's overlay, no event. Or for much longer, where most others are
                silent as well (`guard.py`)
    restarting  its agent is gone or hangs while its host lives: its port refuses, or accepts and
                stays mute, later than its last sign of life; or it said so. No event either
    down        silent for down_after; or restarting for restart_grace; or its port refused, and
                then nothing answered for down_after: the host is gone too
"""

import heapq
from collections.abc import Iterable
from operator import attrgetter

from discoagent.core.effects import Dial, DialOutcome, Effect, NodeState, Redial, Send
from discoagent.core.entry import CauseWord, ReplicaId
from discoagent.core.guard import Guard
from discoagent.core.limits import PROBED_MAX, WITNESSES
from discoagent.core.membership import Membership
from discoagent.core.messages import Acquaintance, Heartbeat, Probe
from discoagent.core.peer import NEVER, PRESENT, Asked, Peer, Testimony
from discoagent.core.telling import acquaintance
from discoagent.core.timing import TICK

PROBE_INTERVAL = 0.5
DIAL_INTERVAL = 0.5
MUTE_DIAL_INTERVAL = (
    2.0  # each dial waits in the accept queue of a stopped process: spare its places
)
DIAL_TIMEOUT = 2.5  # the shell tells the outcome of a dial within this
REDIAL_INTERVAL = 2.5
REDIALS_DOUBLED_MAX = 4  # to 40 s
LOST_DIALS_PER_SECOND = 16  # to all who are down
LOST_DIAL_INTERVAL = 0.75  # to each of them, however few they are
QUESTION_LIFE = 5.0
TESTIMONIES_MAX = 8
HOST_GONE = "its port refused, then nothing answered: its host is gone"


class WitnessedClock:
    """A clock that stands still while nobody looks."""

    __slots__ = ("now", "real")

    def __init__(self, now: float) -> None:
        self.real = now
        self.now = now

    def witness(self, now: float) -> float:
        """Advance by the time since the last call, two ticks at most; return that time."""
        gap = max(0.0, now - self.real)
        self.real = max(self.real, now)
        self.now += min(gap, 2 * TICK)
        return gap


class Detector:
    """Judges peers by their silence and by what is known beside it."""

    def __init__(self, members: Membership) -> None:
        self._members = members
        self.guard = Guard(members)
        self._questions: dict[int, Asked] = {}
        self._number = 0
        self._next_probe = NEVER
        self._turns = 0
        self._next_lost = NEVER
        self._void_before = NEVER

    # ---- signs of life

    def paused(self, now: float) -> None:
        """Start everybody's silence anew after a pause of our own."""
        self._void_before = now
        for peer in self._members.peers.values():
            peer.heard = max(peer.heard, now)
            peer.dialling = NEVER

    def beat(self, peer: Peer, heartbeat: Heartbeat, now: float) -> list[Effect] | None:
        """Take a heartbeat of the peer's present life as a sign of life; None if it is none."""
        if heartbeat.beat > peer.arrived:  # the link is not deaf, though others may be quicker
            peer.arrived, peer.arrival, peer.redials = heartbeat.beat, now, 0
        if heartbeat.beat <= peer.beat or peer.state is NodeState.LEFT:
            return None
        peer.beat = heartbeat.beat
        if peer.farewell:
            return None  # it said that it stops: what of that life still arrives is late
        peer.heard = now
        peer.seen = peer.spoke = self._members.real
        return self._signed(peer, "its heartbeat came", now)

    def told(
        self, peer: Peer, told: Acquaintance, asked: Asked, teller: str, now: float
    ) -> list[Effect]:
        """Take in what another tells of this peer's present life, in answer to a question."""
        age = told.age_ms / 1000
        peer.testimony.pop(teller, None)
        peer.testimony[teller] = Testimony(asked.at, told.beat, age, told.refused_ms)
        while len(peer.testimony) > TESTIMONIES_MAX:
            del peer.testimony[next(iter(peer.testimony))]
        if asked.at < self._void_before:
            return []
        if told.refused_ms >= 0:
            _refused(peer, asked.at - told.refused_ms / 1000, mute=False, by=teller)
        if told.beat > peer.beat and not peer.farewell and peer.state is not NodeState.LEFT:
            peer.beat = told.beat
            peer.told = max(peer.told, asked.at - age)
            peer.seen = max(peer.seen, asked.real - age)
            peer.teller, peer.told_at = teller, asked.real - age
            return self._signed(peer, f"{teller} heard it {age:.1f} s before", now)
        return self._judge(peer, now) if peer.state in PRESENT else []

    def _signed(self, peer: Peer, evidence: str, now: float) -> list[Effect]:
        if peer.state is NodeState.DOWN:
            if now - peer.sign > self._members.timing.suspect_after:
                return []
            return self._members.show(peer, evidence, now)
        if peer.state is NodeState.ALIVE:
            return []
        return self._judge(peer, now)

    def farewell(self, peer: Peer, now: float) -> list[Effect]:
        """Hold the entries of a peer that said it restarts."""
        if peer.state not in PRESENT:
            return []
        peer.farewell = True
        peer.spoke = self._members.real
        if self._members.timing.restart_grace == 0:
            return self._down(peer, "it said that it stops, and restart_grace is 0", now)
        return self._members.set_state(peer, NodeState.RESTARTING, "it said that it restarts", now)

    # ---- what dialling shows

    def link_down(self, endpoint: str, now: float) -> list[Effect]:
        """Look at once why a connection ended."""
        peer = self._members.peer_at(endpoint)
        if peer is None or peer.state not in PRESENT:
            return []
        return self._dial(peer, now)

    def dialled(self, endpoint: str, outcome: DialOutcome, now: float) -> tuple[bool, list[Effect]]:
        """Take in what a dial showed; true if somebody answers at a peer's that is down."""
        peer = self._members.peer_at(endpoint)
        if peer is None:
            return False, []
        began, peer.dialling = peer.dialling, NEVER
        peer.port, peer.ported = outcome, self._members.real
        if outcome is DialOutcome.OPEN:
            return peer.state is NodeState.DOWN, []
        if peer.state not in PRESENT:
            peer.mute = outcome is DialOutcome.MUTE
            return False, []
        if outcome is DialOutcome.SILENT:
            return False, []
        if began == NEVER:  # too late to be dated: the dial was given up, or we slept meanwhile
            return False, []
        _refused(peer, began, mute=outcome is DialOutcome.MUTE, by="")
        return False, self._judge(peer, now)

    def _dial(self, peer: Peer, now: float) -> list[Effect]:
        if now - peer.dialling < DIAL_TIMEOUT:
            return []
        peer.dialling = peer.dialled = now
        return [Dial(peer.endpoint)]

    # ---- time

    def tick(self, now: float) -> list[Effect]:
        """Judge everybody, ask about the silent, dial them, and a few of the lost."""
        effects: list[Effect] = []
        silent: list[Peer] = []
        patience = 1.5 * self._members.timing.heartbeat_interval
        heard_since = now - patience
        self.guard.look(now)
        alive = NodeState.ALIVE
        doubtful = [  # all but those that were just heard, and of whom nothing else is known
            peer
            for peer in self._members.peers.values()
            if peer.heard <= heard_since
            or peer.state is not alive
            or peer.farewell
            or peer.refused > peer.heard
        ]
        for peer in doubtful:
            if peer.state in PRESENT:
                effects += self._judge(peer, now)
                silence = peer.state in PRESENT and now - peer.heard > patience
                if silence:
                    silent.append(peer)
                if silence or peer.state is NodeState.RESTARTING:  # its host may end soon as well
                    effects += self._examine(peer, now)
            elif self._forgettable(peer, now):
                effects += self._forget(peer, now)
        return effects + self._probe(silent, now) + self._dial_lost(now)

    def _forget(self, peer: Peer, now: float) -> list[Effect]:
        cause = self._members.cause(CauseWord.NODE_FORGOTTEN)
        return self._members.forget(peer, f"it was {peer.state} for forget_after", cause, now)

    def _forgettable(self, peer: Peer, now: float) -> bool:
        """Is it gone for so long that it is to be forgotten? Not while we may be cut off."""
        long_ago = now - peer.since > self._members.timing.forget_after
        return long_ago and not self.guard.isolated

    def _examine(self, peer: Peer, now: float) -> list[Effect]:
        """Dial who is silent here; make the link anew if others hear it."""
        effects: list[Effect] = []
        interval = MUTE_DIAL_INTERVAL if peer.mute else DIAL_INTERVAL
        if now - peer.dialled >= interval:
            effects += self._dial(peer, now)
        came = max(peer.heard, peer.arrival)
        deaf = peer.state is NodeState.ALIVE and now - came > REDIAL_INTERVAL
        pause = REDIAL_INTERVAL * 2**peer.redials  # a port that is blocked stays so, and each
        if deaf and now - peer.redialled >= pause:  # redial loses what waits to be sent
            peer.redialled = now
            peer.redials = min(peer.redials + 1, REDIALS_DOUBLED_MAX)
            effects.append(Redial(peer.endpoint))
        return effects

    def _judge(self, peer: Peer, now: float) -> list[Effect]:
        timing = self._members.timing
        if peer.farewell:
            return self._judge_departing(peer, now)
        silence = now - peer.sign
        grace = timing.restart_grace
        gone = peer.refused > peer.sign and not (peer.mute and grace == 0)
        if gone:
            return self._judge_gone(peer, silence, now)
        if silence > timing.down_after:
            return self._down(
                peer, f"silent for {silence:.1f} s, here and to all who were asked", now
            )
        state = NodeState.SUSPECT if silence > timing.suspect_after else NodeState.ALIVE
        evidence = f"silent for {silence:.1f} s" if state is NodeState.SUSPECT else "heard again"
        return self._members.set_state(peer, state, evidence, now)

    def _judge_departing(self, peer: Peer, now: float) -> list[Effect]:
        timing = self._members.timing
        if now - peer.since > timing.restart_grace:
            return self._down(peer, "it said that it restarts, and did not", now)
        if peer.refused > peer.since and now - peer.refused > timing.down_after:
            return self._down(peer, HOST_GONE, now)
        return []

    def _judge_gone(self, peer: Peer, silence: float, now: float) -> list[Effect]:
        timing = self._members.timing
        how = "accepts and stays mute" if peer.mute else "refuses"
        late = silence - timing.heartbeat_interval if peer.mute else now - peer.gone
        if late > timing.restart_grace:
            return self._down(peer, f"its port {how}, silent for {silence:.1f} s", now)
        if now - peer.refused > timing.down_after:
            return self._down(peer, HOST_GONE, now)
        return self._members.set_state(peer, NodeState.RESTARTING, f"its port {how}", now)

    def _down(self, peer: Peer, evidence: str, now: float) -> list[Effect]:
        """Take a peer down, unless it is the rest of the world that is silent."""
        if self.guard.holds(peer, now):
            restarting = peer.state is NodeState.RESTARTING
            state = NodeState.RESTARTING if restarting else NodeState.SUSPECT
            doubt = f"{evidence}; but so are most others: we may be cut off"
            return self._members.set_state(peer, state, doubt, now)
        cause = self._members.cause(CauseWord.NODE_DOWN)
        return self._members.hide(peer, NodeState.DOWN, cause, evidence, now)

    # ---- asking others

    def _probe(self, silent: list[Peer], now: float) -> list[Effect]:
        if not silent or now < self._next_probe:
            return []
        self._next_probe = now + PROBE_INTERVAL
        self._turns += 1
        for number, question in list(self._questions.items()):
            if now - question.at > QUESTION_LIFE:
                del self._questions[number]
        names = tuple(peer.replica.node for peer in silent[:PROBED_MAX])
        effects = [self._ask(witness, names, now) for witness in self._witnesses(silent)]
        mute = [peer for peer in silent if not peer.farewell and peer.refused <= peer.sign]
        return effects + [self._ask(peer, (), now) for peer in self._in_turn(mute)]

    def _witnesses(self, silent: list[Peer]) -> list[Peer]:
        """Choose whom to ask: those that are heard here, in rotation."""
        unheard = {peer.replica.node for peer in silent}
        able = [
            peer
            for name, peer in sorted(self._members.peers.items())
            if peer.state is NodeState.ALIVE and name not in unheard
        ]
        return self._in_turn(able)

    def _in_turn(self, peers: list[Peer]) -> list[Peer]:
        """Return a few of these, others at each call."""
        if len(peers) <= WITNESSES:
            return peers
        start = self._turns % len(peers) * WITNESSES
        return [peers[(start + place) % len(peers)] for place in range(WITNESSES)]

    def _ask(self, witness: Peer, names: tuple[str, ...], now: float) -> Effect:
        self._number += 1
        asked = Asked(self._number, now, self._members.real, witness.replica.node)
        self._questions[self._number] = asked
        return Send((witness.endpoint,), Probe(self._number, names))

    def asked(self, names: Iterable[str], now: float) -> tuple[Acquaintance, ...]:
        """Return what we know of those that somebody asks about."""
        known = (acquaintance(self._members, name, now) for name in names)
        return tuple(told for told in known if told is not None)

    def answered(self, number: int, witness: ReplicaId, now: float) -> Asked | None:
        """Return the probe that this answers, once; None if there is none.

        An answer to a fresh question is itself a sign of the answerer.
        """
        question = self._questions.pop(number, None)
        if question is None or question.whom != witness.node:
            self._members.counters["probe-unasked"] += 1
            return None
        peer = self._members.peers.get(witness.node)
        if peer is None or peer.replica != witness or peer.farewell:
            return question
        if peer.state in PRESENT and question.at >= self._void_before:
            peer.answered = max(peer.answered, question.at)
            peer.seen = max(peer.seen, question.real)
        return question

    # ---- the lost

    def _dial_lost(self, now: float) -> list[Effect]:
        """Dial those that are down, whoever waits longest first: none is ever given up.

        A dial may take longer than the pause until the next: what is lost need not be dated.
        """
        self._next_lost = max(self._next_lost, now - 2 * TICK)
        if not self._members.lost:
            return []
        taken = set(self._members.targets())  # by a renamed host: who is lost is not there
        lost = (peer for peer in self._members.lost.values() if peer.endpoint not in taken)
        effects: list[Effect] = []
        for peer in heapq.nsmallest(LOST_DIALS_PER_SECOND, lost, key=attrgetter("dialled")):
            interval = MUTE_DIAL_INTERVAL if peer.mute else LOST_DIAL_INTERVAL
            if self._next_lost <= now and now - peer.dialled >= interval:
                self._next_lost += 1 / LOST_DIALS_PER_SECOND
                peer.dialled = now
                effects.append(Dial(peer.endpoint))
        return effects


def _refused(peer: Peer, at: float, *, mute: bool, by: str) -> None:
    """Remember that the peer's port refused, or was mute, at that time, and who saw it."""
    if at <= peer.refused:
        return
    if peer.refused <= peer.sign:
        peer.gone = at
    peer.refused, peer.mute, peer.refuser = at, mute, by
