"""A wire with delay between two links, for kernels without netem: relay.py LINK_A LINK_B MS.

Copies frames both ways through packet sockets, in order, each MS milliseconds late. The sockets
carry virtio headers, so that offloaded checksums survive.
"""

import contextlib
import select
import socket
import sys
import time
from collections import deque

SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
ETH_P_ALL = 3
FRAME_BYTES_MAX = 1 << 17


def port(link: str) -> socket.socket:
    """Open one end of the wire."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    opened.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    opened.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    opened.bind((link, 0))
    opened.setblocking(False)
    return opened


def relay(link_a: str, link_b: str, delay: float) -> None:
    """Carry frames until killed; `delay` is in seconds."""
    a, b = port(link_a), port(link_b)
    other = {a: b, b: a}
    waiting: dict[socket.socket, deque[tuple[float, bytes]]] = {a: deque(), b: deque()}
    print("up", flush=True)
    while True:
        due = min((frames[0][0] for frames in waiting.values() if frames), default=None)
        pause = None if due is None else max(0.0, due - time.monotonic())
        readable, _, _ = select.select([a, b], [], [], pause)
        now = time.monotonic()
        for source in readable:
            waiting[source].append((now + delay, source.recv(FRAME_BYTES_MAX)))
        for source, frames in waiting.items():
            while frames and frames[0][0] <= now:
                # A link that is down, a full queue: the frame is lost, as on a wire.
                with contextlib.suppress(OSError):
                    other[source].send(frames.popleft()[1])


if __name__ == "__main__":
    relay(sys.argv[1], sys.argv[2], float(sys.argv[3]) / 1000)
