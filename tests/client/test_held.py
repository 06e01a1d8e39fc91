"""Held registrations: what is said for them to which life of the agent, and when."""

import pytest

from discoagent.client.calls import Spec
from discoagent.client.held import ERRANDS_MAX, Errand, Held, Holdings
from discoagent.errors import Conflict, DiscoError, NoInstance
from discoagent.instance import Lifetime
from tests.client.specimens import T0, row

FIRST, SECOND = 100, 200


def held(
    name: str = "web-1", *, ttl: str | None = None, renewed: float = 0.0, said_to: int = FIRST
) -> Held:
    """Return a registration that the first life of the agent confirmed."""
    lifetime = Lifetime("lease", ttl_ms=9000) if ttl else None
    return Held(Spec("web", ttl=ttl), row(id=name, lifetime=lifetime), said_to, renewed)


def said(errands: list[Errand]) -> list[tuple[str, str]]:
    """Return what is said for whom."""
    return [(errand.call.operation, errand.held.row[1]) for errand in errands]


def finish(
    holdings: Holdings,
    errands: list[Errand],
    incarnation: int,
    asked: float,
    error: DiscoError | None = None,
) -> None:
    """Let every errand end alike."""
    for errand in errands:
        result = None if error else errand.held.row
        holdings.done(errand, result, error, incarnation, asked)


@pytest.fixture
def holdings() -> Holdings:
    return Holdings()


def test_the_same_life_of_the_agent_is_told_nothing_again(holdings: Holdings) -> None:
    holdings.add(held())

    assert holdings.errands(FIRST, 0.0) == []
    assert not holdings.unsettled


def test_a_new_life_is_told_everything_once(holdings: Holdings) -> None:
    for name in ("1", "2"):
        holdings.add(held(name))

    errands = holdings.errands(SECOND, 0.0)
    assert said(errands) == [("register", "1"), ("register", "2")]
    finish(holdings, errands, SECOND, 0.0)

    assert holdings.errands(SECOND, 0.0) == []


def test_it_is_said_again_as_it_was_confirmed_last(holdings: Holdings) -> None:
    it = held()
    it.row = row(port=99, meta={"a": "b"}, updated_ms=T0 + 5)
    holdings.add(it)

    (errand,) = holdings.errands(SECOND, 0.0)

    arguments = errand.call.arguments
    assert (arguments["id"], arguments["port"], arguments["meta"]) == ("web-1", 99, {"a": "b"})
    assert (arguments["ref"], arguments["updated_ms"]) == ([1, 1], T0 + 5)


def test_an_address_that_the_agent_chose_is_left_to_the_agent(holdings: Holdings) -> None:
    holdings.add(held())

    (errand,) = holdings.errands(SECOND, 0.0)

    assert errand.call.arguments["address"] is None


def test_a_replacement_is_not_fought_for_again(holdings: Holdings) -> None:
    holdings.add(Held(Spec("web", replace=True), row(), FIRST, 0.0))

    (errand,) = holdings.errands(SECOND, 0.0)

    assert errand.call.arguments["replace"] is False


def test_when_the_agent_goes_away_meanwhile_the_rest_is_said_to_the_next_one(
    holdings: Holdings,
) -> None:
    for name in ("1", "2"):
        holdings.add(held(name))
    errands = holdings.errands(SECOND, 0.0)
    finish(holdings, errands[:1], SECOND, 0.0)

    holdings.undone(errands[1:])

    assert said(holdings.errands(SECOND, 0.0)) == [("register", "2")]


def test_one_that_somebody_speaks_for_is_looked_at_again(holdings: Holdings) -> None:
    it = held()
    holdings.add(it)
    it.busy = True

    assert holdings.errands(SECOND, 0.0) == []
    assert holdings.unsettled
    it.busy = False

    assert said(holdings.errands(SECOND, 0.0)) == [("register", "web-1")]


def test_one_that_is_refused_is_lost(holdings: Holdings) -> None:
    it = held()
    holdings.add(it)
    error = Conflict("taken")

    finish(holdings, holdings.errands(SECOND, 0.0), SECOND, 0.0, error)

    assert it.ended is error
    assert holdings.idle


def test_one_with_a_successor_is_let_go(holdings: Holdings) -> None:
    it = held()
    holdings.add(it)
    it.successor = held()

    assert holdings.errands(SECOND, 0.0) == []
    assert holdings.idle


def test_a_lease_is_renewed_at_a_third_of_its_time(holdings: Holdings) -> None:
    holdings.add(held(ttl="9s", renewed=10.0))

    assert holdings.next_renewal() == 13.0
    assert holdings.errands(FIRST, 12.9) == []
    errands = holdings.errands(FIRST, 13.0)
    assert said(errands) == [("renew", "web-1")]
    finish(holdings, errands, FIRST, 13.0)

    assert holdings.next_renewal() == 16.0


def test_a_renewal_that_fails_is_tried_again(holdings: Holdings) -> None:
    holdings.add(held(ttl="9s"))

    finish(holdings, holdings.errands(FIRST, 3.0), FIRST, 3.0, DiscoError("x"))

    assert holdings.next_renewal() == 6.0


def test_a_restart_does_not_double_the_renewals(holdings: Holdings) -> None:
    holdings.add(held(ttl="9s"))

    finish(holdings, holdings.errands(SECOND, 5.0), SECOND, 5.0)

    assert holdings.errands(SECOND, 5.0) == []
    assert said(holdings.errands(SECOND, 8.0)) == [("renew", "web-1")]
    assert holdings.errands(SECOND, 8.0) == []


