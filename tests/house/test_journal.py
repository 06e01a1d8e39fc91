"""What systemd's journal is sent: a real datagram socket stands for it."""

import logging
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from discoagent import logs
from discoagent.logs import journal
from discoagent.logs.journal import JournalHandler


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[socket.socket]:
    """The other end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "journal"))
        receiver.settimeout(10)
        yield receiver


@pytest.fixture
def log(inbox: socket.socket) -> Iterator[logging.Logger]:
    """A logger that writes there and nowhere else."""
    logger = logging.getLogger("tests.journal")
    logger.setLevel(logging.DEBUG)
    handler = JournalHandler(inbox.getsockname())
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    handler.close()


def read(raw: bytes) -> dict[str, str]:
    """Read a datagram as the journal does."""
    found = {}
    while raw:
        line, _, raw = raw.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack_from("<Q", raw)
            value, raw = raw[8 : 8 + size], raw[8 + size + 1 :]
        found[name.decode()] = value.decode()
    return found


@pytest.mark.parametrize(
    ("level", "number"),
    [(logging.DEBUG, "7"), (logging.INFO, "6"), (logging.WARNING, "4"), (logging.ERROR, "3")],
)
def test_a_record_with_its_priority_and_fields(
    inbox: socket.socket, log: logging.Logger, level: int, number: str
) -> None:
    """Levels are syslog's, what a message is about has a field of its own."""
    log.log(level, "node %s: down", "b", extra={"fields": {"peer": "b"}})
    fields = read(inbox.recv(65536))
    assert fields["MESSAGE"] == "node b: down"
    assert fields["PRIORITY"] == number
    assert fields["SYSLOG_IDENTIFIER"] == "discoagent"
    assert fields["DISCOAGENT_PEER"] == "b"


def test_several_lines(inbox: socket.socket, log: logging.Logger) -> None:
    """A traceback is one record; so is what a peer wrote with line breaks."""
    try:
        int("broken")
    except ValueError:
        log.exception("no\nPRIORITY=0")
    fields = read(inbox.recv(65536))
    assert fields["PRIORITY"] == "3"
    assert fields["MESSAGE"].startswith("no\nPRIORITY=0\nTraceback ")
    assert fields["MESSAGE"].endswith("with base 10: 'broken'")


def test_a_journal_that_went_away(
    inbox: socket.socket, log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is lost: stderr has it, with the priority in front (sd-daemon(3))."""
    inbox.close()
    log.warning("still here")
    assert capsys.readouterr().err == "<4>still here\n"


def test_without_any_journal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was asked for and is not there is said, and the log goes to stderr."""
    monkeypatch.setattr(JournalHandler.__init__, "__defaults__", (str(tmp_path / "none"),))
    handlers = logging.getLogger().handlers
    try:
        logs.set_up("info", "journal")
        logging.getLogger("discoagent").info("on stderr")
    finally:
        logging.getLogger().handlers = handlers
    assert "on stderr\n" in capsys.readouterr().err


def test_where_stderr_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """JOURNAL_STREAM alone does not tell: it is inherited by whoever redirects stderr."""
    with (tmp_path / "stderr").open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        here = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{here.st_dev}:{here.st_ino}")
        assert journal.connected()
        monkeypatch.setenv("JOURNAL_STREAM", f"{here.st_dev}:{here.st_ino + 1}")
        assert not journal.connected()
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not journal.connected()
