"""`reload`: configuration and service files are read again."""

from collections.abc import Iterator

import click

from discoagent.cli import output
from discoagent.cli.command import PARTIAL, Session, verb
from discoagent.cli.views import plain
from discoagent.instance import Json

REFUSED = 2  # as the agent's own code at a start with that configuration
SIGNS = {"added": "+", "updated": "~", "removed": "-"}


@verb("reload", example="discoctl reload --dry-run\ndiscoctl reload -o json")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
def reload(session: Session, *, dry_run: bool) -> int:
    """Read configuration and service files again.

    Only what differs is applied: an unchanged service has no event. 5 when a service file cannot be
    used: it is named with line and field, what it wanted before stays. 2 when the configuration is
    refused: nothing has changed then.
    """
    printer = session.printer(output.COMMON)
    with session.disco() as disco:
        found = disco.reload(dry_run=dry_run)
    problems = found["problems"]
    if printer.in_json:
        printer.value(found, ())
    else:
        for line in _lines(found):
            printer.line(line)
        for problem in problems:
            printer.talk(plain(_where(problem) + problem["message"]))
    if any(problem["file"] is None for problem in problems):
        return REFUSED
    return PARTIAL if problems else 0


def _lines(found: Json) -> Iterator[str]:
    changed, restart = found["config"]["changed"], found["config"]["restart"]
    yield from (f"~ {key}" for key in changed)
    yield from (f"! {key} has changed, which needs a restart" for key in restart)
    for it in found["services"]:
        file = f" ({it['file']})" if it["file"] else ""
        yield plain(f"{SIGNS[it['change']]} {it['service']}/{it['id']}{file}")
    if not (changed or restart or found["services"]):
        yield "nothing changes" if found["dry_run"] else "nothing has changed"


def _where(problem: Json) -> str:
    if problem["file"] is None:
        return ""
    return f"{problem['file']}:{problem['line'] or 1}: "
