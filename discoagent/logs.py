"""The agent's log: one record, one line on stderr, as text or as JSON.

Text has no times, for systemd's journal and its like write their own; information is the bare
message (`ready node=... socket=... bind=...`), anything graver has its level in front. JSON has
`at`, `level` and `message`, and `error` where there was an exception.
"""

import json
import logging
import sys

from discoagent.instance import rfc3339

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
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(level: str, form: str) -> None:
    """Send everything that is logged in this process to stderr, as `form` (`text` or `json`)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.getLogger().handlers = [
        handler
    ]  # the root's: what asyncio has to say comes the same way
    set_level(level)


def set_level(level: str) -> None:
    """Log what is at least as grave as `level`: debug, info, warning or error."""
    _LOGGER.setLevel(level.upper())
