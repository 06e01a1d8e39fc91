"""Ports are taken in pairs; what cannot be had is an error that names it."""

import asyncio
import errno
import os
import re
import socket

import pytest

from discoagent.endpoints import Endpoint
from discoagent.errors import Conflict, InvalidRequest, Refused
from discoagent.mesh.sockets import BindError, bind_error
from tests.mesh.peers import Peer, needs_ipv6, peers


def test_port_0_is_tried_until_there_is_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system hands out single ports, of which some will not do."""

    async def story() -> None:
        with peers(Peer("a")) as (a,):
            limit = a.transport.bound.port
            monkeypatch.setattr("discoagent.mesh.sockets.PORT_MAX", max(limit, 40_000))
            monkeypatch.setattr("discoagent.mesh.sockets.PAIR_ATTEMPTS", 1_000)
            with peers(Peer("b")) as (b,):
                assert b.transport.bound.port <= max(limit, 40_000)
                await a.until_linked(b)
            monkeypatch.setattr("discoagent.mesh.sockets.PORT_MAX", 0)
            monkeypatch.setattr("discoagent.mesh.sockets.PAIR_ATTEMPTS", 3)
            with pytest.raises(BindError, match="no two free ports in a row in 3 attempts"):
                Peer("c")

    asyncio.run(story())


@pytest.mark.parametrize(("taken", "role"), [(0, "ROUTER"), (1, "PUB")])
def test_a_taken_port_is_an_error_that_names_it(taken: int, role: str) -> None:
    """Either port of the pair; nothing is left of the attempt."""

    async def story() -> None:
        with peers(Peer("a")) as (a,):
            port = a.transport.bound.port
        with socket.create_server(("127.0.0.1", port + taken)):
            before = len(os.listdir("/proc/self/fd"))
            with pytest.raises(BindError) as caught:
                Peer("b", bind=f"127.0.0.1:{port}")

            assert f"127.0.0.1:{port + taken} ({role}): Address already in use" in str(caught.value)
            assert isinstance(caught.value, Conflict)
            assert (caught.value.code, caught.value.kind, caught.value.field) == (6, "port", "bind")
            assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(story())


@pytest.mark.parametrize(
    "bind",
    [
        "192.0.2.77:7800",
        pytest.param("[2001:db8::77]:7800", marks=needs_ipv6),
        "nobody.invalid:7800",
    ],
)
def test_an_address_of_another_host_cannot_be_bound(bind: str) -> None:
    """It is a mistake of the configuration; the error names the field and the address."""

    async def story() -> None:
        with pytest.raises(InvalidRequest, match=re.escape(f"listen on {bind}")) as caught:
            Peer("a", bind=bind)
        assert caught.value.field == "bind"

    asyncio.run(story())


def test_a_port_that_only_root_may_have() -> None:
    """It is refused, which says what to change."""
    error = bind_error(Endpoint("127.0.0.1", 80), "PUB", errno.EACCES)

    assert isinstance(error, Refused)
    assert (error.code, error.kind, error.field) == (4, "permission", "bind")
    assert "127.0.0.1:80 (PUB): Permission denied" in str(error)


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.0.0.1:65535", "*:7800", "", ":7800"])
def test_a_bind_that_cannot_be_read_is_refused(bind: str) -> None:
    """The sentence begins with the field."""

    async def story() -> None:
        with pytest.raises(ValueError, match=r"^bind "):
            Peer("a", bind=bind)

    asyncio.run(story())
