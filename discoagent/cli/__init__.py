"""`discoctl`: asks and tells the agent on this host. Only the client library speaks to the agent.

A sub-command's module is loaded when the command is used, so that `discoctl list` starts as quickly
as the libraries it needs. Whatever goes wrong ends here: one line on stderr (or, with `-o json`,
one JSON value), and the exit code of the contract.
"""

# ruff: noqa: E402 - what follows the first import is of use for those after it
import gc

# Loading modules and unpacking lists make many objects and no garbage: a tenth of `list`.
gc.set_threshold(100_000)

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Never

import click

from discoagent import __version__, streams
from discoagent.cli import output
from discoagent.cli.command import COMPLETE_VARIABLE, GlobalOptions, Session
from discoagent.errors import DiscoError, InvalidRequest

USAGE, INTERRUPTED, READER_GONE = 2, 130, 141

GROUPS: dict[str, dict[str, str]] = {
    "Find": {
        "list": "reading:list_command",
        "services": "reading:services",
        "resolve": "reading:resolve",
        "get": "reading:get",
        "watch": "watching:watch",
        "wait": "watching:wait",
    },
    "Register": {
        "run": "run:run",
        "register": "registering:register",
        "update": "registering:update",
        "renew": "registering:renew",
        "ttl": "health:ttl",
        "maint": "health:maint",
        "drain": "health:drain",
        "deregister": "registering:deregister",
    },
    "Presence": {
        "presence": "presence:presence",
        "track": "presence:track",
        "retrack": "presence:retrack",
        "untrack": "presence:untrack",
    },
    "Cluster": {
        "members": "cluster:members",
        "status": "cluster:status",
        "join": "cluster:join",
        "leave": "cluster:leave",
        "forget": "cluster:forget",
        "ping": "cluster:ping",
        "converged": "cluster:converged",
    },
    "Operate": {
        "why": "why:why",
        "history": "remembering:history",
        "at": "remembering:at",
        "doctor": "doctor:doctor",
        "bundle": "bundle:bundle",
        "monitor": "operating:monitor",
        "log-level": "operating:log_level",
        "metrics": "operating:metrics",
        "reload": "reloading:reload",
        "install-units": "units:install_units",
        "uninstall-units": "units:uninstall_units",
    },
    "Tools": {
        "dev": "dev:dev",
        "sim": "sim:sim",
        "completion": "completion:completion",
        "version": "cluster:version",
    },
}
COMMANDS = {name: home for commands in GROUPS.values() for name, home in commands.items()}


class Discoctl(GlobalOptions, click.Group):
    """The group of all sub-commands, each loaded when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all sub-commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a sub-command; None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"discoagent.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the sub-command that the arguments begin with; name the nearest if there is none."""
        known = args[0] in COMMANDS or args[0].startswith("-")
        if not known and not ctx.resilient_parsing:
            raise InvalidRequest(
                f"no such command: {args[0]}{nearest(args[0], COMMANDS)}",
                kind="usage",
                field="command",
            )
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command; without anything at all show the help, and fail."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(USAGE)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sub-commands, by what they are for."""
        for title, names in GROUPS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (name, command.get_short_help_str(70))
                        for name, command in commands
                        if command
                    ]
                )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sub-commands first: they are what a user looks for."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002
        **extra: Any,
    ) -> Any:
        """Run the command line and exit; with `standalone_mode` off return the exit code."""
        streams.have_all()
        if instruction := os.environ.get(COMPLETE_VARIABLE):
            from discoagent.cli import completion

            leave(completion.answer(self, instruction))
        arguments = list(sys.argv[1:] if args is None else args)
        code = self._run(arguments, prog_name or "discoctl", extra)
        if standalone_mode:
            leave(code)
        return code

    def _run(self, args: list[str], name: str, extra: dict[str, Any]) -> int:
        session = Session()
        utf8()
        try:
            code = self._invoked(args, name, session, extra)
            sys.stdout.flush()
        except BrokenPipeError:
            return READER_GONE  # the reader has what it wanted
        except (KeyboardInterrupt, click.Abort):
            return INTERRUPTED
        except Exception as error:  # noqa: BLE001 - the last frame
            with suppress(OSError):
                sys.stdout.flush()
            return self._fail(error, args, session)
        return code

    def _invoked(self, args: list[str], name: str, session: Session, extra: dict[str, Any]) -> int:
        try:
            with self.make_context(name, list(args), obj=session, **extra) as ctx:
                return int(self.invoke(ctx) or 0)
        except click.exceptions.Exit as end:
            return end.exit_code

    def _fail(self, error: Exception, args: list[str], session: Session) -> int:
        """Tell an error in the way that was asked for, and return its exit code."""
        known = as_disco_error(error)
        asked, quiet = asked_for(args)
        output.complain(
            known,
            chosen=session.format or asked or os.environ.get("DISCO_OUTPUT"),
            quiet=session.quiet or quiet,
        )
        return known.code


