"""One chain: the owner's steps, joins, the tail, pages; what holds for all of them is a law."""

import pytest

from discoagent.core import chain as chain_module
from discoagent.core.chain import MEMBER_KEY, UNKNOWN_REMOVAL, Chain
from discoagent.core.entry import UNKNOWN, Kind
from discoagent.core.limits import TAIL_MAX
from discoagent.core.messages import Delta, Page, Removal
from discoagent.core.ring import Segment
from tests.core.vocabulary import (
    DEREGISTERED,
    LEFT,
    OTHER_OWNER,
    REGISTERED,
    UPDATED,
    A,
    chain_of,
    entry,
    member,
    record,
    state,
)

E1, E2, E3 = (entry(str(n)) for n in (1, 2, 3))
E1B = entry("1", b"v2")
GROUP = (Kind.SERVICE, "web")


def added(since: int, until: int, *entries: int) -> Delta:
    """Return a delta that adds entries named after their dots."""
    return Delta(A, since, until, {dot: (entry(str(dot)), REGISTERED) for dot in entries}, {})


class TestOwner:
    """Steps of the owner."""

    def test_each_takes_the_next_clock(self) -> None:
        """And says what it replaced, or took."""
        chain = Chain(A)

        assert chain.put(E1, REGISTERED) is None
        assert chain.put(E1B, UPDATED) == E1
        assert chain.withdraw(E1.key, DEREGISTERED) == E1B
        assert chain.clock == 3
        assert len(chain) == 0
        assert chain.hash == 0
        assert chain.index == {}

    def test_withdrawing_nothing_is_no_step(self) -> None:
        """The clock stands."""
        chain = chain_of((E1, REGISTERED))

        assert chain.withdraw(E2.key, DEREGISTERED) is None
        assert chain.clock == 1

    def test_what_is_alive_is_found(self) -> None:
        """By key, by dot, by group, in order of birth."""
        chain = chain_of((E1, REGISTERED), (E2, REGISTERED), (E1B, UPDATED))

        assert list(chain) == [E2, E1B]
        assert list(chain.live()) == [(2, E2), (3, E1B)]
        assert chain.get(E1.key) == E1B
        assert chain.get(E3.key) is None
        assert (chain.dot_of(E1.key), chain.dot_of(E3.key)) == (3, None)
        assert chain.dot_of(entry(name="db").key) is None
        assert (chain.at(3), chain.at(1), chain.at(9)) == (E1B, None, None)
        assert dict(chain.group(GROUP)) == {"1": E1B, "2": E2}
        assert list(chain.group((Kind.SERVICE, "db"))) == []

    def test_the_record_opens_and_closes_it(self) -> None:
        """A chain of which nothing is known yet is not closed."""
        chain = Chain(A)

        assert not chain.closed

        chain.put(member(), REGISTERED)

        assert (chain.closed, chain.record) == (False, record())

        chain.withdraw(MEMBER_KEY, LEFT)

        assert (chain.closed, chain.record) == (True, None)

    def test_dead_places_are_packed(self) -> None:
        """Many changes of few entries take no more room than the few."""
        chain = Chain(A)
        for number in range(500):
            chain.put(entry("1", str(number).encode()), UPDATED)
            chain.put(entry("2", str(number).encode()), UPDATED)

        assert len(chain) == 2
        assert len(chain._dots) <= 2 * 66
        assert [it.body for it in chain] == [b"499", b"499"]
        assert chain.runs() == ((999, 2),)


class TestJoin:
    """Deltas of others."""

    def test_it_says_what_really_changed(self) -> None:
        """New: what is above our clock. Gone: what is named as removed, or not named at all."""
        chain = Chain(A)
        chain.join(added(0, 3, 1, 2, 3))
        taken = Removal(DEREGISTERED, 4)
        delta = Delta(A, 2, 5, {5: (E1B, UPDATED)}, {1: taken})

        assert chain.join(delta) == [
            Segment(
                3,
                5,
                {5: (E1B, UPDATED)},
                {3: (E3, UNKNOWN_REMOVAL), 1: (E1, taken)},
                weight=96 + (96 + 4 + len(E1.owner) + 2) + 2 * 96,
            )
        ]
        assert dict(chain.live()) == {2: E2, 5: E1B}

    def test_what_is_removed_and_named_is_alive(self) -> None:
        """A delta that contradicts itself takes nothing."""
        chain = Chain(A)
        chain.join(added(0, 1, 1))
        chain.join(Delta(A, 0, 2, {1: (E1, None)}, {1: UNKNOWN_REMOVAL, 9: UNKNOWN_REMOVAL}))

        assert dict(chain.live()) == {1: E1}

    def test_what_is_known_changes_nothing(self) -> None:
        """An old delta, or one of just now."""
        chain = Chain(A)
        chain.join(added(0, 3, 1))

        assert chain.join(added(0, 3, 1)) == []
        assert chain.join(added(1, 2, 2)) == []

    def test_two_versions_of_one_key(self) -> None:
        """No owner does that: the younger is meant, and neither breaks us."""
        chain = Chain(A)
        twins = {1: (E1, REGISTERED), 2: (E1B, None)}
        chain.join(Delta(A, 0, 2, twins, {}))

        assert dict(chain.live()) == {2: E1B}

        (segment,) = chain.join(Delta(A, 2, 3, {3: (E1, UPDATED)}, {})) or []

        assert segment.gone == {2: (E1B, Removal(UPDATED, 3))}
        assert dict(chain.live()) == {3: E1}


