"""One connection to one life of an agent: what it still gives when that life is over."""

from discoagent.client import calls
from discoagent.client.bell import Bell
from discoagent.client.connection import Connection
from discoagent.errors import AgentUnavailable, TimeoutExpired
from tests.client.stub import DEADLINE, SHORT, Stub, error_of, friendly, silent


def test_an_agents_last_words_are_heard_however_late_one_listens(path: str) -> None:
    """It answers and ends at once, as after `leave`; the asker looks when the end is known."""
    asked = 100
    with Stub(path, friendly) as stub:
        connection = Connection(path)
        for _ in range(asked):
            connection.send(connection.session.ask(calls.ping())[1])
        stub.wait_for("ping", asked)
        stub.stop(last_words_ms=10_000)
    while not connection.lost:
        assert connection.wait(DEADLINE)
    for _ in range(3):
        connection.wait(0.0)  # libzmq takes in what its own thread has to say

    answers = [connection.next_answer(DEADLINE) for _ in range(asked)]

    assert [answer.result()[0] for answer in answers] == ["a"] * asked
    assert isinstance(error_of(lambda: connection.next_answer(DEADLINE)), AgentUnavailable)
    connection.close()


def test_another_agent_on_the_same_path_is_not_the_one_that_was_spoken_to(path: str) -> None:
    with Stub(path, friendly) as first:
        connection = Connection(path)
        connection.greeting(DEADLINE)
        first.stop()
    while not connection.lost:
        assert connection.wait(DEADLINE)

    with Stub(path, friendly):
        outcome = connection.ask(calls.ping(), DEADLINE)

        assert isinstance(outcome.error, AgentUnavailable)
    connection.close()


def test_what_wakes_the_waiter_does_not_put_off_the_end_of_the_time(path: str) -> None:
    """Its descriptor stays readable until whoever waits for an answer is done."""
    bell = Bell()
    bell.ring()
    with Stub(path, silent):
        connection = Connection(path)
        connection.wait_on(bell.descriptor)
        assert connection.wait(DEADLINE)

        outcome = connection.ask(calls.ping(), SHORT)

        assert isinstance(outcome.error, TimeoutExpired)
        connection.close()
    bell.close()
