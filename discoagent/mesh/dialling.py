"""A plain TCP connect beside the links: it tells what libzmq does not, why an endpoint is silent.

libzmq reports that a connection failed, never with which errno. A refusal says that the host lives
and nobody listens. An accepted connection on which no ZMTP greeting comes says that the process is
stopped or hangs: its kernel accepts for it. (Both sides of ZMTP 3 send their greeting first: RFC
23/ZMTP.)
"""

import asyncio
import contextlib

from discoagent.core.effects import DialOutcome
from discoagent.core.timing import CONNECT_TIMEOUT
from discoagent.endpoints import parse, resolve

GREETING_TIMEOUT = 1.0  # seconds that an accepted connection may take to say its first byte


async def dial(endpoint: str) -> DialOutcome:
    """Connect to an endpoint and wait for its first byte, at most a second for each."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            address = (await resolve(parse(endpoint)))[0]
            reader, writer = await asyncio.open_connection(address.host, address.port)
    except ConnectionError:  # refused; or accepted and reset before we looked: its end is just now
        return DialOutcome.REFUSED
    except (OSError, ValueError, IndexError, TimeoutError):
        return DialOutcome.SILENT
    try:
        async with asyncio.timeout(GREETING_TIMEOUT):
            return DialOutcome.OPEN if await reader.read(1) else DialOutcome.REFUSED
    except TimeoutError:
        return DialOutcome.MUTE
    except OSError:  # reset: it went while we were talking
        return DialOutcome.REFUSED
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
