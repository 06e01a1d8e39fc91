"""The check `http`: a GET that is answered well. The only importer of aiohttp.

2xx passes, 429 warns, all else fails; with `match` the first 64 KiB of the answer must hold that
text. At most five redirects are followed, certificates are verified against the system's, and each
asking is a connection of its own, for whoever accepts no new ones is not well. No cookies, no
proxies, nothing out of the environment but where certificates are (SSL_CERT_FILE).
"""

import asyncio
import ssl
from collections.abc import Callable
from socket import AF_INET, AF_INET6, AF_UNSPEC, SOCK_STREAM, AddressFamily, getaddrinfo

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from discoagent.checks.spec import CRITICAL, PASSING, WARNING, Check
from discoagent.local.checks.health import Outcome
from discoagent.local.checks.shown import OUTPUT_BYTES, reason
from discoagent.local.checks.workers import Workers

REDIRECTS_MAX = 5
BODY_BYTES_MAX = 64 * 1024
TOO_MANY_REQUESTS = 429
HEADERS = {"User-Agent": "discoagent", "Accept-Encoding": "identity", "Accept": "*/*"}

Done = Callable[[Outcome], None]


class Web:
    """Asks over HTTP."""

    def __init__(self, loop: asyncio.AbstractEventLoop, workers: Workers) -> None:
        self._loop = loop
        self._resolver = _Resolver(workers)
        self._trusted = ssl.create_default_context()
        self._asking: set[asyncio.Task[None]] = set()

    def ask(self, check: Check, url: str, done: Done) -> Callable[[], object]:
        """GET a URL; `done` is called once, unless what is returned is called before."""
        task = self._loop.create_task(self._ask(check, url, done))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return task.cancel

    async def _ask(self, check: Check, url: str, done: Done) -> None:
        timeout = check.timeout_ms / 1000
        try:
            async with asyncio.timeout(timeout), self._session() as session:
                outcome = await _asked(session, check, url)
        except TimeoutError:
            outcome = Outcome(CRITICAL, f"no answer within {timeout:g} s")
        except aiohttp.TooManyRedirects:
            outcome = Outcome(CRITICAL, f"more than {REDIRECTS_MAX} redirects")
        except Exception as error:  # noqa: BLE001 - no answer, however odd, must end the agent
            outcome = Outcome(CRITICAL, reason(error))
        done(outcome)

    def _session(self) -> aiohttp.ClientSession:
        """Return a session for one asking: nothing is kept, and nothing is left to be closed."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._resolver, use_dns_cache=False, force_close=True, ssl=self._trusted
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            auto_decompress=False,
        )


async def _asked(session: aiohttp.ClientSession, check: Check, url: str) -> Outcome:
    async with session.get(url, max_redirects=REDIRECTS_MAX) as response:
        body = await _first(
            response.content, OUTPUT_BYTES if check.match is None else BODY_BYTES_MAX
        )
        said = f"{response.status} {response.reason or ''}".rstrip()
        state = PASSING if 200 <= response.status < 300 else CRITICAL
        if response.status == TOO_MANY_REQUESTS:
            state = WARNING
        elif state == PASSING and check.match is not None and check.match.encode() not in body:
            state, said = CRITICAL, f"{said}, without {check.match!r}"
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
