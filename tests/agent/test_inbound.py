"""Whose connections come in: real sockets, and the kernel's own tables."""

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from discoagent.local.operator.inbound import connected_at, missed


@contextmanager
def connected(server: socket.socket, *sources: str) -> Iterator[None]:
    """Connect to it from these addresses."""
    host, port = server.getsockname()[:2]
    with ExitStack() as stack:
        for source in sources:
            client = socket.create_connection((host, port), 10, source_address=(source, 0))
            stack.enter_context(client)
            stack.enter_context(server.accept()[0])
        yield


def test_who_is_connected_and_who_is_missed() -> None:
    """Where an address is that of no peer, it may be any's: nobody is missed then."""
    peers = ["127.0.0.2:7800", "127.0.0.3:7800", "seeds.internal:7800"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert connected_at(port) == set()
        assert missed(peers, port) == {"127.0.0.2:7800", "127.0.0.3:7800"}
        with connected(server, "127.0.0.2"):
            assert connected_at(port) == {ipaddress.ip_address("127.0.0.2")}
            assert missed(peers, port) == {"127.0.0.3:7800"}
            with connected(server, "127.0.0.9"):
                assert missed(peers, port) == set()
            with connected(server, "127.0.0.3"):
                assert missed(peers, port) == set()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs a socket for IPv4 and IPv6")
def test_by_ipv6_and_by_ipv4_at_one_socket() -> None:
    """What comes by IPv4 to a socket for both has its own address again."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        with ExitStack() as stack:
            for host in ("127.0.0.1", "::1"):
                stack.enter_context(socket.create_connection((host, port), 10))
                stack.enter_context(server.accept()[0])
            assert connected_at(port) == set(map(ipaddress.ip_address, ("127.0.0.1", "::1")))
