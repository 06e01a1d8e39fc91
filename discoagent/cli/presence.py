"""Who is there: `presence`, and what one says of oneself: `track retrack untrack`."""

import os
from typing import TYPE_CHECKING

import click

from discoagent import presence_rules  # pure: the agent's own rules, in its own words
from discoagent.cli import output
from discoagent.cli.child import PASSED_ON, Signals
from discoagent.cli.command import DURATION, PAIR, Session, completes, finish, merged, usage, verb
from discoagent.cli.entry import Register, Tell, attended
from discoagent.cli.output import Printer
from discoagent.cli.presence_views import KEYS, METAS, TOPICS
from discoagent.presence import Tracked, by_key

if TYPE_CHECKING:
    from discoagent.client import Disco

Pairs = tuple[tuple[str, str], ...]


@verb("presence", example="discoctl presence\ndiscoctl presence room:1 -o json")
@click.argument("topic", required=False, metavar="[TOPIC]", shell_complete=completes("topics"))
def presence(session: Session, topic: str | None) -> int:
    """Show who is there: the topics, or the keys of one.

    Topics with counts, or the keys of a TOPIC with their metas. A key has as many metas as were
    tracked, on any node. With a TOPIC the exit code is 1 when nobody is there.
    """
    printer = session.printer(output.NAMED)
    with session.disco() as disco:
        if topic is None:
            printer.many(disco.presence(), TOPICS)
            return finish(printer, disco)
        metas = disco.tracked(topic)
        _print_metas(printer, metas)
        return finish(printer, disco, 0 if metas else 1)


def _print_metas(printer: Printer, metas: list[Tracked]) -> None:
    keys = by_key(metas)
    match printer.format:
        case "json":
            printer.value(keys, ())
        case "jsonl" | "name":
            printer.many([{key: held} for key, held in keys.items()], KEYS)
        case _:
            printer.many(metas, METAS)


@verb(
    "track",
    takes_command="[-- CMD...]",
    example="discoctl track room:1 alice --meta device=tv --pid $$\n"
    "discoctl track room:1 bob --ttl 30s\n"
    "discoctl track room:1 carol --meta device=phone -- ssh carol@phone",
)
@click.argument("topic", shell_complete=completes("topics"))
@click.argument("key")
@click.option("--meta", type=PAIR, multiple=True, help="A pair; repeated: several.")
@click.option("--pid", type=click.IntRange(1), metavar="P", help="Ends with this process.")
@click.option("--ttl", type=DURATION, help="A lease: ends unless retracked within this time.")
@click.option("--static", is_flag=True, help="Until it is untracked.")
@click.option(
    "--require", is_flag=True, help="Do not start CMD when the agent is not reachable: 3."
)
@click.pass_context
def track(
    ctx: click.Context,
    /,
    session: Session,
    *,
    topic: str,
    key: str,
    meta: Pairs,
    pid: int | None,
    ttl: float | None,
    static: bool,
    require: bool,
) -> int:
    """Say that a key of a topic is here, and print the ref.

    What ends it is said with exactly one of --pid, --ttl and --static; or with CMD, which is run as
    `discoctl run` does it: tracked exactly as long as it runs, with its exit code, and nothing of
    ours on its output. Each call adds a meta to the key, and takes nothing from others.
    """
    command = ctx.meta["command"]
    ends = (pid is not None) + (ttl is not None) + static
    if command is None:
        if ends != 1:
            usage("say what ends it: exactly one of --pid, --ttl, --static and -- CMD", "lifetime")
        if require:
            usage("--require is for a CMD", "require")
        printer = session.printer(output.NAMED)
        with session.disco() as disco:
            made = disco.track(
                topic, key, merged(meta), pid=pid, ttl=ttl, static=static, hold=False
            )
            _print_changed(printer, made.tracked)
        return 0
    if ends:
        usage("CMD ends it: --pid, --ttl and --static do not go with it", "lifetime")
    if not command:
        usage("give the command to run after --: discoctl track TOPIC KEY -- CMD...", "command")
    return _run(session, command, topic, key, merged(meta), require=require)


def _run(
    session: Session,
    command: tuple[str, ...],
    topic: str,
    key: str,
    meta: dict[str, str],
    *,
    require: bool,
) -> int:
    presence_rules.topic(topic, "topic")
    presence_rules.topic(key, "key")
    presence_rules.meta(meta, "meta")
    with Signals(PASSED_ON) as signals, session.disco() as disco:
        if require:
            disco.ping()
        register = _as_meta(disco, topic, key, meta)
        return attended(command, signals, register, quiet=session.quiet)


def _as_meta(disco: "Disco", topic: str, key: str, meta: dict[str, str]) -> Register:
    """Return what tracks a child."""

    def register(pid: int) -> Tell:
        name = disco.track(topic, key, meta, pid=pid, wrapper=os.getpid()).tracked.id
        return lambda cause: disco.untrack(topic, name, cause)

    return register


@verb(
    "retrack",
    example="ref=$(discoctl track room:1 bob --ttl 30s)\n"
    "while sleep 10; do discoctl retrack room:1 $ref -q; done\n"
    "ref=$(discoctl retrack room:1 $ref --meta device=tv)",
)
@click.argument("topic", shell_complete=completes("topics"))
@click.argument("ref")
@click.option("--meta", type=PAIR, multiple=True, help="A pair; repeated: several.")
def retrack(session: Session, *, topic: str, ref: str, meta: Pairs) -> int:
    """Change a meta of this node, or renew its lease.

    What is given is the whole of it from now on, and its lease has its whole time anew. Without
    --meta the lease alone is renewed. Prints the ref, which is another after a change.
    """
    printer = session.printer(output.NAMED)
    with session.disco() as disco:
        _print_changed(printer, disco.retrack(topic, ref, merged(meta) if meta else None))
        return 0


@verb("untrack", example="discoctl untrack room:1 $ref")
@click.argument("topic", shell_complete=completes("topics"))
@click.argument("ref")
def untrack(session: Session, *, topic: str, ref: str) -> int:
    """End a meta of this node; it does not come back."""
    printer = session.printer(output.NAMED)
    with session.disco() as disco:
        _print_changed(printer, disco.untrack(topic, ref))
        return 0


def _print_changed(printer: Printer, it: Tracked) -> None:
    """Print the ref, unless another format was asked for."""
    if printer.format == "table":
        printer.line(it.ref)
    else:
        printer.one(it, METAS)
