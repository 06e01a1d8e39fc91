"""Deliberate bugs, each put into the core for one story or a few seeds: the simulator notices."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from discoagent.core import chain, detector, exchange, hearsay, inbox, membership, node, sync
from discoagent.core.effects import DialOutcome, NodeState
from discoagent.core.entry import Entry, ReplicaId
from discoagent.core.messages import Delta, Page
from discoagent.core.peer import PRESENT, Grave, Peer
from discoagent.core.presence import Presence
from discoagent.core.ring import Segment
from tests.sim import test_repair, test_restarts, test_silence, test_stories
from tests.sim.mutation import Mutants, seeds

mutants = Mutants()


# ---- repair


@mutants.caught_by(test_repair.test_born_and_gone_between_two_clocks)
def skip_known_steps(patch: pytest.MonkeyPatch) -> None:
    """A net delta's silence about a dot says nothing."""

    def join(self: chain.Chain, delta: Delta) -> Segment:
        kept = {dot: (entry, None) for dot, entry in self.live() if delta.since < dot}
        return original(self, replace(delta, added={**kept, **delta.added}))

    original = chain.Chain._join
    patch.setattr(chain.Chain, "_join", join)


@mutants.caught_by(test_repair.test_a_lost_delta_of_a_busy_owner)
def no_gap_check(patch: pytest.MonkeyPatch) -> None:
    """A delta beyond a gap is joined."""

    def join(self: chain.Chain, delta: Delta) -> list[Segment]:
        return [self._join(delta)] if delta.until > self.clock else []

    patch.setattr(chain.Chain, "join", join)


@mutants.caught_by(test_repair.test_a_lost_delta_of_a_busy_owner)
def no_tail(patch: pytest.MonkeyPatch) -> None:
    """What lies beyond a gap is dropped."""
    patch.setattr(chain.Chain, "_keep", lambda *_: None)


@mutants.caught_by(test_repair.test_the_last_delta_is_lost)
def heartbeats_tell_no_clock(patch: pytest.MonkeyPatch) -> None:
    """A gap shows by the next delta alone."""
    patch.setattr(inbox, "HEARTBEAT_PATIENCE", float("inf"))


@mutants.caught_by(test_repair.test_a_busy_owner_is_scanned)
def last_page_without_names(patch: pytest.MonkeyPatch) -> None:
    """A scan keeps what ended while it was under way."""
    patch.setattr(sync.Assembly, "state", lambda self, _live: dict(self.entries))


@mutants.caught_by(test_repair.test_a_busy_owner_far_away)
def scans_start_anew(patch: pytest.MonkeyPatch) -> None:
    """Each request drops what the last one brought."""

    def close(self: sync.Sync, number: int, *, strike: bool, now: float) -> None:
        original(self, number, strike=strike, now=now)
        for lack in self._lacks.values():
            lack.assembly = None

    original = sync.Sync._close
    patch.setattr(sync.Sync, "_close", close)


# ---- restarts


@mutants.caught_by(test_stories.test_a_restart_is_no_event)
def no_handover(patch: pytest.MonkeyPatch) -> None:
    """The old chain goes at the first word of the new life."""

    def begin(self: node.Node, replica: ReplicaId, now: float, grace: float) -> None:
        original(self, replica, now, grace)
        self.held_until = now - 1

    original = node.Node.begin
    patch.setattr(node.Node, "begin", begin)


@mutants.caught_by(test_stories.test_a_restart_is_no_event)
def no_settled_step(patch: pytest.MonkeyPatch) -> None:
    """A handover ends with the first step that is known of the new life."""
    patch.setattr(node.Node, "settled", property(lambda self: self.chain.record is not None))


@mutants.caught_by(test_restarts.test_a_crash_loop_does_not_hold_the_dead)
def grace_counted_from_the_last_life(patch: pytest.MonkeyPatch) -> None:
    """Each new life gives what is held another grace."""

    def begin(self: node.Node, replica: ReplicaId, now: float, grace: float) -> None:
        self.handed_over = None
        original(self, replica, now, grace)

    original = node.Node.begin
    patch.setattr(node.Node, "begin", begin)


@mutants.caught_by(test_restarts.test_a_clock_set_back)
def our_former_self_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """Nobody takes a number above the one that the cluster remembers."""
    patch.setattr(hearsay.Hearsay, "_own_name", lambda *_: [])


@mutants.caught_by(test_restarts.test_a_reboot_ends_what_ran_before)
def boots_do_not_count(patch: pytest.MonkeyPatch) -> None:
    """What ran before a reboot is held for its grace."""
    patch.setattr(node.Node, "rebooted", property(lambda _: False))
    patch.setattr(node.Node, "settled", property(lambda _: False))


# ---- silence


@mutants.caught_by(test_stories.test_a_cut_pair_sees_no_event_and_hears_through_the_third)
def nobody_is_asked(patch: pytest.MonkeyPatch) -> None:
    """A silence here is a verdict."""
    patch.setattr(detector.Detector, "_probe", lambda *_: [])


@mutants.caught_by(test_silence.test_a_line_of_four)
def only_direct_evidence_is_told(patch: pytest.MonkeyPatch) -> None:
    """A witness tells of nobody whom it does not hear itself."""

    def asked(self: detector.Detector, names: tuple[str, ...], now: float) -> object:
        heard = {name for name, peer in self._members.peers.items() if now - peer.heard < 2}
        return original(self, [name for name in names if name in heard], now)

    original = detector.Detector.asked
    patch.setattr(detector.Detector, "asked", asked)


