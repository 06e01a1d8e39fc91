"""The check `http`, against servers of all kinds."""

import asyncio
import ssl
from collections.abc import Callable

import pytest

from discoagent.checks import Check
from discoagent.local.entries.checks import http_client
from discoagent.local.entries.checks.health import Outcome
from discoagent.local.entries.checks.http_client import BODY_BYTES_MAX
from discoagent.local.entries.checks.web import Web
from discoagent.local.entries.checks.workers import Workers
from tests.checks.servers import (
    TRUSTED_BY_NOBODY,
    Handler,
    certified,
    for_ever,
    never_answers,
    says,
    serving,
)

DEADLINE = 10.0
PATIENT = "8s"


async def asked(url: str, *, within: str = PATIENT, match: str | None = None) -> Outcome:
    """Ask once."""
    loop = asyncio.get_running_loop()
    workers = Workers(loop)
    outcome: asyncio.Future[Outcome] = loop.create_future()
    try:
        check = Check.http(url, timeout=within, match=match)
        Web(loop, workers).ask(check, url, outcome.set_result)
        async with asyncio.timeout(DEADLINE):
            return await outcome
    finally:
        workers.close()


def outcome_of(
    handler: Handler,
    *,
    timeout: str = PATIENT,
    match: str | None = None,
    url: str = "http://127.0.0.1:{port}/",
    tls: Callable[[], ssl.SSLContext] | None = None,
) -> Outcome:
    """Serve with this handler, ask once, and return what came of it."""

    async def story() -> Outcome:
        async with serving(handler, tls() if tls else None) as port:
            return await asked(url.format(port=port), within=timeout, match=match)

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("200 OK", "passing"),
        ("204 No Content", "passing"),
        ("429 Too Many Requests", "warning"),
        ("404 Not Found", "critical"),
        ("500 Internal Server Error", "critical"),
        ("304 Not Modified", "critical"),
    ],
)
def test_the_status_counts(status: str, state: str) -> None:
    """And is shown, with what the server says."""
    said = "" if status.startswith(("204", "304")) else "so and so"
    outcome = outcome_of(says(status, said))

    assert outcome.state == state
    assert outcome.output == f"{status}\n{said}".rstrip()


def test_a_text_that_must_be_there() -> None:
    """In the first part of the answer, however much follows."""
    padding = "x" * (BODY_BYTES_MAX - 10)
    assert outcome_of(says("200 OK", padding + "all well"), match="all well").state == "passing"
    assert outcome_of(says("200 OK", padding + "...all well"), match="all well").state == "critical"
    assert outcome_of(says("500 Oh", "all well"), match="all well").state == "critical"


def test_redirects_are_followed() -> None:
    """A few of them."""
    hops = iter(range(100))

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hop = next(hops)
        handler = says("200 OK") if hop == 4 else says("302 Found", "", f"Location: /{hop}")
        await handler(reader, writer)

    assert outcome_of(handle) == Outcome("passing", "200 OK")


def test_redirects_in_a_circle() -> None:
    """End, and are named."""
    outcome = outcome_of(says("302 Found", "", "Location: /"))

    assert outcome == Outcome("critical", "more than 5 redirects")


def test_redirects_elsewhere() -> None:
    """Not out of HTTP."""
    outcome = outcome_of(says("302 Found", "", "Location: file:///etc/passwd"))

    assert outcome.state == "critical"


@pytest.mark.parametrize(
    "handler",
    [
        never_answers,
        for_ever("HTTP/1.1 200 OK\r\n", "X-More: and more\r\n"),
        for_ever("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", ""),
        for_ever("", "HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["never", "headers", "no-body", "continue"],
)
def test_an_answer_that_never_ends_to_begin(handler: Handler) -> None:
    """Is bounded by the timeout, or by the library."""
    outcome = outcome_of(handler, timeout="300ms")

    assert outcome.state == "critical"
    assert outcome.output


@pytest.mark.parametrize("match", [None, "zz"])
def test_an_answer_without_end(match: str | None) -> None:
    """What is needed of it is read, the rest is nobody's affair."""
    outcome = outcome_of(for_ever("HTTP/1.1 200 OK\r\n\r\n", "y" * 1_000), match=match)

    assert outcome.state == ("passing" if match is None else "critical")
    assert len(outcome.output) < 2_000


@pytest.mark.parametrize(
    "answer", ["", "nonsense\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "\x00" * 100_000 + "\r\n\r\n"]
)
def test_nonsense(answer: str) -> None:
    """Is no answer."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer.encode())

    assert outcome_of(handle).state == "critical"


def test_nobody_there() -> None:
    """A refusal, and a name that does not exist."""

    async def story() -> list[str]:
        async with serving(says("200 OK")) as port:
            pass
        refused = await asked(f"http://127.0.0.1:{port}/")
        unknown = await asked("http://nobody.invalid/")
        return [refused.state, unknown.state]

    assert asyncio.run(story()) == ["critical", "critical"]


def test_names_are_looked_up() -> None:
    """By the system."""
    assert outcome_of(says("200 OK"), url="http://localhost:{port}/").state == "passing"


def test_certificates_are_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody trusts fails; trusted it passes."""
    url = "https://localhost:{port}/"
    outcome = outcome_of(says("200 OK"), url=url, tls=certified)
    assert outcome.state == "critical"
    assert "certificate" in outcome.output.lower()

    trusting = ssl.create_default_context(cafile=str(TRUSTED_BY_NOBODY))
    monkeypatch.setattr(http_client, "_trusted", trusting)
    assert outcome_of(says("200 OK"), url=url, tls=certified).state == "passing"


def test_one_that_is_cancelled_says_nothing() -> None:
    """Whenever that is."""

    async def story() -> list[Outcome]:
        loop = asyncio.get_running_loop()
        workers = Workers(loop)
        outcomes: list[Outcome] = []
        reached: asyncio.Future[None] = loop.create_future()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.set_result(None)
            await never_answers(reader, writer)

        async with serving(handle) as port:
            web = Web(loop, workers)
            check = Check.http(f"http://127.0.0.1:{port}/", timeout=PATIENT)
            cancel = web.ask(check, str(check.target), outcomes.append)
            async with asyncio.timeout(DEADLINE):
                await reached
            cancel()
            await asyncio.gather(*web._asking, return_exceptions=True)
        workers.close()
        return outcomes

    assert asyncio.run(story()) == []
