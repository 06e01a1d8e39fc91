"""Deliberate bugs that earlier drafts of the protocol had, each rule of it that is not broken in
the other files.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from discoagent.core import exchange, inbox, steps
from discoagent.core.chain import Chain
from discoagent.core.detector import Detector
from discoagent.core.effects import (
    Answer,
    DialOutcome,
    Effect,
    EventKind,
    Namesake,
    NodeState,
    Outranked,
)
from discoagent.core.entry import UNKNOWN, Cause, Entry, ReplicaId
from discoagent.core.greeter import WIRE, Greeter
from discoagent.core.hearsay import Hearsay
from discoagent.core.membership import Membership
from discoagent.core.messages import (
    Acquaintance,
    Delta,
    Hello,
    Page,
    Refusal,
    Standing,
    SyncChunk,
    Want,
)
from discoagent.core.peer import Asked, Peer
from discoagent.core.replica import Replica
from discoagent.core.sync import Assembly, Sync
from discoagent.core.timing import Timing
from discoagent.sim.host import Host
from tests.core.vocabulary import A, B, meet
from tests.sim import test_repair, test_restarts, test_silence, test_stories
from tests.sim.mutation import Mutants, Story, seeds, seeds_from
from tests.sim.test_mutants_of_messages import scenario

mutants = Mutants()


# ---- restarts


@mutants.caught_by(test_restarts.test_other_entries_than_before)
def lives_are_matched_by_owner(patch: pytest.MonkeyPatch) -> None:
    """Another owner's entry under a held key is another thing: one goes, one comes."""

    def resumed(dot: int, entry: Entry, before: Entry, cause: Cause | None) -> list[Any]:
        if entry.same_owner(before):
            return original(dot, entry, before, cause)
        return [
            (dot, EventKind.REMOVED, None, before, UNKNOWN),
            (dot, EventKind.ADDED, entry, None, cause or UNKNOWN),
        ]

    original = steps._resumed
    patch.setattr(steps, "_resumed", resumed)


@mutants.caught_by(test_stories.test_a_restart_is_no_event)
def refs_are_made_from_the_dot(patch: pytest.MonkeyPatch) -> None:
    """What names a registration to users is another with each life."""

    def put(self: Host, entry: Entry, cause: Cause) -> None:
        assert self.life is not None
        assert isinstance(entry.body, bytes)
        original(self, replace(entry, body=entry.body + b" %d" % self.life.clock), cause)

    original = Host.put
    patch.setattr(Host, "put", put)


def told_of_a_new_life_after_a_refusal() -> None:
    """Its port refused a second ago; the word of its next life is older, and all that we have."""
    members = Membership(A, "home", "a:1", Timing())
    detector, peer = Detector(members), meet(members, B)
    detector.link_down("b:1", 11.0)
    detector.dialled("b:1", DialOutcome.REFUSED, 11.0)
    members.learn(ReplicaId("b", 2), "b:1", 1.6, 12.0, direct=False)

    effects = detector.tick(12.1)
    assert peer.state is NodeState.ALIVE, effects


@mutants.caught_by(told_of_a_new_life_after_a_refusal)
def refusals_of_an_earlier_life_count(patch: pytest.MonkeyPatch) -> None:
    """A port that refused once belongs to the node, whatever life it is in."""

    def begin(self: Peer, replica: ReplicaId) -> None:
        known = self.refused, self.gone, self.mute, self.refuser
        original(self, replica)
        self.refused, self.gone, self.mute, self.refuser = known

    original = Peer.begin
    patch.setattr(Peer, "begin", begin)


@mutants.caught_by(seeds)
def tokens_ignore_a_handover(patch: pytest.MonkeyPatch) -> None:
    """Where a watcher stands is the clock of the present life, whatever is held beside it."""

    def position(self: Replica, node: str) -> tuple[int, int] | None:
        held = self._members.presence.nodes.get(node)
        if held is None or held.hidden:
            return None
        return held.chain.replica.incarnation, held.chain.clock

    patch.setattr(Replica, "position", position)


# ---- silence


@mutants.caught_by(test_silence.test_a_host_dies_far_from_everybody)
def any_beat_is_news(patch: pytest.MonkeyPatch) -> None:
    """What another tells is a sign of life, though that beat was known before."""

    def told(self: Detector, peer: Peer, told: Acquaintance, *rest: Any) -> object:
        return original(self, peer, replace(told, beat=max(told.beat, peer.beat + 1)), *rest)

    original = Detector.told
    patch.setattr(Detector, "told", told)


@mutants.caught_by(test_silence.test_an_answer_that_waited_while_we_slept)
def old_testimony_counts(patch: pytest.MonkeyPatch) -> None:
    """What was asked before we slept is answered now."""

    def paused(self: Detector, now: float) -> None:
        before = self._void_before
        original(self, now)
        self._void_before = before

    original = Detector.paused
    patch.setattr(Detector, "paused", paused)


@mutants.caught_by(test_silence.test_back_through_one_who_cannot_catch_up)
def no_graves(patch: pytest.MonkeyPatch) -> None:
    """Who was forgotten was never there."""

    def forget(self: Membership, peer: Peer, *rest: Any) -> object:
        effects = original(self, peer, *rest)
        del self.graves[peer.replica.node]
        return effects

    original = Membership.forget
    patch.setattr(Membership, "forget", forget)


# ---- repair


