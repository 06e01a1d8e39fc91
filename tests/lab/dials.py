"""Counting the connections that a host tries to make: its own kernel's rules do it.

A try is a SYN from a port of its own, so a SYN that is sent again is none.
"""

import json
from collections import Counter

from tests.lab.cluster import PORT
from tests.lab.netlab import NetLab

TABLE = f"""
table ip dials
delete table ip dials
table ip dials {{
    set tries {{
        type ipv4_addr . inet_service; flags dynamic; size 65535
    }}
    chain out {{
        type filter hook output priority 0
        tcp dport {PORT} tcp flags & (syn | ack) == syn add @tries {{ ip daddr . tcp sport }}
    }}
}}
"""


def begin_to_count(lab: NetLab, host: int) -> None:
    """Count from now on, and from 0."""
    lab.run(host, ["nft", "-f", "-"], TABLE)


def counted(lab: NetLab, host: int) -> Counter[str]:
    """Return how many connections the host tried to make to each address's agent."""
    listed = json.loads(lab.run(host, ["nft", "-j", "list", "set", "ip", "dials", "tries"]))
    (tries,) = [it["set"] for it in listed["nftables"] if "set" in it]
    return Counter(element["concat"][0] for element in tries.get("elem", []))