def test_a_lease_that_somebody_ended_stays_ended(holdings: Holdings) -> None:
    it = held(ttl="9s")
    holdings.add(it)
    error = NoInstance("none")

    finish(holdings, holdings.errands(FIRST, 3.0), FIRST, 3.0, error)

    assert it.ended is error
    assert holdings.next_renewal() is None


def test_a_lease_that_lapsed_while_this_process_slept_is_a_new_one(holdings: Holdings) -> None:
    holdings.add(held(ttl="9s"))

    finish(holdings, holdings.errands(FIRST, 30.0), FIRST, 30.0, NoInstance("none"))

    (errand,) = holdings.errands(FIRST, 30.0)
    assert errand.call.operation == "register"
    assert "ref" not in errand.call.arguments


def test_a_lease_that_is_no_longer_held_is_not_renewed(holdings: Holdings) -> None:
    it = held(ttl="9s")
    holdings.add(it)
    holdings.remove(it)

    assert holdings.next_renewal() is None
    assert holdings.errands(FIRST, 99.0) == []


def test_one_that_was_closed_is_deregistered_and_not_said_again(holdings: Holdings) -> None:
    it = held()
    holdings.add(it)
    holdings.close(it)

    errands = holdings.errands(SECOND, 0.0)
    assert said(errands) == [("deregister", "web-1")]
    finish(holdings, errands, SECOND, 0.0, NoInstance("none"))

    assert holdings.errands(SECOND, 0.0) == []
    assert holdings.idle
    assert it.ended is None


def test_one_that_was_closed_is_said_to_every_life_until_one_has_answered(
    holdings: Holdings,
) -> None:
    it = held()
    holdings.add(it)
    holdings.close(it)
    assert holdings.find(it.key) is None
    for life in (FIRST, SECOND):
        errands = holdings.errands(life, 0.0)
        assert said(errands) == [("deregister", "web-1")]
        holdings.undone(errands)
        assert not holdings.idle
        assert not it.closed

    finish(holdings, holdings.errands(SECOND + 1, 0.0), SECOND + 1, 0.0)

    assert holdings.idle
    assert it.closed


def test_who_took_the_id_of_a_closed_one_over_keeps_it(holdings: Holdings) -> None:
    it = held()
    holdings.add(it)
    holdings.close(it)

    (errand,) = holdings.errands(FIRST, 0.0)

    assert errand.call.arguments == {"id": "web/web-1@a", "own": True}


def test_for_the_process_of_another_anybody_of_its_user_may_close(holdings: Holdings) -> None:
    it = Held(Spec("web", pid=1), row(), FIRST, 0.0)

    assert it.ending().arguments == {"id": "web/web-1@a"}


def test_one_that_was_closed_and_registered_anew_here_is_left_alone(holdings: Holdings) -> None:
    it = held()
    holdings.add(it)
    holdings.close(it)
    it.successor = held()

    assert holdings.errands(FIRST, 0.0) == []
    assert holdings.idle


def test_a_closed_lease_whose_time_is_over_has_ended_by_itself(holdings: Holdings) -> None:
    it = held(ttl="9s")
    holdings.add(it)
    holdings.close(it)

    holdings.forget(9.0)
    assert not holdings.idle

    holdings.forget(9.1)
    assert holdings.idle


def test_what_ends_with_its_client_is_closed_the_rest_is_let_go(holdings: Holdings) -> None:
    mine, lease = held("mine"), held("lease", ttl="9s")
    static = Held(Spec("web", static=True), row(id="static"), FIRST, 0.0)
    other = Held(Spec("web", pid=1), row(id="other"), FIRST, 0.0)
    for it in (mine, static, lease, other):
        holdings.add(it)

    holdings.close_all()

    assert sorted(said(holdings.errands(FIRST, 0.0))) == [
        ("deregister", "lease"),
        ("deregister", "mine"),
    ]


def test_an_instance_is_found_by_its_id_where_that_fits_it_alone(holdings: Holdings) -> None:
    one, two, other = held("1"), held("2"), Held(Spec("db"), row("db", "2"), FIRST, 0.0)
    for it in (one, two, other):
        holdings.add(it)

    assert holdings.instance(None, "1") is one
    assert holdings.instance("web", "2") is two
    assert holdings.instance("db", "2") is other
    assert holdings.instance(None, "2") is None
    assert holdings.instance(None, "3") is None


def test_leases_are_not_kept_waiting_by_thousands(holdings: Holdings) -> None:
    for number in range(ERRANDS_MAX + 1):
        holdings.add(held(str(number)))
    holdings.add(held("lease", ttl="9s", said_to=SECOND))

    first = holdings.errands(SECOND, 3.0)

    assert said(first)[0] == ("renew", "lease")
    assert len(first) == ERRANDS_MAX + 1
    finish(holdings, first, SECOND, 3.0)
    assert said(holdings.errands(SECOND, 3.0)) == [("register", str(ERRANDS_MAX))]


def test_what_was_registered_with_an_earlier_life_is_said_again(holdings: Holdings) -> None:
    holdings.add(held("1", said_to=SECOND))
    assert holdings.errands(SECOND, 0.0) == []

    holdings.add(held("2", said_to=FIRST))

    assert said(holdings.errands(SECOND, 0.0)) == [("register", "2")]
