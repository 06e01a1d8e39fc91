"""What the service manager is told, and when; a socket stands for it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from discoagent.daemon.systemd import STATUS_INTERVAL, Manager, address, message, watchdog_limit
from tests.house.notified import Listener

US = 1_000_000


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """A manager that listens."""
    listener = Listener(str(tmp_path / "notify"))
    yield listener
    listener.close()


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_where_notifications_go() -> None:
    """A path, an abstract name, nowhere."""
    assert address({"NOTIFY_SOCKET": "/run/x"}) == "/run/x"
    assert address({"NOTIFY_SOCKET": "@x"}) == "\0x"
    assert address({}) is None
    assert address({"NOTIFY_SOCKET": ""}) is None
    assert address({"NOTIFY_SOCKET": "vsock:2:1"}) is None


@pytest.mark.parametrize(
    ("environ", "limit"),
    [
        ({"WATCHDOG_USEC": "8000000"}, 8.0),
        ({"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": "7"}, 8.0),
        ({"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_how_long_the_watchdog_waits(environ: dict[str, str], limit: float | None) -> None:
    """For this process alone, and only if it waits at all."""
    assert watchdog_limit(environ, 7) == limit


def test_a_message_is_a_line_each() -> None:
    """A value cannot pretend to be another line."""
    assert (
        message({"READY": "1", "STATUS": "3 nodes\nREADY=0"}) == b"READY=1\nSTATUS=3 nodes READY=0"
    )


@pytest.mark.parametrize("abstract", [False, True])
def test_a_life_as_it_is_told(tmp_path: Path, abstract: bool) -> None:
    """Ready, reloaded, stopping, each with its words."""
    listener = Listener(f"@disco-{os.getpid()}" if abstract else str(tmp_path / "notify"))
    manager = Manager({"NOTIFY_SOCKET": listener.path}, Clock())
    manager.ready("alone")
    manager.reloading()
    manager.ready("alone")
    manager.stopping("held by the peers")

    assert listener.heard() == [
        "READY=1\nSTATUS=alone",
        f"RELOADING=1\nMONOTONIC_USEC={100 * US}",
        "READY=1\nSTATUS=alone",
        "STOPPING=1\nSTATUS=held by the peers",
    ]
    listener.close()


def test_the_watchdog_is_fed_by_ticks(listener: Listener) -> None:
    """Three times in what it allows; without a tick it hears nothing."""
    clock = Clock()
    environ = {"NOTIFY_SOCKET": listener.path, "WATCHDOG_USEC": str(6 * US)}
    manager = Manager(environ, clock)
    manager.ready("up")
    listener.heard()
    heard = []
    for _ in range(24):
        manager.tick(lambda: "up")
        heard += listener.heard()
        clock.now += 0.25

    assert heard == ["WATCHDOG=1"] * 3


def test_a_status_is_said_when_it_changes(listener: Listener) -> None:
    """And looked at now and then: it costs a count of everything."""
    clock, looks = Clock(), list[float]()
    manager = Manager({"NOTIFY_SOCKET": listener.path}, clock)

    def status() -> str:
        looks.append(clock.now)
        return f"{len(looks) // 2} nodes"

    for _ in range(4 * 4):
        manager.tick(status)
        clock.now += STATUS_INTERVAL / 4

    assert len(looks) == 4
    assert listener.heard() == ["STATUS=0 nodes", "STATUS=1 nodes", "STATUS=2 nodes"]


def test_what_finds_no_room_is_said_again(listener: Listener) -> None:
    """The manager may be busy; the loop does not wait for it."""
    clock = Clock()
    environ = {"NOTIFY_SOCKET": listener.path, "WATCHDOG_USEC": str(6 * US)}
    manager = Manager(environ, clock)
    for _ in range(1_000):  # more than a socket holds
        manager.stopping("")
    manager.tick(lambda: "up")
    held = listener.heard()
    assert len(held) < 1_000
    assert set(held) == {"STOPPING=1\nSTATUS="}

    clock.now += 0.25
    manager.tick(lambda: "up")
    assert listener.heard() == ["WATCHDOG=1"]
    clock.now += STATUS_INTERVAL
    manager.tick(lambda: "up")
    assert "STATUS=up" in listener.heard()[0]


def test_without_a_manager_nothing_is_looked_at(tmp_path: Path) -> None:
    """Nor is anything wrong with one that is gone."""
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1"}):
        manager = Manager(dict(environ))
        manager.ready("up")
        manager.tick(lambda: "up")
        manager.stopping("")

    def never() -> str:
        raise AssertionError("nobody asked")

    Manager({}).tick(never)


def test_it_is_not_for_the_children(listener: Listener) -> None:
    """What is taken out of the environment cannot be inherited."""
    environ = {"NOTIFY_SOCKET": listener.path, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "A": "b"}
    Manager(environ)

    assert environ == {"A": "b"}
