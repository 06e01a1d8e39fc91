"""Endpoints, `host:port` with IPv6 in brackets: read, written, looked up, and the one to advertise.

An endpoint names two ports: the ROUTER's, which is written, and the PUB's, which is the next one.
"""

import contextlib
import ipaddress
import queue
import re
import socket
import threading
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from discoagent.core.limits import ENDPOINT_BYTES_MAX

if TYPE_CHECKING:
    import asyncio

PORT_MAX = 65_534  # the PUB listens on the port after it
LOOKUP_TIMEOUT = 5.0  # seconds one DNS look-up may take

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_ZONE = re.compile(r"[A-Za-z0-9._-]{1,15}")  # an interface
_HOST_LENGTH_MAX = 253
# No packet is ever sent there (RFC 5737, 3849): the kernel is asked for the route only.
_ELSEWHERE = (
    (socket.AF_INET, ("198.51.100.1", 9)),
    (socket.AF_INET6, ("2001:db8::1", 9)),
)


class Endpoint(NamedTuple):
    """A host (a name, or an IP literal without brackets) and the port of its ROUTER."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str, *, field: str = "endpoint", any_port: bool = False) -> Endpoint:
    """Read `host:port`; `any_port` admits port 0.

    Raises ValueError with a sentence that names `field` and what is wrong.
    """
    if len(text.encode()) > ENDPOINT_BYTES_MAX:
        raise ValueError(f"{field} is longer than {ENDPOINT_BYTES_MAX} bytes")
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        raise ValueError(f"{field} {text!r} has no port: it must be HOST:PORT")
    if not host:
        raise ValueError(f"{field} {text!r} has no host: it must be HOST:PORT")
    return Endpoint(
        _parse_host(host, text, field), _parse_port(port, text, field, any_port=any_port)
    )


def _parse_port(port: str, text: str, field: str, *, any_port: bool) -> int:
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        raise ValueError(f"{field} {text!r}: port {port!r} is not a number from 1 to {PORT_MAX}")
    number = int(port)
    if number == PORT_MAX + 1:
        raise ValueError(
            f"{field} {text!r}: port 65535 cannot be used, for the PUB listens on the next port"
        )
    if number > PORT_MAX or (number == 0 and not any_port):
        raise ValueError(f"{field} {text!r}: port {port} is not within 1 to {PORT_MAX}")
    return number


def _parse_host(host: str, text: str, field: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        zone = host.partition("%")[2]
        if _literal(host) is None or ":" not in host or (zone and not _ZONE.fullmatch(zone)):
            raise ValueError(f"{field} {text!r}: [{host}] is not an IPv6 address")
        return host
    if ":" in host:
        raise ValueError(f"{field} {text!r}: an IPv6 address must be in brackets, [{host}]:PORT")
    if host == "*":
        raise ValueError(f"{field} {text!r}: '*' is no host; all addresses are 0.0.0.0 or [::]")
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > _HOST_LENGTH_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{field} {text!r}: {host!r} is neither a host name nor an IP address")
    if labels[-1].isdigit() and _literal(host) is None:
        raise ValueError(f"{field} {text!r}: {host!r} is not an IPv4 address")
    return host


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_literal(host: str) -> bool:
    """Is this an IP address, not a name?"""
    return _literal(host) is not None


def is_loopback(host: str) -> bool:
    """Is this a loopback address, or a name that always means one? Other names: False."""
    address = _literal(host)
    if address is None:
        name = host.removesuffix(".").lower()
        return name == "localhost" or name.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def is_wildcard(host: str) -> bool:
    """Does a bind on this host listen on all addresses?"""
    address = _literal(host)
    return address is not None and address.is_unspecified


def addresses(endpoint: Endpoint) -> list[Endpoint]:
    """Look the host up, blocking: every address, in the resolver's order, none twice.

    Raises OSError with a sentence that names the host.
    """
    if is_literal(endpoint.host):
        return [endpoint]
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise OSError(f"cannot look up {endpoint.host!r}: {reason}") from error
    return list(dict.fromkeys(Endpoint(_scoped(info[4]), endpoint.port) for info in found))


def _scoped(address: tuple[str | int, ...] | tuple[int, bytes]) -> str:
    """Write a socket address's host, with the zone that a link-local IPv6 address needs."""
    host = str(address[0])
    scope = address[3] if len(address) == 4 else 0
    return f"{host}%{scope}" if scope and "%" not in host else host


