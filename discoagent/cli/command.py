"""What every command shares: the global options, and the kinds of values that users write.

A global option may stand before or after the command, and the one after wins: the group and every
command take the same options, which write into one `Session`.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Never, TypeVar

import click

from discoagent import durations
from discoagent.cli import output
from discoagent.cli.output import Printer
from discoagent.errors import InvalidRequest

if TYPE_CHECKING:
    from discoagent.client import Disco

TIMEOUT = 2.0
COMPLETE_VARIABLE = "_DISCOCTL_COMPLETE"  # set by a shell that asks what a TAB completes to
PARTIAL = 5
F = TypeVar("F", bound=Callable[..., Any])


class Session:
    """What the global options said; None and False where they said nothing."""

    def __init__(self) -> None:
        self.socket: str | None = None
        self.timeout: float | None = None
        self.format: str | None = None
        self.quiet = False
        self.no_headers = False
        self.moment: str | None = None  # of `at`; None: now

    def disco(self, *, waits: bool = False) -> "Disco":
        """Return a client for the agent; it connects when it is first used.

        `waits`: the command waits for something, so that `--timeout` bounds all of it, and can only
        shorten what a single answer may take.
        """
        from discoagent.client import Disco

        usual = usual_timeout()
        seconds = usual if self.timeout is None else self.timeout
        return Disco(self.socket, timeout=min(seconds, usual) if waits else seconds)

    def printer(self, formats: Sequence[str], default: str = "table") -> Printer:
        """Return what writes the answer: `formats` are those the command knows.

        A format of the environment that this command does not know leaves it at its default: the
        variable is for every command, and not every command can print addresses.
        """
        chosen = self.format
        if chosen is None:
            chosen = os.environ.get("DISCO_OUTPUT") or default
            if chosen not in output.EVERY:
                usage(f"DISCO_OUTPUT: {_no_format(chosen, output.EVERY)}", "output")
            chosen = chosen if chosen in formats else default
        elif chosen not in formats:
            usage(f"-o: {_no_format(chosen, formats)}", "output")
        return Printer(chosen, headers=not self.no_headers, quiet=self.quiet)

    def stream_printer(self) -> Printer:
        """Return what writes events: lines on a terminal, `jsonl` otherwise."""
        return self.printer(output.NAMED, "table" if sys.stdout.isatty() else "jsonl")


def usual_timeout() -> float:
    """Return how long one answer of the agent may take where no flag says so, in seconds."""
    text = os.environ.get("DISCO_TIMEOUT")
    if not text:
        return TIMEOUT
    try:
        return _positive(durations.parse(text))
    except ValueError as error:
        usage(f"DISCO_TIMEOUT {error}", "timeout")


def _no_format(text: str, formats: Sequence[str]) -> str:
    return f"no such format: {text!r}; there are {', '.join(formats)}"


class Duration(click.ParamType):  # type: ignore[type-arg]  # not generic in older versions
    """A length of time, `200ms 5s 2m 1h`, in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read the text; a number is taken as it is."""
        if isinstance(value, float):
            return value
        try:
            return _positive(durations.parse(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return what stands for the value in `--help`."""
        return "DURATION"


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("must be longer than 0")
    return seconds


class Pair(click.ParamType):  # type: ignore[type-arg]
    """`k=v`, split at the first `=`."""

    name = "pair"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split the text."""
        if isinstance(value, tuple):
            return value
        key, equals, rest = str(value).partition("=")
        if not equals or not key:
            self.fail(f"{value!r} is not of the form k=v", param, ctx)
        return key, rest

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return what stands for the value in `--help`."""
        return "K=V"


class Nodes(click.ParamType):  # type: ignore[type-arg]
    """How many other nodes: `all`, or a number of them."""

    name = "nodes"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | int:
        """Read the text."""
        if value == "all":
            return "all"
        text = str(value)
        if not (text.isascii() and text.isdigit() and len(text) <= 6 and int(text) >= 1):
            self.fail(f"{text!r} is neither all nor a number of nodes", param, ctx)
        return int(text)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return what stands for the value in `--help`."""
        return "all|N"


DURATION = Duration()
PAIR = Pair()
NODES = Nodes()
PORT = click.IntRange(1, 65535)


filter_option = click.option(
    "-f",
    "--filter",
    metavar="EXPR",
    help='Only what fits, such as: "v2" in tags and meta.zone != "a" and port > 8000.',
)


Completer = Callable[[click.Context, click.Parameter, str], list[Any]]


def completes(kind: str) -> Completer:
    """Return what completes a value to names that the agent knows; see `completion.KINDS`."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[Any]:
        from discoagent.cli import completion

        return completion.names(kind, ctx, incomplete)

    return complete


