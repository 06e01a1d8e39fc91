"""The log's two formats: one record, one line, whoever wrote what is in it."""

import json
import logging

import pytest

from discoagent.logs import JsonFormatter, TextFormatter


def record(level: int, message: str, *values: object) -> logging.LogRecord:
    """Return a record made at 1 s after the epoch."""
    made = logging.LogRecord("discoagent", level, "file.py", 1, message, values, None)
    made.created = 1.25
    return made


@pytest.mark.parametrize(
    ("level", "line"),
    [
        (logging.DEBUG, "ready node=a"),
        (logging.INFO, "ready node=a"),
        (logging.WARNING, "warning: ready node=a"),
        (logging.ERROR, "error: ready node=a"),
    ],
)
def test_text_is_the_message_with_its_level_if_it_is_grave(level: int, line: str) -> None:
    """Information stands alone, so that a program finds the ready line."""
    assert TextFormatter().format(record(level, "ready node=%s", "a")) == line


def test_nobody_writes_a_line_of_ours() -> None:
    """Control characters out of a peer's mouth are escaped."""
    said = record(logging.INFO, "refused: %s", "no\nready node=evil\x1b[2J\x7f")

    assert TextFormatter().format(said) == r"refused: no\x0aready node=evil\x1b[2J\x7f"
    assert "\n" not in JsonFormatter().format(said)


def test_json_has_time_level_and_message() -> None:
    """In UTC with milliseconds."""
    assert json.loads(JsonFormatter().format(record(logging.WARNING, "who is „%s“", "ä"))) == {
        "at": "1970-01-01T00:00:01.250Z",
        "level": "warning",
        "message": "who is „ä“",
    }


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_an_exception_is_told_whole(formatter: logging.Formatter) -> None:
    """With its traceback: in lines of its own as text, as one field in JSON."""
    said = record(logging.ERROR, "broken")
    try:
        _ = 1 / 0
    except ZeroDivisionError as error:
        said.exc_info = (type(error), error, error.__traceback__)

    assert "ZeroDivisionError: division by zero" in formatter.format(said)
