"""For the operator: `metrics monitor log-level`."""

import click

from discoagent.cli import output
from discoagent.cli.command import Session, verb
from discoagent.instance import rfc3339
from discoagent.rules import LOG_LEVELS


@verb(
    "metrics",
    example="discoctl metrics > /var/lib/node_exporter/discoagent.prom",
)
def metrics(session: Session) -> int:
    """Show the agent's figures as Prometheus text.

    Peers, instances, messages, refusals.
    """
    printer = session.printer(output.COMMON)
    with session.disco() as disco:
        text = disco.metrics()
    printer.line(text.rstrip("\n"))
    return 0


@verb("log-level", example="discoctl log-level\ndiscoctl log-level debug")
@click.argument("level", required=False, type=click.Choice(LOG_LEVELS), metavar="[LEVEL]")
def log_level(session: Session, level: str | None) -> int:
    """Show the level of the agent's log, or set it.

    LEVEL is debug, info, warning or error, and holds until the agent is started or reloaded.
    """
    printer = session.printer(output.COMMON)
    with session.disco() as disco:
        found = disco.log_level(level)
    printer.value({"level": found}, [("", found)], found)
    return 0


@verb("monitor", example="discoctl monitor --level debug")
@click.option(
    "--level",
    type=click.Choice(LOG_LEVELS),
    default="info",
    show_default=True,
    help="Show what is at least as grave.",
)
def monitor(session: Session, level: str) -> int:
    """Show the agent's log as it is written.

    At any level, without changing that of the log.
    """
    printer = session.stream_printer()
    with session.disco(waits=True) as disco:
        for line in disco.monitor(level, timeout=session.timeout):
            at = rfc3339(line.at_ms)
            if printer.format in ("json", "jsonl"):
                row = {"at": at, "level": line.level, "message": line.message}
                printer.line(output.dump(row))
            else:
                printer.line(
                    f"{at} {printer.paint(line.level.ljust(7), line.level)} {line.message}"
                )
    return 0
