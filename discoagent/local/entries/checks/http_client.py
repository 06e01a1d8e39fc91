"""A GET, by aiohttp: the only importer of it, loaded with the first http check.

At most five redirects are followed, certificates are verified against the system's, and each asking
is a connection of its own, for whoever accepts no new ones is not well. No cookies, no proxies,
nothing out of the environment but where certificates are (SSL_CERT_FILE).
"""

import ssl
from socket import AF_INET, AF_INET6, AF_UNSPEC, SOCK_STREAM, AddressFamily, getaddrinfo

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from discoagent.checks.spec import CRITICAL, PASSING, WARNING, Check
from discoagent.local.entries.checks.health import Outcome
from discoagent.local.entries.checks.shown import OUTPUT_BYTES, reason
from discoagent.local.entries.checks.workers import Workers

REDIRECTS_MAX = 5
BODY_BYTES_MAX = 64 * 1024
TOO_MANY_REQUESTS = 429
HEADERS = {"User-Agent": "discoagent", "Accept-Encoding": "identity", "Accept": "*/*"}

_trusted = ssl.create_default_context()


async def get(check: Check, url: str, workers: Workers) -> Outcome:
    """Ask once. What goes wrong is the outcome; raises TimeoutError alone."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=_Resolver(workers), use_dns_cache=False, force_close=True, ssl=_trusted
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        auto_decompress=False,
    )
    try:
        async with session, session.get(url, max_redirects=REDIRECTS_MAX) as response:
            return await _judged(response, check.match)
    except TimeoutError:
        raise
    except aiohttp.TooManyRedirects:
        return Outcome(CRITICAL, f"more than {REDIRECTS_MAX} redirects")
    except Exception as error:  # noqa: BLE001 - no answer, however odd, must end the agent
        return Outcome(CRITICAL, reason(error))


async def _judged(response: aiohttp.ClientResponse, match: str | None) -> Outcome:
    body = await _first(response.content, OUTPUT_BYTES if match is None else BODY_BYTES_MAX)
    said = f"{response.status} {response.reason or ''}".rstrip()
    state = PASSING if 200 <= response.status < 300 else CRITICAL
    if response.status == TOO_MANY_REQUESTS:
        state = WARNING
    elif state == PASSING and match is not None and match.encode() not in body:
        state, said = CRITICAL, f"{said}, without {match!r}"
    return Outcome(state, f"{said}\n{body[:OUTPUT_BYTES].decode(errors='replace')}".rstrip())


async def _first(content: aiohttp.StreamReader, wanted: int) -> bytes:
    """Return the first bytes of an answer; the rest is nobody's affair."""
    body = b""
    while len(body) < wanted:
        part = await content.read(wanted - len(body))
        if not part:
            break
        body += part
    return body


class _Resolver(AbstractResolver):
    """Looks names up in our own threads."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AF_INET
    ) -> list[ResolveResult]:
        """Return every address of a name."""
        wanted = family if family in (AF_INET, AF_INET6) else AF_UNSPEC
        found = await self._workers.do(
            lambda: getaddrinfo(host, port, family=wanted, type=SOCK_STREAM)
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=0,
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Nothing to let go of."""
