"""The agent and its peers: `members status join leave forget ping version`."""

from typing import Any

import click

from discoagent.cli import output, views
from discoagent.cli.command import (
    DURATION,
    PARTIAL,
    Duration,
    Session,
    completes,
    finish,
    verb,
)
from discoagent.cli.views import JOINS, MEMBERS, STANDINGS
from discoagent.errors import DiscoError, Refused, TimeoutExpired

FOR_EVER = -1.0


@verb("members", example="discoctl members\ndiscoctl members -o wide")
def members(session: Session) -> int:
    """Show the nodes, and the state in which this agent sees each."""
    printer = session.printer(output.NAMED)
    with session.disco() as disco:
        printer.many(disco.members(), MEMBERS)
        return finish(printer, disco)


class Patience(Duration):
    """The value of a flag that may stand alone."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return what stands for the value in `--help`."""
        return "[DURATION]"


@verb("status", example="discoctl status\ndiscoctl status --wait-ready 10s && start-my-service")
@click.option(
    "--wait-ready",
    type=Patience(),
    is_flag=False,
    flag_value=FOR_EVER,
    help="Answer once the agent is ready; 1 if it is not within the time. Alone: wait for ever.",
)
def status(session: Session, wait_ready: float | None) -> int:
    """Show how the agent on this host is.

    Ready or not, its peers, its addresses.
    """
    printer = session.printer(output.COMMON)
    with session.disco(waits=wait_ready is not None) as disco:
        if wait_ready is None:
            found, code = disco.status(), 0
        else:
            found, code = _ready(session, disco, wait_ready)
    printer.value(found, views.status_lines(found), "ready" if found["ready"] else "not ready")
    return code


def _ready(session: Session, disco: Any, patience: float) -> tuple[dict[str, Any], int]:
    """Wait until the agent is ready, but no longer than `patience` (1) or `--timeout` (an
    error)."""
    bound = session.timeout
    first = min(x for x in (patience, bound, float("inf")) if x is not None and x != FOR_EVER)
    found: dict[str, Any] = disco.status(ready=first)
    if found["ready"]:
        return found, 0
    if bound is not None and bound == first and bound != patience:
        raise TimeoutExpired(f"the agent was not ready within {bound:g} s")
    return found, 1


@verb("converged", example="discoctl converged\ndiscoctl converged --wait 10s && run-the-tests")
@click.option(
    "--wait", type=DURATION, help="Give the nodes so long to reach it; 1 when one is behind still."
)
def converged(session: Session, wait: float | None) -> int:
    """Ask whether all other nodes have what this agent shows now.

    What is on its way is given a moment. 1 says who is behind and in what, 5 who is silent.
    """
    printer = session.printer(output.COMMON)
    bound = session.timeout if wait is not None else None
    with session.disco(waits=wait is not None) as disco:
        found = disco.converged(wait if bound is None or wait is None else min(wait, bound))
        if bound is not None and wait is not None and bound < wait and not found["converged"]:
            raise TimeoutExpired(f"the nodes had not converged within {bound:g} s")
        printer.report(found, found["nodes"], STANDINGS)
        return finish(printer, disco, _standing([it["state"] for it in found["nodes"]]))


def _standing(states: list[str]) -> int:
    """Return the exit code for how the nodes stand: who is behind says no, silence says nothing."""
    if "behind" in states:
        return 1
    return PARTIAL if "silent" in states else 0


@verb("join", example="discoctl join 10.0.0.1:7800 seeds.internal:7800")
@click.argument("addresses", nargs=-1, required=True, metavar="HOST:PORT...")
def join(session: Session, addresses: tuple[str, ...]) -> int:
    """Let the agent greet other agents.

    They tell it of all others that they know. 0 when all were reached, 5 some, 1 none, 4 when
    one refused.
    """
    printer = session.printer(output.NAMED)
    with session.disco() as disco:
        results = disco.join(list(addresses))
    printer.many([{key: it[key] for key in ("address", "ok", "error")} for it in results], JOINS)
    reached = sum(1 for it in results if it["ok"])
    if any(it.get("code") == Refused.code for it in results):
        return Refused.code
    if reached == len(results):
        return 0
    return 5 if reached else 1


@verb("leave", example="discoctl leave")
def leave(session: Session) -> int:
    """Let this node leave the cluster, and its agent end.

    Its instances are gone everywhere at once.
    """
    printer = session.printer(output.COMMON)
    with session.disco() as disco:
        node = disco.hello().node
        disco.leave()
    printer.value({"node": node, "left": True}, [("", f"{node} has left")])
    return 0


@verb("forget", example="discoctl forget web-3")
@click.argument("node", shell_complete=completes("nodes"))
def forget(session: Session, node: str) -> int:
    """Let all agents forget a node that will not come back.

    What is still shown of it is gone at once. 4 when it is alive. Should it come back after all, it
    is welcome.
    """
    printer = session.printer(output.COMMON)
    with session.disco() as disco:
        found = disco.forget(node)
    printer.value(found, [("", f"{node} is forgotten; it was {found['state']}")])
    return 0


@verb("ping", example="discoctl ping")
def ping(session: Session) -> int:
    """Ask the agent for a sign of life.

    It tells its node; shown is, too, how long that took.
    """
    printer = session.printer(output.COMMON)
    with session.disco() as disco:
        answer = disco.ping()
    printer.value(answer, [("", f"{answer['node']} answers in {answer['ms']:.2f} ms")])
    return 0


@verb("version", example="discoctl version -o json")
def version(session: Session) -> int:
    """Show the versions of discoctl and of the agent.

    Those of the libraries and protocols, too. Without an agent the code is 0 all the same.
    """
    from discoagent.client.versions import versions  # which loads what no other command needs

    printer = session.printer(output.COMMON)
    agent = None
    try:
        with session.disco() as disco:
            agent = disco.hello().version
    except DiscoError:
        pass
    found = {**versions()._asdict(), "agent": agent}
    printer.value(found, views.version_lines(found))
    return 0
