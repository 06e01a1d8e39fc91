"""`run`: a command that is registered exactly as long as it runs.

CMD is this process's child and ends with it, by the kernel. The entry is bound to CMD's pid, so it
ends with CMD whatever becomes of this process; while this process lives it tells the agent how CMD
ended.
"""

import os
from typing import TYPE_CHECKING, Any

import click

from discoagent import rules  # pure: the agent's own rules, in the agent's own words
from discoagent.cli.child import PASSED_ON, Signals
from discoagent.cli.command import Session, merged, usage, verb
from discoagent.cli.entry import AWAY, as_instance, attended
from discoagent.cli.registering import instance_options
from discoagent.errors import Conflict, NoInstance, Refused

if TYPE_CHECKING:
    from discoagent.client import Disco


@verb(
    "run",
    takes_command="-- CMD...",
    example="discoctl run web --port 8080 -- python3 -m http.server 8080\n"
    "discoctl run worker --tag gpu --require -- ./worker --queue jobs",
)
@click.argument("name")
@instance_options
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
        return attended(command, signals, as_instance(disco, spec), quiet=session.quiet)


def _may_start(disco: "Disco", spec: dict[str, Any], *, require: bool) -> None:
    """Raise what speaks against starting CMD.

    The agent has the last word when CMD was executed; it is asked before because a CMD that cannot
    be registered shall not have run at all. An agent that is just starting knows of no owner yet.
    """
    _check_fields(spec)
    name, instance = spec["name"], spec["id"] or f"{spec['name']}-{spec['port']}"
    try:
        status = disco.status()
        if not status["ready"] or (spec["id"] is None and spec["port"] is None):
            return
        owner = disco.get(f"{name}/{instance}@{status['node']}").owner
    except NoInstance:
        return
    except AWAY:
        if require:
            raise
        return
    who = f"uid {owner.uid}, pid {owner.pid or '-'}, {owner.exe or 'an unknown executable'}"
    if not spec["replace"]:
        raise Conflict(
            f"{name}/{instance} is taken by {who}; --replace takes it over, --id names another",
            field="id",
        )
    if os.geteuid() not in (0, owner.uid):
        raise Refused(f"{name}/{instance} belongs to {who}; only that user or root may replace it")


def _check_fields(spec: dict[str, Any]) -> None:
    """Check what needs no agent, so that it is known whether or not there is one."""
    rules.name(spec["name"], "service")
    rules.name_or_none(spec["id"], "id")
    rules.tags(spec["tags"], "tags")
    rules.meta(spec["meta"], "meta")
    if spec["address"] is not None:
        rules.address(spec["address"], "address")
