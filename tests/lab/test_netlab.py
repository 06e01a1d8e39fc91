"""The lab itself: what each fault does to datagrams, and that nothing of it is left."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.netlab import ROOT, NetLab
from tests.lab.waiting import until

pytestmark = pytest.mark.lab

Pair = tuple[int, int]
EVERY_PAIR = list(itertools.permutations((1, 2, 3), 2))

ABOUT_THREE = {(1, 3), (3, 1), (2, 3), (3, 2)}
FAULTS: dict[str, tuple[Callable[[NetLab], None], set[Pair]]] = {
    "none": (lambda lab: lab.heal(), set()),
    "cut": (lambda lab: lab.cut(1, 2), {(1, 2), (2, 1)}),
    "cut one way": (lambda lab: lab.cut(1, 2, one_way=True), {(1, 2)}),
    "split": (lambda lab: lab.split({1, 2}, {3}), ABOUT_THREE),
    "split, one alone": (lambda lab: lab.split({1, 2}), ABOUT_THREE),
    "isolate": (lambda lab: lab.isolate(3), ABOUT_THREE),
    "loss": (lambda lab: lab.loss(100), set(EVERY_PAIR)),
    "loss from": (lambda lab: lab.loss(100, 2), {(2, 1), (2, 3)}),
    "loss between": (lambda lab: lab.loss(100, 2, 3), {(2, 3)}),
}

# Counts what comes before the end mark: the frames of one sender keep their order on the way.
HEAR = """
import socket, sys
ear = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
ear.bind(("::", int(sys.argv[1])))
print("up", flush=True)
count = 0
while (word := ear.recv(9)) != b"end":
    if word == b"first":
        print("first", flush=True)
    count += word == b"x"
print(count, flush=True)
"""
SAY = """
import socket, sys
address, port, word, count = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as mouth:
    for _ in range(int(count)):
        mouth.sendto(word.encode(), (address, int(port)))
"""
ECHO = """
import socket
with socket.create_server(("", 10)) as door:
    print("up", flush=True)
    caller, _ = door.accept()
    with caller:
        caller.send(caller.recv(1))
"""
ROUND_TRIP = """
import socket, sys, time
with socket.create_connection((sys.argv[1], 10)) as asked:
    begin = time.monotonic()
    asked.send(b"x")
    asked.recv(1)
    print(time.monotonic() - begin)
