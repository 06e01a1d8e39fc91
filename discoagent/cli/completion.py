"""`completion`, and what a shell's TAB is answered: words of discoctl, and names that the agent
knows.

The shell runs `discoctl` with `_DISCOCTL_COMPLETE` set. Whatever goes wrong then is no completion,
and not a word: the user is in the midst of a line.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

import click
from click.shell_completion import (
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from discoagent.cli.command import COMPLETE_VARIABLE, Session, verb
from discoagent.cli.output import Printer
from discoagent.cli.views import endpoint, plain
from discoagent.errors import DiscoError

if TYPE_CHECKING:
    from discoagent.client import Disco

PROGRAM = "discoctl"
ANSWER_SECONDS = 0.5  # nobody likes to wait for a TAB

Names = Iterator[tuple[str, str]]
"""Names, each with a word about it."""


class Bash(ShellComplete):
    """Reads the line itself: bash cuts words at `@`, `=` and `:`, which names may hold."""

    name = "bash"
    source_template: ClassVar[str] = """\
%(complete_func)s() {
    local kind value
    while IFS=, read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "${1/#\\~/$HOME}" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is being typed, and that one."""
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)[1:]
        self._typed = words.pop() if words and not line[-1].isspace() else ""
        return words, self._typed

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Leave out what stands before the last place where bash cuts the word.

        It cuts behind a `=` and a `:`, but before an `@`.
        """
        breaks = set(os.environ.get("COMP_WORDBREAKS", "")).intersection("@=:")
        cut = max((self._typed.rfind(it) + (it != "@") for it in breaks), default=0)
        cut = max(cut, 0)
        value = item.value.removeprefix(self._typed[:cut])
        return f"{item.type},{value}"


SHELLS: Mapping[str, type[ShellComplete]] = {
    "bash": Bash,
    "zsh": ZshComplete,
    "fish": FishComplete,
}


@verb(
    "completion",
    example='eval "$(discoctl completion bash)"      # in ~/.bashrc\n'
    'eval "$(discoctl completion zsh)"       # in ~/.zshrc, after compinit\n'
    "discoctl completion fish > ~/.config/fish/completions/discoctl.fish",
)
@click.argument("shell", type=click.Choice(list(SHELLS)), metavar="SHELL")
@click.pass_context
def completion(ctx: click.Context, /, session: Session, shell: str) -> int:
    """Print the script by which a shell completes with TAB.

    Commands, flags and their values; and services, instances and nodes, if an agent answers at
    once.
    """
    printer = session.printer(("table",))
    script = SHELLS[shell](ctx.find_root().command, {}, PROGRAM, COMPLETE_VARIABLE).source()
    printer.line(script.rstrip())
    return 0


def answer(group: click.Command, instruction: str) -> int:
    """Print what a shell asked for by the variable; return the exit code."""
    shell, _, what = instruction.partition("_")
    if shell not in SHELLS or what != "complete":
        return 1
    try:
        found = SHELLS[shell](group, {"obj": Session()}, PROGRAM, COMPLETE_VARIABLE).complete()
        Printer("table").line(found)
    except Exception:  # noqa: BLE001 - whatever it is, no word of it belongs into the user's line
        return 1
    return 0


def names(kind: str, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    """Return the agent's names of a kind that begin so; none if it does not answer at once."""
    from discoagent.client import Disco

    session = ctx.find_object(Session) or Session()
    try:
        with Disco(session.socket, timeout=ANSWER_SECONDS) as disco:
            return [
                CompletionItem(name, help=plain(about))
                for name, about in KINDS[kind](disco)
                if name.startswith(incomplete)
            ]
    except DiscoError:
        return []


def _services(disco: "Disco") -> Names:
    return ((it["service"], f"{it['usable']} usable") for it in disco.services())


def _instances(disco: "Disco", node: str | None = None) -> Names:
    for it in disco.list(node=node, all=True):
        yield it.name, f"{endpoint(it.address, it.port)} {it.state}"


def _own_instances(disco: "Disco") -> Names:
    return _instances(disco, disco.hello().node)


def _nodes(disco: "Disco") -> Names:
    return ((it.node, it.state) for it in disco.members())


def _nodes_and_instances(disco: "Disco") -> Names:
    yield from _nodes(disco)
    yield from _instances(disco)


def _topics(disco: "Disco") -> Names:
    return ((it["topic"], f"{it['keys']} there") for it in disco.presence())


KINDS: Mapping[str, Callable[["Disco"], Names]] = {
    "services": _services,
    "instances": _instances,
    "own instances": _own_instances,
    "nodes": _nodes,
    "topics": _topics,
    "nodes and instances": _nodes_and_instances,
}
