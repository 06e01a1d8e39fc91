"""`sim`: clusters in virtual time, under faults, with every check that there is."""

import subprocess
import sys
from collections.abc import Callable

import click

from discoagent.cli import output
from discoagent.cli.command import DURATION, Session, verb

SHARE = click.FloatRange(0, 1)
RATE = click.FloatRange(0)


def lasting(
    flag: str, usually: str, told: str
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Return an option for a kind of trouble; without a value it lasts as `usually`."""
    return click.option(flag, type=DURATION, is_flag=False, flag_value=usually, help=told)


@verb(
    "sim",
    example="discoctl sim --seeds 1000\ndiscoctl sim --seed 42\n"
    "discoctl sim --seeds 20 --nodes 8 --services 10 --loss 0.05 --partition 20s --churn 5",
)
@click.option("--seed", type=click.IntRange(0), metavar="N", help="This one, with its log.")
@click.option(
    "--seeds", type=click.IntRange(1), metavar="N", help="So many, from --seed on (100, from 0)."
)
@click.option("--nodes", type=click.IntRange(1, 2_000), metavar="N", help="How many nodes.")
@click.option("--services", type=click.IntRange(0), metavar="N", help="Registrations of each.")
@click.option("--seconds", type=RATE, metavar="S", help="How long the trouble goes on.")
@click.option("--loss", type=SHARE, metavar="P", help="The share of all messages that is lost.")
@click.option("--duplicates", type=SHARE, metavar="P", help="The share that arrives twice.")
@click.option("--latency", type=DURATION, help="How long a message is on its way at most (3ms).")
@lasting("--partition", "5s", "Splits and one-way cuts, each up to so long (5s).")
@lasting("--clog", "5s", "Ways are clogged, each up to so long (5s); then all arrives.")
@click.option("--churn", type=RATE, metavar="R", help="Changes of registrations a second.")
@lasting("--pause", "5s", "Agents are stopped, each up to so long (5s).")
@lasting("--restart", "3s", "Agents end, and are back after up to so long (3s).")
@click.option(
    "--skew",
    type=click.FloatRange(0, 0.5),
    metavar="P",
    help="The share by which clocks run wrong.",
)
def sim(session: Session, *, seed: int | None, seeds: int | None, **profile: float | None) -> int:
    """Simulate clusters under faults, and check every step.

    The agents' own core and wire run in virtual time over a network that loses, delays, cuts and
    splits, while nodes crash, leave, pause and come back. The seed decides all that happens; how
    bad it is, too, unless a flag from --nodes on says so: then there is no trouble but what was
    asked for. A kind of trouble without a value lasts as long as is said in brackets.
    1 when a check failed; the command that replays it is told.
    """
    printer = session.printer(output.COMMON)
    words = [sys.executable, "-m", "discoagent.sim"]
    options = click.get_current_context().command.params
    durations = {option.name for option in options if option.type is DURATION}
    for name, value in {"seed": seed, "seeds": seeds, **profile}.items():
        if value is not None:
            words += [f"--{name}", f"{value:f}s" if name in durations else str(value)]
    if printer.in_json:
        words.append("--json")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as simulator:
        assert simulator.stdout is not None
        try:
            for line in simulator.stdout:
                printer.line(line.rstrip("\n"))
        except BaseException:
            simulator.kill()
            raise
    return simulator.returncode
