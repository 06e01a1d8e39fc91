"""The commands about the state of this node's instances: `ttl maint drain`."""

import time

import click

from discoagent.cli import output
from discoagent.cli.command import DURATION, PARTIAL, Session, completes, usage, verb
from discoagent.cli.output import Printer
from discoagent.cli.views import DRAINS, INSTANCES
from discoagent.instance import Instance


@verb(
    "ttl",
    example="discoctl ttl pass backup --note '3 GB in 40 s'\n"
    "while sleep 20; do discoctl ttl pass queue -q; done    # registered with --check ttl:1m",
)
@click.argument("word", type=click.Choice(["pass", "warn", "fail"]))
@click.argument("id", metavar="ID", shell_complete=completes("own instances"))
@click.option("--note", default="", metavar="TEXT", help="What `get` shows of it on this node.")
def ttl(session: Session, word: str, id: str, note: str) -> int:  # noqa: A002
    """Say how an instance of this node is, of its check ttl:D.

    Without a word for so long it is critical.
    """
    printer = session.printer(output.INSTANCE)
    with session.disco() as disco:
        printer.changed([disco.ttl(id, word, note)])
        return 0


@verb(
    "maint",
    example="discoctl maint on web-8080 --reason 'new disk' --for 30m\ndiscoctl maint off",
)
@click.argument("switch", metavar="on|off", type=click.Choice(["on", "off"]))
@click.argument("id", metavar="[ID]", required=False, shell_complete=completes("own instances"))
@click.option("--reason", metavar="TEXT", help="Shown with the instance, everywhere.")
@click.option("--for", "duration", type=DURATION, help="Over by itself after this time.")
def maint(
    session: Session,
    switch: str,
    id: str | None,  # noqa: A002
    reason: str | None,
    duration: float | None,
) -> int:
    """Take an instance of this node out of use, or put it back.

    Out of use it is whatever its checks say. Without ID all of this node's instances. `off` ends
    `drain`, too.
    """
    printer = session.printer(output.INSTANCE)
    if switch == "off" and (reason is not None or duration is not None):
        usage("--reason and --for are of `maint on`", "for" if reason is None else "reason")
    with session.disco() as disco:
        found = disco.maint(id, on=switch == "on", reason=reason, duration=duration)
        _print(printer, found, id)
        return 0


@verb(
    "drain",
    example="discoctl drain --dry-run && discoctl drain --wait --timeout 10s\n"
    "discoctl drain web-8080",
)
@click.argument("id", metavar="[ID]", required=False, shell_complete=completes("own instances"))
@click.option("--wait", is_flag=True, help="Wait until all other nodes have seen it.")
@click.option(
    "--dry-run", is_flag=True, help="Only show what would be left; 1 if a last instance goes."
)
def drain(session: Session, *, id: str | None, wait: bool, dry_run: bool) -> int:  # noqa: A002
    """Let an instance of this node be found by nobody new.

    It may finish what it has. Without ID all of this node's instances; `maint off` ends it. 5 when
    --timeout is over and not all have seen it: it is draining all the same.
    """
    printer = session.printer(output.INSTANCE)
    began = time.monotonic()
    with session.disco(waits=wait) as disco:
        if dry_run:
            plan = disco.drain_plan(id)
            if printer.format == "table":
                for each in plan:
                    last = ": last instance" if each["last"] else ""
                    printer.line(f"{each['service']} {each['before']} -> {each['after']}{last}")
            else:
                printer.many(plan, DRAINS)
            return 1 if any(each["last"] for each in plan) else 0
        _print(printer, disco.drain(id), id)
        if not wait:
            return 0
        left = None if session.timeout is None else session.timeout - (time.monotonic() - began)
        missing = disco.wait_seen("all", left)["missing"]
    if missing:
        printer.talk(f"draining, but not yet seen by {', '.join(missing)}")
    return PARTIAL if missing else 0


def _print(printer: Printer, found: list[Instance], id: str | None) -> None:  # noqa: A002
    """Write one instance, or all of the node: an array."""
    if id is not None or printer.format == "table":
        printer.changed(found)
    else:
        printer.many(found, INSTANCES)
