"""On which ports a process listens, its children included, as the kernel says.

A socket is found by its inode: the process's descriptors name the inodes, the tables of its network
namespace name the ports.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from discoagent.local.host import capabilities

LISTEN, UNCONNECTED = "0A", "07"
TABLES = {"tcp": LISTEN, "tcp6": LISTEN, "udp": UNCONNECTED, "udp6": UNCONNECTED}
PROC = Path("/proc")


class Listening:
    """What a process and its children listen on: TCP ports, and UDP ports that are bound."""

    def __init__(self, tcp: frozenset[int], udp: frozenset[int]) -> None:
        self.tcp = tcp
        self.udp = udp

    def on(self, port: int) -> bool:
        """Is it this port?"""
        return port in self.tcp or port in self.udp


def look(pid: int, port: int) -> Listening:
    """Look at a process, and no longer than it takes to find this port; where it is not found, all
    there is was seen. Raises PermissionError where we may not.

    The kernel takes some 10 ms for a table, however little is in it.
    """
    own = _found(pid, _sockets_of((pid,)), port)
    if own.on(port):
        return own
    children = _found(pid, _sockets_of(_descendants(pid)), port)
    return Listening(own.tcp | children.tcp, own.udp | children.udp)


def _found(pid: int, inodes: set[str], port: int) -> Listening:
    """Return the ports of these sockets, as far as the table that has the wanted one."""
    found: dict[str, set[int]] = {"tcp": set(), "udp": set()}
    for table, state in TABLES.items() if inodes else ():
        ports = {each for inode, each in _rows(pid, table, state) if inode in inodes}
        found[table[:3]] |= ports
        if port in ports:
            break
    return Listening(frozenset(found["tcp"]), frozenset(found["udp"]))


def _sockets_of(pids: Iterable[int]) -> set[str]:
    """Return the inodes of the sockets of processes, each looked at as its own user."""
    inodes: set[str] = set()
    for each in pids:
        with capabilities.looking_as(_user(each)):
            inodes.update(_sockets(each))
    return inodes


def _user(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:  # it has ended
        return os.geteuid()


def _sockets(pid: int) -> Iterator[str]:
    """Return the inodes of a process's sockets."""
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _rows(pid: int, table: str, state: str) -> Iterator[tuple[str, int]]:
    """Return inode and port of each socket of a table that is in this state."""
    try:
        lines = (PROC / str(pid) / "net" / table).read_text(encoding="ascii").splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return
    for line in lines:
        fields = line.split()
        if fields[3] == state:
            yield fields[9], int(fields[1].rpartition(":")[2], 16)


def _descendants(pid: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir(PROC):
        if name.isdigit():
            parent = _parent(int(name))
            if parent is not None:
                children.setdefault(parent, []).append(int(name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _parent(pid: int) -> int | None:
    try:
        stat = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    return int(stat[stat.rindex(b")") + 2 :].split(None, 2)[1])