@mutants.caught_by(test_repair.test_exchanges_that_are_of_no_use)
def no_back_off(patch: pytest.MonkeyPatch) -> None:
    """An exchange that changed nothing is made again at once."""

    def ask(self: exchange.Exchange, peer: Peer, now: float) -> object:
        effects = original(self, peer, now)
        peer.back_off = peer.ask_after = 0.0
        return effects

    original = exchange.Exchange._ask
    patch.setattr(exchange.Exchange, "_ask", ask)


@mutants.caught_by(seeds_from(110))
def no_clock_floor(patch: pytest.MonkeyPatch) -> None:
    """A holder that lags ends a scan that another began, and what it cannot name is gone."""

    def accept(self: Assembly, page: Page) -> bool:
        self.floor = min(self.floor, page.clock)
        return original(self, page)

    def want(replica: ReplicaId, since: int, after: int, _floor: int) -> Want:
        return Want(replica, since, after)

    def state(self: Assembly, live: tuple[tuple[int, int], ...]) -> dict[int, Entry]:
        dots = {dot for first, count in live for dot in range(first, first + count)}
        return {dot: entry for dot, entry in self.entries.items() if dot in dots}

    original = Assembly.accept
    patch.setattr(Assembly, "accept", accept)
    patch.setattr(Assembly, "state", state)
    patch.setattr("discoagent.core.sync.Want", want)


@mutants.caught_by(test_repair.test_a_busy_owner_far_away)
def live_deltas_go_into_an_assembly(patch: pytest.MonkeyPatch) -> None:
    """What is pushed during a scan is put among its pages."""

    def deltas(
        self: inbox.Inbox, deltas: tuple[Delta, ...], sender: ReplicaId, now: float
    ) -> object:
        lack = self._sync._lacks.get(sender.node)
        if lack is not None and lack.assembly is not None:
            for delta in deltas:
                lack.assembly.entries.update({dot: it for dot, (it, _) in delta.added.items()})
                lack.assembly.after = max(lack.assembly.entries, default=0)
                lack.assembly.floor = delta.until
        return original(self, deltas, sender, now)

    original = inbox.Inbox._deltas
    patch.setattr(inbox.Inbox, "_deltas", deltas)


@mutants.caught_by(partial(scenario, "phoenix-148-stale-transfer"))
def a_stale_transfer_is_taken(patch: pytest.MonkeyPatch) -> None:
    """Whatever a transfer brings is how it is now."""

    def chunk(self: Sync, chunk: SyncChunk, sender: ReplicaId, now: float) -> list[Effect]:
        effects = original(self, chunk, sender, now)
        for part in chunk.parts:
            peer = self._members.peers.get(part.replica.node)
            if isinstance(part, Delta) and peer and part.until < peer.node.chain.clock:
                peer.node.chain = Chain(part.replica)
                effects += self._members.joined(peer, peer.node.chain.join(part) or [], now)
        return effects

    original = Sync.chunk
    patch.setattr(Sync, "chunk", chunk)


@mutants.caught_by(partial(scenario, "phoenix-175-growth-on-update"))
def updates_leave_the_old_version(patch: pytest.MonkeyPatch) -> None:
    """What an owner updates is added, and nothing goes for it."""

    def put(self: Chain, entry: Entry, cause: Cause) -> object:
        if entry.shown:
            self.index.get((entry.kind, entry.name), {}).pop(entry.id, None)
        return original(self, entry, cause)

    original = Chain.put
    patch.setattr(Chain, "put", put)


# ---- names


def a_namesake_says_hello() -> None:
    """Its bearer was heard just now, and lives elsewhere: the newcomer is refused."""
    members = Membership(A, "home", "a:1", Timing())
    meet(members, B)
    hello = Hello(1, "home", "elsewhere:1", WIRE, (), 1)

    (answer, *_) = Greeter(members).hello(hello, ReplicaId("b", 2), 10.5)[1]
    assert isinstance(answer, Answer)
    assert isinstance(answer.message, Refusal)
    assert members.peers["b"].replica == B


@mutants.caught_by(a_namesake_says_hello)
def a_word_displaces_who_is_heard(patch: pytest.MonkeyPatch) -> None:
    """A newer incarnation is the same node's, wherever it lives."""
    patch.setattr(Membership, "borne", lambda *_: False)


def a_namesake_is_told_of() -> None:
    """Another bears our name with a later incarnation, elsewhere, and is heard: that is no life of
    ours to rise above.
    """
    members = Membership(A, "home", "a:1", Timing())
    detector, greeter = Detector(members), Greeter(members)
    hearsay = Hearsay(members, detector, greeter, Sync(members))
    told = Acquaintance(ReplicaId("a", 2), "elsewhere:1", 1, Standing.ALIVE, 300, 9, -1)

    (effect,) = hearsay.heed(told, Asked(1, 10.0, 10.0, "b"), "b", 10.1)[1]
    assert isinstance(effect, Namesake)


@mutants.caught_by(a_namesake_is_told_of)
def endless_bumping(patch: pytest.MonkeyPatch) -> None:
    """Whoever bears our name is our former self: each takes a number above the other's."""

    def own_name(self: Hearsay, told: Acquaintance) -> list[Effect]:
        later = told.replica.incarnation > self._members.id.incarnation
        return [Outranked(told.replica.incarnation)] if later else []

    patch.setattr(Hearsay, "_own_name", own_name)


@pytest.mark.parametrize("name", mutants.names())
def test_a_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The story that it breaks fails."""
    mutants.demand(name, monkeypatch)


@pytest.mark.parametrize(
    "story", [told_of_a_new_life_after_a_refusal, a_namesake_says_hello, a_namesake_is_told_of]
)
def test_a_story_holds(story: Story) -> None:
    """Without the bug that it is told for."""
    story()
