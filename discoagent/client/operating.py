"""What an operator asks of the agent: its figures and its log."""

import time
from collections.abc import Iterator
from typing import NamedTuple

from discoagent.client import calls, metrics, operator_calls
from discoagent.client.base import Base
from discoagent.client.connection import Connection, dial
from discoagent.errors import TimeoutExpired
from discoagent.instance import Json

EXAMINATION_SECONDS = 30.0  # the agent dials many peers


class LogLine(NamedTuple):
    """A line of the agent's log: milliseconds since the epoch, level, message."""

    at_ms: int
    level: str
    message: str


class Diagnosis(NamedTuple):
    """What was found of one subject: `state` is ok, warning or problem; those two have advice."""

    subject: str
    state: str
    text: str
    advice: str = ""


class Operating(Base):
    """All that is about the agent itself. Every method may raise what `disco.py` names."""

    def metrics(self) -> str:
        """Return the agent's figures as Prometheus text."""
        return metrics.text(self._pool.ask(calls.status(ready_ms=0)))

    def examine(self) -> list[Diagnosis]:
        """Let the agent find out what is wrong with its set-up; takes some seconds."""
        rows = self._pool.ask(operator_calls.examine(), EXAMINATION_SECONDS + self.timeout)
        return [Diagnosis(*row) for row in rows]

    def settings(self) -> Json:
        """Return the configuration that is in force, by key; for root and the agent's user."""
        return self._pool.ask(operator_calls.settings())

    def log_level(self, level: str | None = None) -> str:
        """Return the level of the agent's log; first set it, if one is named.

        For root and the agent's own user. It holds until the agent is started or reloaded.
        """
        return self._pool.ask(operator_calls.log_level(level))

    def why(self, node: str) -> Json:
        """Return what a node's state is founded on: who heard what, when and by which path.

        The map of `discoctl why -o json`: with what would clear the state, and the last changes of
        it with the evidence of their time, oldest first. Raises NoInstance if the agent never knew
        such a node.
        """
        return self._pool.ask(operator_calls.why(node))

    def forget(self, node: str) -> Json:
        """Let all agents forget a node that is not alive; return its name and former state.

        Its entries are gone at once, if any are still shown. It is back when it is heard again, or
        with its next life. For root and the agent's own user. Raises Refused if it is alive,
        NoInstance if the agent does not know it.
        """
        return self._pool.ask(operator_calls.forget(node))

    def monitor(self, level: str = "info", *, timeout: float | None = None) -> Iterator[LogLine]:
        """Return the agent's log from now on, at a level of its own; for root and the agent's user.

        `timeout`: after so many seconds in all, TimeoutExpired is raised. Raises AgentUnavailable
        when the agent goes away.
        """
        connection = dial(self._pool.path, self.timeout)
        _, frame = connection.session.ask(operator_calls.monitor(level), stream=True)
        connection.send(frame)
        return _lines(connection, timeout)


def _lines(connection: Connection, timeout: float | None) -> Iterator[LogLine]:
    """Read the answers to the one thing that was asked on this connection, then close it."""
    until = None if timeout is None else time.monotonic() + timeout
    try:
        while True:
            over = connection.lost  # looked at first: what came before the end is still taken
            answer = connection.receive()
            if answer is not None:
                if not answer.bodies:
                    answer.result()
                    return
                yield from (LogLine(*line) for line in answer.bodies[0])
            elif over:
                raise connection.gone()
            elif not connection.wait(None if until is None else until - time.monotonic()):
                raise TimeoutExpired(f"the time of {timeout:g} s is over")
    finally:
        connection.close()
