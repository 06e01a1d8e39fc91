"""For whoever installs the agent: `install-units uninstall-units`."""

from collections.abc import Iterable
from pathlib import Path

import click

from discoagent.cli import installing, output
from discoagent.cli.command import Completer, Session, files, usage, verb
from discoagent.cli.installing import Step
from discoagent.cli.views import Column, View

STEPS: View[Step] = View(
    columns=(Column("ACTION", lambda it: it.action), Column("TARGET", lambda it: it.target)),
    to_json=lambda it: {"action": it.action, "target": it.target},
    name=lambda it: it.target,
    none="nothing is installed there",
)
at_root = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/"),
    show_default=True,
    shell_complete=files,
    help="The host's root directory; of another than this one only files are touched.",
)
only_to_see = click.option("--dry-run", is_flag=True, help="Only show what would be done.")


def _drop_ins() -> Completer:
    return lambda _ctx, _param, word: [it for it in installing.drop_ins() if it.startswith(word)]


@verb(
    "install-units",
    example="discoctl install-units --dry-run\ndiscoctl install-units --drop-in 10-owners.conf",
)
@at_root
@click.option(
    "--drop-in",
    "drop_ins",
    metavar="NAME",
    multiple=True,
    shell_complete=_drop_ins(),
    help="Put this drop-in of the agent's unit in force, too; one that is there already stays.",
)
@only_to_see
def install_units(session: Session, root: Path, drop_ins: tuple[str, ...], *, dry_run: bool) -> int:
    """Put systemd's units for the agent in place.

    With its user, group and directories. Nothing is started. Again: what differs is updated, and a
    restart of the agent then is no event.
    """
    printer = session.printer(output.NAMED)
    root = root.absolute()
    known = installing.drop_ins()
    for name in drop_ins:
        if name not in known:
            usage(f"--drop-in: there is no {name}; there are {', '.join(known)}", "drop_in")
    printer.many(_taken(installing.installation(root, drop_ins), dry_run=dry_run), STEPS)
    if installing.hidden(root):
        printer.talk(
            f"the unit cannot see {installing.programs(root)} (ProtectHome=, PrivateTmp=): install "
            "the package into /opt/discoagent"
        )
    elif not dry_run:
        printer.talk("to start the agent, now and at each boot: systemctl enable --now discoagent")
    return 0


@verb("uninstall-units", example="discoctl leave\ndiscoctl uninstall-units")
@at_root
@only_to_see
def uninstall_units(session: Session, root: Path, *, dry_run: bool) -> int:
    """Stop the agent and take its units away.

    Its configuration, its state and its user stay. After `discoctl leave` its instances are gone
    everywhere at once; else its peers wait for it, as for a restart.
    """
    printer = session.printer(output.NAMED)
    steps = _taken(installing.removal(root.absolute()), dry_run=dry_run)
    printer.many(steps, STEPS)
    if steps and not dry_run:
        printer.talk("left as they are: /etc/discoagent, /var/lib/discoagent, the user discoagent")
    return 0


def _taken(planned: Iterable[Step], *, dry_run: bool) -> list[Step]:
    """Take all steps, unless it is only to see; return them."""
    steps = list(planned)
    for step in [] if dry_run else steps:
        step.take()
    return steps
