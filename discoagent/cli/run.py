"""`run`: a command that is registered exactly as long as it runs.

CMD is this process's child and ends with it, by the kernel. The entry is bound to CMD's pid, so it
ends with CMD whatever becomes of this process; while this process lives it tells the agent how CMD
ended.
"""

from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import click

from discoagent import rules  # pure: the agent's own rules, in the agent's own words
from discoagent.checks import bounds
from discoagent.cli.child import PASSED_ON, Signals
from discoagent.cli.command import DURATION, Session, merged, usage, verb
from discoagent.cli.entry import AWAY, as_instance, attended
from discoagent.cli.registering import instance_options
from discoagent.errors import DiscoError

if TYPE_CHECKING:
    from discoagent.client import Disco

UNDER_WAY_SECONDS = 0.25  # that a registration may still take when SIGTERM comes


@verb(
    "run",
    takes_command="-- CMD...",
    example="discoctl run web --port 8080 -- python3 -m http.server 8080\n"
    "discoctl run worker --tag gpu --require -- ./worker --queue jobs\n"
    "discoctl run api --port 80 --check http:/health --drain 5s -- ./api",
)
@click.argument("name")
@instance_options
@click.option(
    "--drain",
    type=DURATION,
    help="On SIGTERM be draining for so long before CMD is told; a second one is passed on.",
)
@click.option(
    "--require", is_flag=True, help="Do not start CMD when the agent is not reachable: 3."
)
@click.pass_context
def run(
    ctx: click.Context,
    /,
    session: Session,
    name: str,
    *,
    drain: float | None,
    require: bool,
    meta: tuple[tuple[str, str], ...],
    **what: Any,
) -> int:
    """Run CMD, registered exactly as long as it runs.

    Signals are passed on; the exit code is CMD's, 128+N if signal N ended it, 127 if it was not
    found, 126 if it is not executable. Without an agent CMD runs all the same, and is registered as
    soon as the agent is there.
    """
    command = ctx.meta["command"]
    if not command:
        usage("give the command to run after --: discoctl run NAME -- CMD...", "command")
    spec = {"name": name, "meta": merged(meta), **what}
    with Signals(PASSED_ON) as signals, session.disco() as disco:
        _may_start(disco, spec, require=require)
        draining = Draining(disco, drain) if drain else None
        register = as_instance(disco, spec, draining.made if draining else lambda _: None)
        return attended(command, signals, register, quiet=session.quiet, delay=draining)


class Draining:
    """Lets the instance drain when it is to stop."""

    def __init__(self, disco: "Disco", seconds: float) -> None:
        self._disco = disco
        self._seconds = seconds
        self._name = ""
        self._made = Event()

    def made(self, name: str) -> None:
        """Take note of the registration."""
        self._name = name
        self._made.set()

    def __call__(self) -> float:
        """Have it drained; return the seconds for which CMD goes on. Not registered: none."""
        if not self._made.wait(UNDER_WAY_SECONDS):
            return 0.0
        # In a thread: an agent that hangs does not hold up signals.
        Thread(target=self._drain, args=(self._name,), daemon=True).start()
        return self._seconds

    def _drain(self, name: str) -> None:
        with suppress(DiscoError):  # ended meanwhile, or the agent is away: CMD has its time
            self._disco.drain(name)


def _may_start(disco: "Disco", spec: dict[str, Any], *, require: bool) -> None:
    """Raise what speaks against starting CMD.

    The agent has the last word when CMD was executed; it is asked before because a CMD that cannot
    be registered shall not have run at all.
    """
    from discoagent.client.disco import Spec

    _check_fields(spec)
    said = {name: value for name, value in spec.items() if name != "check"}
    try:
        disco.may_register(Spec(**said, checks=spec["check"]))
    except AWAY:
        if require:
            raise


def _check_fields(spec: dict[str, Any]) -> None:
    """Check what needs no agent, so that it is known whether or not there is one."""
    rules.name(spec["name"], "service")
    rules.name_or_none(spec["id"], "id")
    rules.tags(spec["tags"], "tags")
    rules.meta(spec["meta"], "meta")
    bounds.read([check.packed() for check in spec["check"]], "checks")
    if spec["address"] is not None:
        rules.address(spec["address"], "address")
