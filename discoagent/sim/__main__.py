"""`python -m discoagent.sim`: random worlds by the thousand, or one of them with its log."""

import sys
import time

import click

from discoagent.sim.chaos import Report, run_seed

PROGRESS_EVERY = 5.0  # seconds


@click.command()
@click.option("--seed", type=int, help="Run this one world and print its log.")
@click.option("--seeds", type=click.IntRange(1), default=100, show_default=True, help="How many.")
@click.option("--start", type=int, default=0, show_default=True, help="The first of them.")
@click.option("--quiet", is_flag=True, help="With --seed: no log, only the outcome.")
def main(seed: int | None, seeds: int, start: int, quiet: bool) -> None:  # noqa: FBT001 - click's
    """Simulate clusters under faults, each drawn from a seed, and check every step.

    \b
    Example: python -m discoagent.sim --seeds 1000
             python -m discoagent.sim --seed 42
    """
    if seed is not None:
        report = run_seed(seed, None if quiet else click.echo)
        _tell(report)
        sys.exit(report.failure is not None)
    sys.exit(_many(range(start, start + seeds)))


def _many(seeds: range) -> int:
    """Run all; print progress, each failure with the command that replays it, and a summary."""
    began = told = time.monotonic()
    failed: list[Report] = []
    steps, virtual, slowest = 0, 0.0, 0.0
    for done, seed in enumerate(seeds, 1):
        report = run_seed(seed)
        steps += report.steps
        virtual += report.virtual_seconds
        slowest = max(slowest, report.agreement)
        if report.failure is not None:
            failed.append(report)
            _tell(report)
        if time.monotonic() - told > PROGRESS_EVERY:
            told = time.monotonic()
            click.echo(f"{done} of {len(seeds)} seeds, {len(failed)} failed", err=True)
    click.echo(
        f"{len(seeds)} seeds, {len(failed)} failed; {virtual:,.0f} virtual s and {steps:,} steps "
        f"in {time.monotonic() - began:.0f} s; the slowest agreement took {slowest:.1f} s"
    )
    return bool(failed)


def _tell(report: Report) -> None:
    if report.failure is None:
        click.echo(
            f"seed {report.seed}: {report.virtual_seconds:.0f} virtual s, {report.steps} steps, "
            f"{report.events} events, agreement after {report.agreement:.2f} s, sent {report.sent}"
        )
        click.echo(f"trace {report.digest}")
        return
    for line in report.tail:
        click.echo(line)
    click.echo(f"SEED={report.seed} FAILED: {report.failure}")
    click.echo(f"profile: {report.profile}")
    click.echo(f"replay: python -m discoagent.sim --seed {report.seed}")


if __name__ == "__main__":
    main()
