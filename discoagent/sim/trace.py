"""What happened, twice: as a hash that two runs of one seed share, and as lines for a reader."""

import hashlib
from collections import deque
from collections.abc import Callable

from discoagent.sim.words import in_words

TAIL_LINES = 400
STEPS = 10_000  # between two words on how far it is

Progress = Callable[[float, int], None]
"""Hears of the virtual time and the steps until now."""


class Trace:
    """Folds every step into a SHA-256, and keeps the last lines; `echo` gets each line as it is
    written, `progress` a word now and then.
    """

    def __init__(
        self, echo: Callable[[str], None] | None = None, progress: Progress | None = None
    ) -> None:
        self._hash = hashlib.sha256()
        self._lines: deque[tuple[float, str, object]] = deque(maxlen=TAIL_LINES)
        self._echo = echo
        self._progress = progress
        self.steps = 0

    def fold(self, when: float, node: str, what: bytes) -> None:
        """Count a step into the hash."""
        self.steps += 1
        self._hash.update(b"%a %a %a\n" % (when, node, what))
        if self._progress is not None and self.steps % STEPS == 0:
            self._progress(when, self.steps)

    def say(self, when: float, node: str, what: object) -> None:
        """Keep a line; it is put into words only if somebody reads it."""
        self._lines.append((when, node, what))
        if self._echo is not None:
            self._echo(_line(when, node, what))

    def digest(self) -> str:
        """Return the hash of all steps until now, in hexadecimal."""
        return self._hash.hexdigest()

    def tail(self, lines: int) -> list[str]:
        """Return the last lines, oldest first."""
        return [_line(*line) for line in list(self._lines)[-lines:]]


def _line(when: float, node: str, what: object) -> str:
    return f"{when:9.3f} {node:<4} {in_words(what)}"
