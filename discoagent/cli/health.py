"""The commands about the state of this node's instances: `ttl`."""

import click

from discoagent.cli import output
from discoagent.cli.command import Session, completes, verb


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