"""


@pytest.fixture
def lab() -> Iterator[NetLab]:
    """Three hosts."""
    with NetLab(3) as lab:
        yield lab


class Ear:
    """Counts the datagrams that one host gets from another."""

    def __init__(self, lab: NetLab, pair: Pair, address: str) -> None:
        self._lab = lab
        self._sender, hearer = pair
        self._to = [address, str(9000 + self._sender)]
        argv = [sys.executable, "-c", HEAR, self._to[1]]
        self._process = lab.popen(hearer, argv, stdout=subprocess.PIPE, text=True)
        assert self._line() == "up"
        self.say("first")
        assert self._line() == "first"  # each knows the other's hardware address from now on

    def say(self, word: str, count: int = 1) -> None:
        """Send datagrams."""
        self._lab.run(self._sender, [sys.executable, "-c", SAY, *self._to, word, str(count)])

    def total(self) -> int:
        """Return how many datagrams came, up to now; the network is whole."""
        self.say("end")
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return str(self._process.stdout.readline()).strip()


def arrivals(
    lab: NetLab, pairs: list[Pair], fault: Callable[[], None], count: int = 1
) -> dict[Pair, int]:
    """Return how many of `count` datagrams arrive between each pair during a fault; heal it."""
    ears = {pair: Ear(lab, pair, lab.ipv4(pair[1])) for pair in pairs}
    fault()
    for ear in ears.values():
        ear.say("x", count)
    lab.heal()
    return {pair: ear.total() for pair, ear in ears.items()}


def through(arrived: dict[Pair, int]) -> set[Pair]:
    """Return the pairs where anything arrived."""
    return {pair for pair, count in arrived.items() if count}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_drops_what_it_says(lab: NetLab, name: str) -> None:
    """And nothing else; afterwards the network is whole."""
    fault, lost = FAULTS[name]
    arrived = through(arrivals(lab, EVERY_PAIR, lambda: fault(lab)))

    assert arrived == set(EVERY_PAIR) - lost


def test_loss_is_random(lab: NetLab) -> None:
    """About the share that was asked for, and only where."""
    arrived = arrivals(lab, [(1, 2), (2, 1)], lambda: lab.loss(30, 1, 2), count=300)

    assert 150 < arrived[1, 2] < 270
    assert arrived[2, 1] == 300


def test_a_pulled_cable(lab: NetLab) -> None:
    """The host itself sees it, another does not; plugged in again it carries."""
    lab.link(3, up=False)

    assert "NO-CARRIER" in lab.run(3, ["ip", "link", "show", "eth0"])
    assert "NO-CARRIER" not in lab.run(1, ["ip", "link", "show", "eth0"])

    lab.link(3, up=True)

    assert through(arrivals(lab, EVERY_PAIR, lab.heal)) == set(EVERY_PAIR)


def test_ipv6(lab: NetLab) -> None:
    """Hosts reach each other by IPv6, and cuts hold there too."""
    ears = [Ear(lab, pair, lab.ipv6(pair[1])) for pair in ((1, 2), (3, 2))]
    lab.cut(1, 2)
    for ear in ears:
        ear.say("x")
    lab.heal()

    assert [ear.total() for ear in ears] == [0, 1]


def test_delay(lab: NetLab) -> None:
    """Each way takes so much longer at least, and can be changed."""
    for milliseconds in (25, 40):
        lab.delay(2, milliseconds)
        echo = lab.popen(2, [sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True)
        assert echo.stdout is not None
        echo.stdout.readline()
        took = float(lab.run(1, [sys.executable, "-c", ROUND_TRIP, lab.ipv4(2)]))
        echo.wait()

        assert took >= 2 * milliseconds / 1000


def test_a_host_is_a_place_of_its_own(lab: NetLab) -> None:
    """Its name, its private directory, the names that it can resolve."""
    lab.name_addresses(1, [(lab.ipv4(2), "other"), (lab.ipv6(2), "other")])
    lab.name_addresses(1, [(lab.ipv4(3), "other")])
    Path(lab.path(1, "/run/mine")).touch()

    assert lab.run(2, ["hostname"]) == "h2\n"
    assert "mine" in lab.run(1, ["ls", "/run"]).split()
    assert "mine" not in lab.run(2, ["ls", "/run"]).split()
    assert lab.run(1, ["getent", "ahosts", "other"]).split()[0] == lab.ipv4(3)


def test_nothing_is_left_when_the_test_is_killed() -> None:
    """Neither processes nor namespaces, nor a link on the machine."""
    links = os.listdir("/sys/class/net")
    script = (
        "import os\nfrom tests.lab.netlab import NetLab\n"
        "with NetLab(2) as lab:\n"
        "    lab.popen(1, ['cat']); lab.delay(2, 1)\n"
        "    print(*(os.readlink(lab.path(n, '')[:-5] + '/ns/net') for n in (0, 1, 2)))\n"
        "    print('up', flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        spaces = set(process.stdout.readline().split())
        assert process.stdout.readline() == "up\n"
        assert len(spaces & namespaces_in_use()) == 3
        process.send_signal(signal.SIGKILL)

    until(lambda: not spaces & namespaces_in_use(), "the lab's namespaces to go")

    assert os.listdir("/sys/class/net") == links


def namespaces_in_use() -> set[str]:
    """Return the network namespaces of all processes."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(os.readlink(link))
        except OSError:  # it ended meanwhile
            continue
    return found
