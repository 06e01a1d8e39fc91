"""Endpoints are read, looked up, and chosen by the rule of the contract."""

import asyncio
import re
import socket
import threading

import pytest

from discoagent.endpoints import (
    LOOKUP_TIMEOUT,
    Endpoint,
    addresses,
    advertised,
    is_literal,
    is_loopback,
    is_wildcard,
    parse,
    resolve,
)
from tests.mesh.peers import needs_ipv6


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.5:7800", "10.0.0.5", 7800),
        ("[::1]:7800", "::1", 7800),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
        ("seeds.internal:65534", "seeds.internal", 65_534),
        ("host_1-a.:80", "host_1-a.", 80),
        ("0.0.0.0:7800", "0.0.0.0", 7800),
    ],
)
def test_an_endpoint_is_read_and_written_alike(text: str, host: str, port: int) -> None:
    """The text names the same endpoint both ways."""
    assert parse(text) == Endpoint(host, port)
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no port"),
        ("a", "no port"),
        ("[::1]", "no port"),
        (":7800", "no host"),
        ("::1:7800", "brackets"),
        ("[::g]:7800", "not an IPv6 address"),
        ("[10.0.0.1]:7800", "not an IPv6 address"),
        ("[fe80::1%a b]:7800", "not an IPv6 address"),
        ("[fe80::1%]:7800", "not an IPv6 address"),
        ("10.0.0.256:7800", "not an IPv4 address"),
        ("10.1:7800", "not an IPv4 address"),
        ("a b:7800", "neither"),
        ("-a:7800", "neither"),
        ("a..b:7800", "neither"),
        ("a" * 64 + ":7800", "neither"),
        ("tcp://a:7800", "brackets"),
        ("*:7800", "0.0.0.0 or [::]"),
        ("a:", "not a number"),
        ("a:http", "not a number"),
        ("a:+80", "not a number"),
        ("a:٣", "not a number"),
        ("a:0", "not within"),
        ("a:65536", "not within"),
        ("a:99999999999", "not a number"),
        ("a:65535", "PUB"),
        ("a." * 200 + ":1", "longer than 300 bytes"),
    ],
)
def test_what_is_no_endpoint_is_refused(text: str, words: str) -> None:
    """The sentence begins with the field and says what is wrong."""
    with pytest.raises(ValueError, match=rf"^join .*{re.escape(words)}"):
        parse(text, field="join")


def test_port_0_is_for_a_bind() -> None:
    """A free pair is meant by it."""
    assert parse("a:0", any_port=True).port == 0


def test_what_a_host_is() -> None:
    """Literals, loopback, wildcards."""
    loopback = ("127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST.", "a.localhost")
    assert all(map(is_loopback, (*loopback, "::ffff:127.0.0.1")))
    assert not any(map(is_loopback, ("10.0.0.1", "::", "0.0.0.0", "seeds.internal", "fe80::1")))
    assert all(map(is_literal, ("10.0.0.1", "::1", "fe80::1%eth0")))
    assert not is_literal("localhost")
    assert all(map(is_wildcard, ("0.0.0.0", "::")))
    assert not any(map(is_wildcard, ("127.0.0.1", "localhost")))


def test_a_literal_is_its_own_address() -> None:
    """Nothing is asked for it."""
    assert asyncio.run(resolve(Endpoint("10.0.0.1", 1))) == [Endpoint("10.0.0.1", 1)]
    assert addresses(Endpoint("::1", 2)) == [Endpoint("::1", 2)]


def test_a_name_has_every_address_once() -> None:
    """In the resolver's order, as the system itself says."""
    found = asyncio.run(resolve(Endpoint("localhost", 7800)))

    assert found == addresses(Endpoint("localhost", 7800))
    assert Endpoint("127.0.0.1", 7800) in found or Endpoint("::1", 7800) in found
    assert len(found) == len(set(found))