@mutants.caught_by(test_stories.test_a_stopped_process_raises_no_alarm)
def mute_is_down(patch: pytest.MonkeyPatch) -> None:
    """A port that accepts and says nothing is no sign of a host that lives."""
    original = detector.Detector.dialled

    def dialled(self: detector.Detector, endpoint: str, outcome: DialOutcome, now: float) -> object:
        heard = DialOutcome.SILENT if outcome is DialOutcome.MUTE else outcome
        return original(self, endpoint, heard, now)

    patch.setattr(detector.Detector, "dialled", dialled)


@mutants.caught_by(test_silence.test_an_agent_is_killed_and_its_host_dies_later)
def one_refusal_holds_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Whoever refused once is not expected to answer again."""

    def gone(self: detector.Detector, peer: Peer, silence: float, now: float) -> object:
        peer.refused = now
        return original(self, peer, silence, now)

    original = detector.Detector._judge_gone
    patch.setattr(detector.Detector, "_judge_gone", gone)


@mutants.caught_by(test_silence.test_a_long_sleep)
def our_own_pause_counts(patch: pytest.MonkeyPatch) -> None:
    """Time in which we did not run is others' silence."""

    def witness(self: detector.WitnessedClock, now: float) -> float:
        gap = max(0.0, now - self.real)
        self.real = self.now = max(self.real, now)
        return gap

    patch.setattr(detector.WitnessedClock, "witness", witness)
    patch.setattr(detector.Detector, "paused", lambda *_: None)


@mutants.caught_by(test_silence.test_a_split_outlasts_memory)
def the_forgotten_are_banned(patch: pytest.MonkeyPatch) -> None:
    """A life that was forgotten does not even return by its own word."""
    patch.setattr(Grave, "bans", lambda grave, life, **_: life.incarnation <= grave.incarnation)


@mutants.caught_by(test_silence.test_back_through_one_who_cannot_catch_up)
def shown_from_clock_0(patch: pytest.MonkeyPatch) -> None:
    """Who comes back from a grave is shown as anybody tells it."""
    patch.setattr(Peer, "shows", property(lambda self: self.state in PRESENT))


@mutants.caught_by(test_silence.test_leaving_while_two_are_cut_off)
def nobody_tells_who_left(patch: pytest.MonkeyPatch) -> None:
    """Whom a farewell did not reach never learns of it."""
    patch.setattr(hearsay.Hearsay, "_left", lambda *_: [])


@mutants.caught_by(test_silence.test_leaving_while_two_are_cut_off)
def a_late_heartbeat_revives_who_left(patch: pytest.MonkeyPatch) -> None:
    """A beat is a beat."""

    def leave(self: membership.Membership, peer: Peer, *rest: object) -> object:
        effects = original(self, peer, *rest)  # type: ignore[arg-type]
        if peer.state is NodeState.LEFT:
            peer.state = NodeState.DOWN
        return effects

    original = membership.Membership.leave
    patch.setattr(membership.Membership, "leave", leave)


# ---- peace


@mutants.caught_by(test_silence.test_a_newcomer_beside_a_node_that_is_down)
def the_down_are_in_the_digest(patch: pytest.MonkeyPatch) -> None:
    """Who never met them differs for ever."""

    def counted(self: membership.Membership, peer: Peer) -> None:
        clock = peer.node.chain.clock
        replica = peer.replica
        self.digests.count(replica.node, peer.node.hash, replica.incarnation, clock)

    patch.setattr(membership.Membership, "counted", counted)


@mutants.caught_by(test_silence.test_twenty_under_load)
def vectors_need_not_stand_still(patch: pytest.MonkeyPatch) -> None:
    """Clocks that move differ somewhere at every heartbeat."""

    def heard(self: exchange.Exchange, peer: Peer, heartbeat: object, now: float) -> object:
        before = peer.still
        effects = original(self, peer, heartbeat, now)  # type: ignore[arg-type]
        ours = self._members.digests
        if peer.last_digests[0] == ours.set and peer.last_digests[1] != ours.vector:
            peer.still = before + 1
            if peer.still >= exchange.DUE_AFTER and not effects:
                return self._ask(peer, now)
        return effects

    original = exchange.Exchange.heard
    patch.setattr(exchange.Exchange, "heard", heard)


# ---- random worlds


@mutants.caught_by(seeds)
def pages_may_be_out_of_line(patch: pytest.MonkeyPatch) -> None:
    """Any page is taken for the next one, and its names are not insisted on."""

    def accept(self: sync.Assembly, page: Page) -> bool:
        self.entries.update(page.entries)
        self.after, self.floor = max(page.entries, default=self.after), page.clock
        return True

    def state(self: sync.Assembly, live: tuple[tuple[int, int], ...]) -> Mapping[int, Entry]:
        dots = {dot for first, count in live for dot in range(first, first + count)}
        return {dot: entry for dot, entry in sorted(self.entries.items()) if dot in dots}

    patch.setattr(sync.Assembly, "accept", accept)
    patch.setattr(sync.Assembly, "state", state)


@mutants.caught_by(seeds)
def removals_are_not_told(patch: pytest.MonkeyPatch) -> None:
    """A handover ends without a word."""

    def end_held(self: object, held: node.Node, cause: object) -> list[object]:
        original(self, held, cause)  # type: ignore[arg-type]
        return []

    original = Presence.end_held
    patch.setattr(Presence, "end_held", end_held)


@pytest.mark.parametrize("name", mutants.names())
def test_a_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The story that it breaks fails."""
    mutants.demand(name, monkeypatch)