class TestTail:
    """What came beyond a gap."""

    def test_it_waits_and_follows(self) -> None:
        """In order, however it came; what the repair brought is not joined twice."""
        chain = Chain(A)

        assert chain.join(added(4, 5, 5)) is None
        assert chain.join(added(1, 2, 2)) is None
        assert chain.join(added(1, 2, 2)) is None
        assert chain.join(added(3, 4, 4)) is None
        assert (chain.gap, chain.clock) == (5, 0)

        assert [it.until for it in chain.join(added(0, 2, 1, 2)) or []] == [2]
        assert [it.until for it in chain.join(added(2, 3, 3)) or []] == [3, 4, 5]
        assert (chain.gap, chain.clock) == (5, 5)
        assert list(dict(chain.live())) == [1, 2, 3, 4, 5]

    def test_it_is_bounded(self) -> None:
        """What is near the gap is of use first: the youngest goes."""
        chain = Chain(A)
        for clock in range(2, TAIL_MAX + 4):
            chain.join(added(clock - 1, clock, clock))

        assert chain.gap == TAIL_MAX + 1
        assert len(chain.join(added(0, 1, 1)) or []) == 1 + TAIL_MAX


class TestInstall:
    """The state that a scan read."""

    def test_it_takes_the_place_of_ours_if_it_is_ahead(self) -> None:
        """What is not in it went, nobody knows why; what is new came, likewise."""
        chain = Chain(A)
        chain.join(added(0, 2, 1, 2))

        (segment,) = chain.install(5, {2: E2, 4: E3})

        assert segment.gone == {1: (E1, UNKNOWN_REMOVAL)}
        assert segment.added == {4: (E3, None)}
        assert (chain.clock, dict(chain.live())) == (5, {2: E2, 4: E3})
        assert chain.install(5, {}) == []
        assert UNKNOWN_REMOVAL.cause == UNKNOWN

    def test_one_too_large_for_a_message_is_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever lacks it scans too."""
        monkeypatch.setattr(chain_module, "CHUNK_BYTES_MAX", 400)
        chain = Chain(A)
        chain.install(2, {1: E1, 2: E2})

        assert len(chain._ring) == 1

        chain.install(7, {1: E1, 2: E2, 3: E3, 4: entry("4"), 5: entry("5")})

        assert len(chain._ring) == 0
        assert chain.delta_since(2) is None

        chain.join(added(7, 8, 8))

        assert chain.delta_since(7) is not None


class TestPages:
    """What a scan is served."""

    def test_by_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Entries in order of birth; the last page names all that is alive."""
        chain = chain_of(*((entry(str(n)), REGISTERED) for n in (1, 2, 3)), (E1B, UPDATED))
        monkeypatch.setattr(chain_module, "CHUNK_ENTRIES_MAX", 2)

        assert chain.page(0) == Page(A, 0, 4, {2: E2, 3: E3})
        assert chain.page(3) == Page(A, 3, 4, {4: E1B}, ((2, 3),))
        assert chain.page(4) == Page(A, 4, 4, {}, ((2, 3),))

    def test_by_weight(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """But one entry at least, or nobody would get on."""
        chain = chain_of((E1, REGISTERED), (E2, REGISTERED))
        monkeypatch.setattr(chain_module, "CHUNK_BYTES_MAX", 1)

        assert chain.page(0) == Page(A, 0, 2, {1: E1})
        assert chain.page(1) == Page(A, 1, 2, {2: E2}, ((1, 2),))

    def test_of_nothing(self) -> None:
        """An empty chain names nothing."""
        assert Chain(A).page(0) == Page(A, 0, 0, {}, ())


def test_owners_are_told_apart_by_their_first_bytes() -> None:
    """The rest describes them for users, and may change."""
    assert E1.same_owner(entry("1", owner=E1.owner[:8] + b"something else"))
    assert not E1.same_owner(entry("1", owner=OTHER_OWNER))


def test_replicas_read_as_refs_do() -> None:
    """Node, dot, incarnation."""
    assert str(A) == "a.1"
    assert state(Chain(A)) == (0, 0, {})