def test_a_name_that_nobody_knows() -> None:
    """The error names it."""
    with pytest.raises(OSError, match=r"cannot look up 'nobody\.invalid'"):
        asyncio.run(resolve(Endpoint("nobody.invalid", 7800)))


def test_an_unanswered_look_up_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop does not wait for a resolver without an answer, nor does its end."""
    monkeypatch.setattr("discoagent.endpoints.LOOKUP_TIMEOUT", 0.0)

    with pytest.raises(OSError, match="cannot look up 'localhost': no answer in 0 s"):
        asyncio.run(resolve(Endpoint("localhost", 7800)))


def choose(bind: str, *seeds: str) -> str:
    """Return the advertised endpoint."""
    return str(asyncio.run(advertised(parse(bind), [parse(seed) for seed in seeds])))


def default_source() -> str | None:
    """Return this host's IPv4 source address of the default route, if there is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


@pytest.mark.parametrize("bind", ["10.1.2.3:7800", "[2001:db8::5]:7800", "127.0.0.1:7800"])
def test_a_bound_address_is_advertised(bind: str) -> None:
    """Whatever the seeds are."""
    assert choose(bind, "203.0.113.1:7800") == bind


def test_all_addresses_take_the_route_to_a_seed() -> None:
    """A loopback seed is reached from loopback; one that cannot be looked up is passed by."""
    assert choose("0.0.0.0:7801", "127.0.0.1:7800") == "127.0.0.1:7801"
    assert choose("[::]:7801", "127.0.0.1:7800") == "127.0.0.1:7801"
    assert choose("0.0.0.0:7801", "nobody.invalid:7800", "localhost:7800") == "127.0.0.1:7801"


def test_all_seeds_are_looked_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the start waits for the slowest resolver, not for all of them."""
    all_asked = threading.Barrier(2)

    def answer(*_: object, **__: object) -> list[tuple[object, ...]]:
        all_asked.wait(LOOKUP_TIMEOUT / 2)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 7800))]

    monkeypatch.setattr("socket.getaddrinfo", answer)

    assert choose("0.0.0.0:7801", "one.internal:1", "two.internal:2") == "127.0.0.1:7801"


@needs_ipv6
def test_ipv6_likewise() -> None:
    """The family is the seed's."""
    assert choose("[::]:7801", "[::1]:7800") == "[::1]:7801"


def test_loopback_is_not_advertised_to_others() -> None:
    """A seed elsewhere decides wherever it stands; without a route the flag is named."""
    source = default_source()
    seeds = ("127.0.0.1:7800", "203.0.113.1:7800")
    if source is None:
        with pytest.raises(ValueError, match="--advertise"):
            choose("0.0.0.0:7800", *seeds)
    else:
        assert choose("0.0.0.0:7800", *seeds) == f"{source}:7800"


def test_without_a_seed_the_default_route_decides() -> None:
    """And loopback where there is no route at all."""
    assert choose("0.0.0.0:7800") == f"{default_source() or '127.0.0.1'}:7800"


def test_without_any_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host alone speaks to itself; one that is to meet others is told the flag."""
    monkeypatch.setattr("discoagent.endpoints._ELSEWHERE", ())

    assert choose("0.0.0.0:7800") == "127.0.0.1:7800"
    assert choose("[::]:7800") == "[::1]:7800"
    with pytest.raises(ValueError, match="--advertise"):
        choose("[::]:7800", "[fe80::1%nowhere]:7800")
    with pytest.raises(ValueError, match="--advertise"):
        choose("0.0.0.0:7800", "[fe80::1%1]:7800", "[fe80::1]:7800")


def test_ipv4_only_never_advertises_ipv6() -> None:
    """A seed that this bind cannot reach tells nothing."""
    try:
        assert ":" not in choose("0.0.0.0:7800", "[2001:db8::1]:7800").rpartition(":")[0]
    except ValueError as error:
        assert default_source() is None
        assert "--advertise" in str(error)  # noqa: PT017