def leave(code: int) -> Never:
    """End the process at once. Taking the interpreter apart costs as much as half of `list`.

    Nothing is lost by it: output is flushed, clients are closed, children are reaped.
    """
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


def as_disco_error(error: Exception) -> DiscoError:
    """Return any exception as the error that its user is told."""
    if isinstance(error, DiscoError):
        return error
    if isinstance(error, click.ClickException):
        return usage_error(error)
    if isinstance(error, OSError):
        return DiscoError(f"cannot write or read: {error}")
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    place = (
        f"{os.path.basename(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}" if frame else "?"
    )
    return DiscoError(f"internal error: {type(error).__name__}: {error} ({place})")


def usage_error(error: click.ClickException) -> InvalidRequest:
    """Return click's word on a wrong command line as one sentence that says where to look."""
    param = getattr(error, "param", None)
    field = getattr(param, "name", None)
    message = " ".join(error.format_message().split()).rstrip(".")
    message = message.removesuffix(" range")  # of what is no number: "not a valid integer range"
    if isinstance(error, click.NoSuchOption):
        field = error.option_name.lstrip("-")
        message = f"no such option: {error.option_name}{_nearest_option(error)}"
    ctx = getattr(error, "ctx", None)
    where = f" (see {ctx.command_path} --help)" if ctx else ""
    return InvalidRequest(f"{message[:1].lower()}{message[1:]}{where}", kind="usage", field=field)


def _nearest_option(error: click.NoSuchOption) -> str:
    """Return what long option was probably meant; one letter tells nothing."""
    if error.ctx is None or not error.option_name.startswith("--"):
        return ""
    known = [name for param in error.ctx.command.params for name in param.opts]
    return nearest(error.option_name, known)


def nearest(word: str, known: Sequence[str] | dict[str, str]) -> str:
    """Return `; did you mean X?` for the known word that is nearest, or nothing."""
    import difflib

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def asked_for(args: list[str]) -> tuple[str | None, bool]:
    """Return the format and quietness of a command line that could not be parsed."""
    own = args[: args.index("--")] if "--" in args else args
    chosen, quiet = None, False
    for at, word in enumerate(own):
        if word in ("-o", "--output"):
            chosen = own[at + 1] if at + 1 < len(own) else None
        elif word.startswith("--output="):
            chosen = word.partition("=")[2]
        elif word.startswith("-o"):
            chosen = word[2:]
        quiet = quiet or word in ("-q", "--quiet")
    return chosen, quiet


def utf8() -> None:
    """Write UTF-8 whatever the locale: JSON is, and names may hold any character."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


@click.group(
    cls=Discoctl,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 yes, 1 the answer is no, 2 usage, 3 agent not reachable, 4 refused, "
    "5 partial, 6 conflict, 7 internal, 124 timeout, 130 interrupted; "
    "run and dev -- CMD: the command's own.",
)
@click.version_option(__version__, message="discoctl %(version)s")
def main() -> None:
    """Ask and tell the discoagent on this host: which services there are, where, and in what
    state."""
