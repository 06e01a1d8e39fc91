"""HTTP servers of all kinds, on the loop of the test."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TRUSTED_BY_NOBODY = Path(__file__).with_name("localhost.pem")


def says(status: str, body: str = "", *headers: str) -> Handler:
    """Answer each request with this."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", *headers, "", body]
        writer.write("\r\n".join(lines).encode())

    return handle


async def never_answers(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Take the request, and no more."""
    while await reader.read(1_000):
        pass


def for_ever(head: str, more: str) -> Handler:
    """Begin an answer that has no end."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode())
        while not writer.is_closing():
            writer.write(more.encode())
            await writer.drain()
            await asyncio.sleep(0)

    return handle


def certified() -> ssl.SSLContext:
    """Return what a server needs that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TRUSTED_BY_NOBODY)
    return context


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve, and give the port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
