"""For the operator: `metrics monitor log-level`."""

from typing import TYPE_CHECKING

import click

from discoagent.cli import output
from discoagent.cli.command import Session, verb
from discoagent.cli.views import View
from discoagent.instance import rfc3339
from discoagent.rules import LOG_LEVELS

if TYPE_CHECKING:
    from discoagent.client.metrics import Family

FAMILIES: "View[Family]" = View(
    columns=(), name=lambda it: it.name, to_json=lambda it: it.to_json(), none="no figures"
)


@verb(
    "metrics",
    example="discoctl metrics > /var/lib/node_exporter/discoagent.prom\ndiscoctl metrics -o json",
)
def metrics(session: Session) -> int:
    """Show the agent's figures as Prometheus text.

    Peers, instances, messages, refusals. With -o json an array of metrics, with
    their samples.
    """
    from discoagent.client.metrics import families, text

    printer = session.printer(output.COMMON)
    with session.disco() as disco:
        status = disco.status()
    if printer.in_json:
        printer.many(list(families(status)), FAMILIES)
    else:
        printer.line(text(status).rstrip("\n"))
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
            if printer.in_json:
                row = {"at": at, "level": line.level, "message": line.message}
                printer.line(output.dump(row))
            else:
                printer.line(
                    f"{at} {printer.paint(line.level.ljust(7), line.level)} {line.message}"
                )
    return 0
