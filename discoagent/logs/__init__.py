"""The agent's log: one record, one line, as text, as JSON, or to systemd's journal.

Text has no times, for whoever reads it live knows them; information is the bare message
(`ready node=... socket=... bind=...`), anything graver has its level in front. JSON has `at`,
`level` and `message`, the fields that a message is about (`peer`, `state`), and `error` where there
was an exception. The journal gets the same with its own priorities (`journal.py`).

Besides, any number of *monitors* may listen, each at its own level.
"""

import json
import logging
import sys
from collections.abc import Callable

from discoagent.instance import rfc3339
from discoagent.logs import journal

_LOGGER = logging.getLogger("discoagent")
# What a peer or a client wrote must not look like a line of ours.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), 127)}


class TextFormatter(logging.Formatter):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, with its level in front if it is a warning or worse."""
        message = record.getMessage().translate(_ESCAPES)
        if record.levelno >= logging.WARNING:
            message = f"{record.levelname.lower()}: {message}"
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        return message


class JsonFormatter(logging.Formatter):
    """A line for programs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON object."""
        line = {
            "at": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class Monitor(logging.Handler):
    """Someone who listens to the log: `take` gets milliseconds since the epoch, level, message."""

    def __init__(self, level: str, take: Callable[[int, str, str], None]) -> None:
        super().__init__(level.upper())
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record over."""
        self._take(int(record.created * 1000), record.levelname.lower(), self.format(record))


def set_up(level: str, form: str | None = None) -> None:
    """Send all that is logged in this process to stderr (`text`, `json`) or to the `journal`.

    None: to the journal if that is where stderr goes, else to stderr as text; so, too, if there is
    no journal.
    """
    handler = _handler(form)
    logging.getLogger().handlers = [
        handler
    ]  # the root's: what asyncio has to say comes the same way
    set_level(level)


def _handler(form: str | None) -> logging.Handler:
    if form == "journal" or (form is None and journal.connected()):
        try:
            return journal.JournalHandler()
        except OSError as error:
            _LOGGER.warning("no journal to log to (%s): logging to stderr", error)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    return handler


def current_level() -> str:
    """Return the level at which the log is written."""
    return logging.getLevelName(_written().level or logging.INFO).lower()


def set_level(level: str) -> None:
    """Write what is at least as grave as `level`: debug, info, warning or error."""
    _written().setLevel(level.upper())
    _listen()


def changed(level: str | None) -> str:
    """Set the level, if one is named, and say so; return the one that holds now."""
    if level is not None:
        set_level(level)
        _LOGGER.warning("the log's level is %s now", level)
    return current_level()


def listen(level: str, take: Callable[[int, str, str], None]) -> Callable[[], None]:
    """Let `take` have each record of at least this level; return what ends that."""
    monitor = Monitor(level, take)
    logging.getLogger().addHandler(monitor)
    _listen()

    def stop() -> None:
        logging.getLogger().removeHandler(monitor)
        _listen()

    return stop


def _written() -> logging.Handler:
    """Return what writes the log: the first handler; the others are monitors."""
    handlers = logging.getLogger().handlers
    if not handlers:
        set_up("info", "text")
    return logging.getLogger().handlers[0]


def _listen() -> None:
    """Make records of what somebody wants, and of nothing else: debugging costs."""
    _LOGGER.setLevel(min(handler.level for handler in logging.getLogger().handlers))
