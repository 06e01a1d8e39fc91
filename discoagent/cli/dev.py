"""`dev`: a cluster on this machine to try things in, for as long as it runs."""

import os
import signal
import threading

import click

from discoagent.cli.child import PASSED_ON, STOPPING, Child, NotStartedError, Signals, heeded
from discoagent.cli.command import Session, usage, verb
from discoagent.cli.output import Printer, talk
from discoagent.cli.playground import Playground, StoppedError
from discoagent.client import Disco


@verb(
    "dev",
    takes_command="[-- CMD...]",
    example="discoctl dev\ndiscoctl dev 5\ndiscoctl dev 2 -- pytest tests/integration",
)
@click.argument("n", type=click.IntRange(1, 16), default=3, metavar="[N]")
@click.pass_context
def dev(ctx: click.Context, /, session: Session, n: int) -> int:
    """Run a cluster on this machine to try things in.

    N agents (1 to 16; 3) and a few live services are a cluster of their own on free loopback
    ports, in a scratch directory; the system's agent is not touched. Prints the line for a
    shell that wants to use them, `ready`, then events, until SIGINT or SIGTERM. With CMD: runs
    it with DISCO_SOCKET set, and ends with its code.
    """
    command = ctx.meta["command"]
    if command is not None and not command:
        usage("give the command to run after --: discoctl dev -- CMD...", "command")
    printer = session.stream_printer()
    with (
        Signals(heeded(PASSED_ON if command else STOPPING)) as signals,
        Playground(n, signals, quiet=session.quiet) as play,
    ):
        try:
            if command:
                play.start()
                return _run(command, play, signals, session)
            printer.line(play.export())
            play.start()
            printer.line("ready")
            _show(play, signals, printer)
        except StoppedError as stopped:
            return 128 + stopped.number if command else 0
    return 0


def _run(command: tuple[str, ...], play: Playground, signals: Signals, session: Session) -> int:
    """Run CMD against the first agent."""
    try:
        child = Child(command, signals, env={**os.environ, "DISCO_SOCKET": play.socket})
    except NotStartedError as error:
        talk(str(error), quiet=session.quiet)
        return error.code
    return child.attend(signals, play.reap).code


def _show(play: Playground, signals: Signals, printer: Printer) -> None:
    """Print the first agent's events until a signal comes, or nobody reads them any more."""
    disco = Disco(play.socket)
    watch = disco.watch()
    trouble: list[Exception] = []

    def print_events() -> None:
        try:
            for event in watch:
                printer.event(event)
        except Exception as error:  # noqa: BLE001 - carried over to the main thread
            trouble.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=print_events, name="events", daemon=True)
    thread.start()
    while signals.next(None).si_signo == signal.SIGCHLD:  # type: ignore[union-attr]
        play.reap()
    disco.close()
    thread.join(1)
    if trouble:
        raise trouble[0]
