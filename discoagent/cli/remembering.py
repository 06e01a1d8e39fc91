"""The commands about the past, `history` and `at`: out of what this node's agent saw."""

import re

import click

from discoagent.cli import output
from discoagent.cli.command import DURATION, Session, Verb, completes, finish, verb
from discoagent.cli.reading import list_command

_AGO = re.compile(r"-\d")


@verb(
    "history",
    example="discoctl history --since 1h\ndiscoctl history web/web-8080@a -o wide\n"
    "discoctl history -o json | jq 'map(select(.cause == \"node-down\"))'",
)
@click.argument("id", metavar="[ID]", required=False, shell_complete=completes("instances"))
@click.option("--since", type=DURATION, help="Only what was seen in the last so long.")
def history(session: Session, id: str | None, since: float | None) -> int:  # noqa: A002
    """Show what happened, to one instance or to all.

    Each event with its time, cause and actor, oldest first, out of what this node's agent saw, over
    its restarts, as far as [history] lets its record reach. With an ID also of what is gone. at is
    of the clock of the node where it happened, seen_at (with -o json) of this one's. What changed
    while the agent was away has the cause unknown. 0 also when there is nothing; 5 where the record
    begins later than what is asked for.
    """
    printer = session.printer(output.NAMED)
    with session.disco() as disco:
        events = disco.history(id, since=since)
        printer.events(events)
        return finish(printer, disco)


class Moment(Verb, click.Group):
    """`at TIME COMMAND`: the moment stands before the command, and may begin with a dash."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take `-10m` for the moment that it is, and global options wherever they stand."""
        ago = next((place for place, word in enumerate(args) if _AGO.match(word)), len(args))
        command = next((place for place, it in enumerate(args) if it in self.commands), len(args))
        if ago < command:
            end = command if command < len(args) else ago + 1
            args = [*args[:ago], *args[ago + 1 : end], "--", args[ago], *args[end:]]
        else:
            args = [*args[:command], "--", *args[command:]]
        return super().parse_args(ctx, args)


@click.group(
    "at",
    cls=Moment,
    commands={"list": list_command},
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "allow_interspersed_args": True},
    subcommand_metavar="list [LIST'S OPTIONS]...",
    example="discoctl at -10m list web\ndiscoctl at 2026-01-31T12:00:00Z list --all -o json",
)
@click.argument("time", metavar="TIME")
@click.pass_obj
def at(session: Session, time: str) -> None:
    """List the instances as they were at a moment.

    TIME is RFC 3339, or -10m for ten minutes ago. What this node's agent listed then, by its own
    clock, whatever other clocks showed; where that was set back, so that it showed TIME twice, the
    later one. suspect and restarting are not recorded: an instance has the state that its own agent
    gave it. 5, with what is nearest and a word on stderr, where the record begins later or the
    agent was not running then.
    """
    session.moment = time