def among(words: Iterable[str]) -> Completer:
    """Return what completes a value to one of these words."""
    return lambda _ctx, _param, incomplete: [it for it in words if it.startswith(incomplete)]


def files(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    """Leave a value to the shell's own completion of files."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Write a global option into the session, if it was given here."""
    if value is not None and value is not False:
        setattr(ctx.ensure_object(Session), str(param.name), value)


def global_options() -> list[click.Option]:
    """Return the options that every command has, before and after its name."""
    return [
        click.Option(
            ["--socket"],
            metavar="PATH",
            shell_complete=files,
            help="The agent's socket (DISCO_SOCKET; else the first of the daemon's places).",
        ),
        click.Option(
            ["--timeout"],
            type=DURATION,
            help="Bounds one answer (DISCO_TIMEOUT; 2s); of a command that waits, the whole.",
        ),
        click.Option(
            ["-o", "--output", "format"],
            metavar="FORMAT",
            shell_complete=among(output.EVERY),
            help="table, wide, json, jsonl, name, env (DISCO_OUTPUT); resolve: host:port, url too.",
        ),
        click.Option(
            ["-q", "--quiet", "quiet"], is_flag=True, help="Print nothing; only the exit code."
        ),
        click.Option(["--no-headers"], is_flag=True, help="Leave out the titles of tables."),
    ]


class GlobalOptions(click.Command):
    """A command that takes the global options besides its own, and shows them apart in `--help`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shared = global_options()
        for option in self.shared:
            option.expose_value = False
            option.callback = _remember
        self.params.extend(self.shared)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then those of every command."""
        own: list[tuple[str, str]] = []
        shared: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                (shared if param in self.shared else own).append(record)
        with formatter.section("Options"):
            formatter.write_dl(own)
        with formatter.section("Global options, before or after the command"):
            formatter.write_dl(shared)


class Verb(GlobalOptions):
    """A sub-command of `discoctl`.

    `takes_command` is how its usage line ends if what stands after `--` is left alone.
    """

    def __init__(
        self, *args: Any, takes_command: str = "", example: str = "", **kwargs: Any
    ) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(*args, **kwargs)
        self.takes_command = takes_command
        self.example = example

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split off CMD before anything of it can look like an option of ours."""
        if not self.takes_command:
            return super().parse_args(ctx, args)
        at = args.index("--") if "--" in args else None
        ctx.meta["command"] = None if at is None else tuple(args[at + 1 :])
        return super().parse_args(ctx, args if at is None else args[:at])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete an option of ours, or, after `--`, whatever the shell itself completes."""
        if ctx.meta.get("command") is not None:
            return files(ctx, self.params[0], incomplete)
        return super().shell_complete(ctx, incomplete)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the usage line's words."""
        pieces = super().collect_usage_pieces(ctx)
        return [*pieces, self.takes_command] if self.takes_command else pieces

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example."""
        with formatter.section("Example"):
            for line in self.example.splitlines():
                formatter.write(f"  {line}\n")


def verb(
    name: str, *, example: str, takes_command: str = ""
) -> Callable[[Callable[..., int]], Verb]:
    """Make a function that returns an exit code a sub-command; its docstring is the help."""

    def decorate(function: Callable[..., int]) -> Verb:
        make = click.command(name, cls=Verb, example=example, takes_command=takes_command)
        return make(click.pass_obj(function))

    return decorate


def usage(message: str, field: str | None = None) -> Never:
    """End on a wrong use of the command line: exit code 2."""
    raise InvalidRequest(message, kind="usage", field=field)


def finish(printer: Printer, disco: "Disco", code: int = 0) -> int:
    """Return the exit code of a query.

    It is 5 where the agent was not ready when it answered, or its record lacks some of what was
    asked.
    """
    missing = disco.missing
    if disco.partial:
        printer.talk("the agent is not ready yet: this is what it knows so far")
    elif missing is None:
        return code
    elif missing.since is None:
        printer.talk(f"the record of this agent begins later, at {missing.until}")
    else:
        printer.talk(
            f"this agent was away from {missing.since} until {missing.until}: "
            "this is what it showed before"
        )
    return PARTIAL


def merged(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return repeated `k=v` flags as one mapping; the last one of a key counts."""
    return dict(pairs)
