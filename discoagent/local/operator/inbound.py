"""Which peers' connections come in, as the kernel says; what does not come nobody else tells us.

Each peer keeps a connection to both of an agent's ports. A peer may come from another address than
the one that it advertises, so nobody is missed while anybody unknown is connected.
"""

import ipaddress
import sys
from collections.abc import Collection
from pathlib import Path

from discoagent.endpoints import is_literal, parse

ESTABLISHED = "01"  # include/net/tcp_states.h
TABLES = ("/proc/self/net/tcp", "/proc/self/net/tcp6")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def missed(peers: Collection[str], port: int) -> set[str]:
    """Return those of the peers' endpoints from which no connection comes in at a port of ours."""
    connected = connected_at(port)
    by_address = {
        _plain(ipaddress.ip_address(host.partition("%")[0])): endpoint
        for endpoint in peers
        if is_literal(host := parse(endpoint).host)
    }
    if connected - by_address.keys():
        return set()
    return {by_address[address] for address in by_address.keys() - connected}


def connected_at(port: int) -> set[Address]:
    """Return the addresses from which there are connections to a port of this host."""
    found = set()
    for table in TABLES:
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, remote, state = line.split(None, 4)[:4]
            if state == ESTABLISHED and int(local.rpartition(":")[2], 16) == port:
                found.add(_read(remote.partition(":")[0]))
    return found


def _read(text: str) -> Address:
    """Read an address as proc(5) has it: words of 32 bits, each in the machine's order."""
    raw = bytes.fromhex(text)
    words = (raw[at : at + 4] for at in range(0, len(raw), 4))
    return _plain(ipaddress.ip_address(b"".join(_native(word) for word in words)))


def _native(word: bytes) -> bytes:
    return int.from_bytes(word, "big").to_bytes(4, sys.byteorder)


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
