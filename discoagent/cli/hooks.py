"""What `watch` does beside printing events: a command for them, a file for their token."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from discoagent.cli.child import Child, NotStartedError, Signals
from discoagent.cli.command import usage
from discoagent.cli.output import dump, talk
from discoagent.errors import DiscoError

if TYPE_CHECKING:
    from discoagent.client.watch import Following
    from discoagent.presence import AnyEvent

GATHER_SECONDS = 0.02  # that events which come together are given to do so

E = TypeVar("E", bound="AnyEvent")


class TokenFile:
    """A file that holds the token of the last event that was dealt with."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._saved: str | None = None
        if not os.access(self._path.absolute().parent, os.W_OK | os.X_OK) or self._path.is_dir():
            usage(f"--save-token: no file can be written at {path}", "save-token")

    def save(self, token: str | None) -> None:
        """Replace the file by rename: whoever reads it finds this token or the one before."""
        if token is None or token == self._saved:
            return
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            new.write_text(f"{token}\n", encoding="ascii")
            new.replace(self._path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise DiscoError(f"--save-token: cannot write {self._path}: {error}") from error
        self._saved = token


class Hook:
    """A command that is run with events on its stdin. The kernel ends it when this process ends."""

    def __init__(self, command: Sequence[str], *, quiet: bool) -> None:
        self._command = command
        self._quiet = quiet
        self._token: str | None = None

    def run(self, events: "Sequence[AnyEvent]") -> bool:
        """Run it to its end; did it succeed? If not, a line on stderr says so."""
        tokens = (event.token for event in reversed(events))
        self._token = next(filter(None, tokens), self._token)
        known = {} if self._token is None else {"DISCO_TOKEN": self._token}
        lines = "".join(f"{dump(event.to_json())}\n" for event in events)
        try:
            failure = self._attend({**os.environ, **known}, lines)
        except NotStartedError as error:
            failure = str(error)
        if failure is not None:
            talk(failure, quiet=self._quiet)
        return failure is None

    def _attend(self, env: dict[str, str], lines: str) -> str | None:
        """Return how it failed, if it did. A file holds its stdin, so it may leave that unread."""
        with Signals(()) as signals, os.fdopen(os.memfd_create("events"), "w+b") as stdin:
            stdin.write(lines.encode())
            stdin.seek(0)
            child = Child(self._command, signals, env=env, stdin=stdin.fileno())
            ending = child.attend(signals, lambda: None)
        if not ending.code:
            return None
        return f"{self._command[0]} failed: {ending.cause}, for {lines.count(chr(10))} events"


def batches(watch: "Following[E]") -> Iterator[list[E]]:
    """Yield all up to `synced`, then again and again what came since."""
    batch: list[E] = []
    synced = False
    for first in watch:
        batch.append(first)
        until = time.monotonic() + GATHER_SECONDS
        while synced and (more := watch.poll(max(until - time.monotonic(), 0))) is not None:
            batch.append(more)
        synced = synced or first.kind == "synced"
        if synced:
            yield batch
            batch = []
