"""`discoagent`: reads the configuration, runs the agent, passes the system's signals on to it.

SIGTERM  stop: the entries stay with the peers for `restart_grace`; leave if systemd stops the host
SIGINT   on a terminal leave, else stop
SIGHUP   read configuration and service files again; what needs a restart is said in the log

exit 0   stopped or left                    exit 6   port, socket or node name taken
exit 2   configuration                      exit 7   internal
exit 4   permission
"""

import contextlib
import errno
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any

import click

from discoagent import __version__, logs, streams, tls
from discoagent.daemon import config
from discoagent.daemon.config import Config, ConfigError
from discoagent.daemon.systemd import Manager
from discoagent.errors import DiscoError

OK, CONFIGURATION, PERMISSION, TAKEN, INTERNAL = 0, 2, 4, 6, 7

_log = logging.getLogger("discoagent")
_BY_ERRNO = {
    errno.EACCES: PERMISSION,
    errno.EPERM: PERMISSION,
    errno.EADDRINUSE: TAKEN,
    errno.EADDRNOTAVAIL: CONFIGURATION,
}


class WrongUse(click.ClickException):
    """A command line that cannot be read, told in one line as the problems of a file are."""

    exit_code = CONFIGURATION

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it to stderr."""
        text = self.message.rstrip(".")
        text = f"discoagent: {text[:1].lower()}{text[1:]} (see discoagent --help)"
        click.echo(text, file=file, err=file is None)


class Daemon(click.Command):
    """The command line of the agent, whose faults are told in one line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the flags. Of one that is not there, the nearest is named."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            near = get_close_matches(error.option_name, error.possibilities or (), n=1, cutoff=0.5)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise WrongUse(f"no such option: {error.option_name}{meant}") from None
        except click.UsageError as error:
            raise WrongUse(error.format_message()) from None


@click.command(
    cls=Daemon,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every flag but --config, --check-config and --set is also a key of the file and, as "
    "DISCOAGENT_ and its name in capitals, of the environment; the flag wins.",
)
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help=f"TOML file; agent.d/*.toml beside it are read after it. [default: {config.DEFAULT_FILE}]",
)
@click.option("--node", metavar="NAME", help="Name, unique in the cluster. [default: host name]")
@click.option("--cluster", metavar="NAME", help="Cluster to belong to. [default: default]")
@click.option(
    "--bind",
    metavar="HOST:PORT",
    help="Where peers connect; the next port is used too. [default: 127.0.0.1:7800]",
)
@click.option(
    "--advertise",
    metavar="HOST:PORT",
    help="Where peers reach this agent, if it is not --bind.",
)
@click.option("--join", metavar="HOST:PORT", multiple=True, help="A peer to find the others by.")
@click.option("--socket", metavar="PATH", help="Where this host's applications connect.")
@click.option("--state-dir", metavar="DIR", help="Where this agent keeps what outlives a restart.")
@click.option("--insecure", is_flag=True, help="Open --bind to other hosts without a key.")
@click.option("--set", metavar="KEY=VALUE", multiple=True, help="Set any key of the file.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error. [default: info]")
@click.option(
    "--log-format",
    metavar="FORMAT",
    help="text, json or journal. [default: where stderr goes]",
)
@click.option("--check-config", is_flag=True, help="Name every problem of the configuration, end.")
@click.version_option(__version__, prog_name="discoagent", message="%(prog)s %(version)s")
def main(*, config_file: Path | None, check_config: bool, **flags: Any) -> None:
    """Run this host's discoagent: service discovery without a master."""

    streams.have_all()
    # Until the agent listens for it: what would be read again is only about to be read.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def load() -> Config:
        return config.load(config_file, flags, os.environ)

    try:
        loaded = load()
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"discoagent: {problem}", err=True)
        sys.exit(CONFIGURATION)
    logs.set_up(loaded.log_level, loaded.log_format)
    for warning in config.unknown_names(os.environ):
        _log.warning("%s", warning)
    if check_config:
        sys.exit(_check_services(loaded))
    if config.exposed(loaded):
        _log.warning("insecure: whoever reaches %s can read and write in the cluster", loaded.bind)
    sys.exit(run(loaded, load))


def _check_services(loaded: Config) -> int:
    """Name every problem of the service files; return the exit code."""
    from discoagent.local.entries.service_reader import read_all

    _, problems = read_all(loaded.services_dir, os.geteuid())
    for problem in problems:
        click.echo(f"discoagent: {problem}", err=True)
    if not problems:
        click.echo("the configuration is valid")
    return CONFIGURATION if problems else OK


def run(loaded: Config, load: Callable[[], Config]) -> int:
    """Run an agent until it ends and return the exit code; `load` reads the configuration anew."""
    faulthandler.enable()  # what hung is said when systemd's watchdog ends us by SIGABRT
    tls.postpone()
    import asyncio

    try:
        return asyncio.run(_serve(loaded, load))
    except DiscoError as error:
        _log.error("%s", error)
        return error.code if error.code in (CONFIGURATION, PERMISSION, TAKEN) else INTERNAL
    except OSError as error:
        code = _BY_ERRNO.get(error.errno or 0, INTERNAL)
        _log.log(logging.ERROR, "%s", error, exc_info=code == INTERNAL)
        return code
    except Exception:  # noqa: BLE001 - the last frame: the exit code is all that is left to say
        _log.exception("internal error; the peers hold this node's entries for restart_grace")
        return INTERNAL


async def _serve(loaded: Config, load: Callable[[], Config]) -> int:
    from discoagent.daemon.agent import Agent  # `--help` and `--check-config` need none of it

    agent = Agent(loaded, manager=Manager(os.environ), load=load)
    handlers: dict[signal.Signals, Callable[[], None]] = {
        signal.SIGTERM: agent.terminate,
        signal.SIGINT: lambda: agent.request_stop(leave=os.isatty(0)),
        signal.SIGHUP: agent.reload,
    }
    with _handled(handlers):
        code: int = await agent.run()
        return code


@contextlib.contextmanager
def _handled(handlers: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Let the running loop call these at these signals, until the block ends."""
    import asyncio

    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