def looked_up(wanted: Collection[Endpoint], seconds: float) -> dict[Endpoint, list[Endpoint]]:
    """Look all these up at once, blocking for so long at most; those that are not found are not in.

    A resolver that does not answer keeps a thread, and nobody else.
    """
    found = {each: [each] for each in wanted if is_literal(each.host)}
    asked = set(wanted) - found.keys()
    answers: queue.SimpleQueue[tuple[Endpoint, list[Endpoint]]] = queue.SimpleQueue()

    def look_up(endpoint: Endpoint) -> None:
        try:
            at = addresses(endpoint)
        except OSError:
            at = []
        answers.put((endpoint, at))

    for endpoint in asked:
        threading.Thread(target=look_up, args=(endpoint,), daemon=True).start()
    end = time.monotonic() + seconds
    with contextlib.suppress(queue.Empty):
        for _ in asked:
            endpoint, at = answers.get(timeout=max(end - time.monotonic(), 0))
            found[endpoint] = at
    return {endpoint: at for endpoint, at in found.items() if at}


async def resolve(endpoint: Endpoint) -> list[Endpoint]:
    """Look the host up without holding up the loop: every address, as `addresses`.

    Raises OSError with a sentence that names the host, also when LOOKUP_TIMEOUT is over.
    """
    if is_literal(endpoint.host):
        return [endpoint]
    import asyncio  # here, for who only reads endpoints has no use for it

    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Endpoint] | OSError] = loop.create_future()
    # A daemon thread of its own, not the loop's executor: that one is joined at exit, and a
    # resolver without an answer would hold the process up for as long as it likes.
    threading.Thread(
        target=_look_up, args=(endpoint, loop, answer), name=f"look up {endpoint.host}", daemon=True
    ).start()
    try:
        found = await asyncio.wait_for(answer, LOOKUP_TIMEOUT)
    except TimeoutError:
        found = OSError(f"cannot look up {endpoint.host!r}: no answer in {LOOKUP_TIMEOUT:g} s")
    if isinstance(found, OSError):
        raise found
    return found


def _look_up(
    endpoint: Endpoint,
    loop: "asyncio.AbstractEventLoop",
    answer: "asyncio.Future[list[Endpoint] | OSError]",
) -> None:
    """Run `addresses` in this thread and hand what came of it to the loop, if it still runs."""
    found: list[Endpoint] | OSError
    try:
        found = addresses(endpoint)
    except OSError as error:
        found = error
    with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
        loop.call_soon_threadsafe(_settle, answer, found)


def _settle(
    answer: "asyncio.Future[list[Endpoint] | OSError]", found: list[Endpoint] | OSError
) -> None:
    if not answer.done():
        answer.set_result(found)


async def advertised(bind: Endpoint, seeds: Sequence[Endpoint]) -> Endpoint:
    """Work out where peers reach a ROUTER that is bound to `bind` (its real port, not 0).

    The bound address itself, or for 0.0.0.0 and [::] the source address of the route to the first
    seed that has one, else of the default route; never loopback when a seed is not. Raises
    ValueError with a sentence that names the flag to use when no route tells an address.
    """
    if not is_wildcard(bind.host):
        return bind
    import asyncio

    found = await asyncio.gather(*map(_addresses_or_none, seeds))
    reached = [address for of_one in found for address in of_one]
    distant = [address for address in reached if not is_loopback(address.host)]
    only_ipv4 = ":" not in bind.host
    for address in distant or reached:
        source = _route(*_target(address), only_ipv4=only_ipv4)
        if source is not None and not (distant and is_loopback(source)):
            return Endpoint(source, bind.port)
    for family, target in _ELSEWHERE:
        source = _route(family, target, only_ipv4=only_ipv4)
        if source is not None:
            return Endpoint(source, bind.port)
    if seeds:
        raise ValueError(
            f"bind {bind} is every address of this host and no route to a seed tells which one "
            "to advertise: say --advertise HOST:PORT"
        )
    return Endpoint("127.0.0.1" if only_ipv4 else "::1", bind.port)


async def _addresses_or_none(seed: Endpoint) -> list[Endpoint]:
    try:
        return await resolve(seed)
    except OSError:
        return []  # it may be known later; the next seed's route is as good


def _target(address: Endpoint) -> tuple[int, tuple[str | int, ...]]:
    """Return the family and socket address to ask the kernel for its route."""
    host, _, zone = address.host.partition("%")
    if ":" not in host:
        return socket.AF_INET, (host, address.port)
    if not zone or zone.isdigit():
        return socket.AF_INET6, (host, address.port, 0, int(zone or 0))
    with contextlib.suppress(OSError):
        return socket.AF_INET6, (host, address.port, 0, socket.if_nametoindex(zone))
    return socket.AF_INET6, (host, address.port)


def _route(family: int, target: tuple[str | int, ...], *, only_ipv4: bool) -> str | None:
    """Return the source address of the route to `target`, if there is one that peers can use."""
    if only_ipv4 and family == socket.AF_INET6:
        return None
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(target)
            source = str(probe.getsockname()[0])
    except OSError:
        return None
    # A link-local address means nothing without the reader's own interface.
    return None if ipaddress.ip_address(source.partition("%")[0]).is_link_local else source
