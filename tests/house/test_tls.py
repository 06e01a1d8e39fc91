"""OpenSSL is loaded for whoever needs it, and for nobody else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SPARED = """
import sys
from discoagent import tls
tls.postpone()
import discoagent.daemon.agent
print(sorted({"_ssl", "_hashlib", "ssl"} & sys.modules.keys()))
"""

SPOKEN = """
import asyncio, sys
from discoagent import tls

async def main(certificate):
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=certificate)

    async def serve(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        await writer.start_tls(served)
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"plain\\n")
    print((await reader.readline()).decode().strip())
    await writer.start_tls(trusting, server_hostname="localhost")
    writer.write(b"secret\\n")
    print((await reader.readline()).decode().strip())
    writer.close()

tls.enable()
import ssl
asyncio.run(main(sys.argv[1]))
"""


def ran(code: str, *arguments: str) -> list[str]:
    """Run code in a Python of its own; return the lines that it printed."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert not done.stderr
    return done.stdout.splitlines()


def test_an_agent_loads_none() -> None:
    assert ran(SPARED) == ["[]"]


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes its certificate with openssl")
def test_once_it_is_enabled_asyncio_speaks_it(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", tmp_path / "key.pem", "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    certificate.write_bytes(certificate.read_bytes() + (tmp_path / "key.pem").read_bytes())

    assert ran(f"from discoagent import tls\ntls.postpone()\n{SPOKEN}", str(certificate)) == [
        "plain",
        "secret",
    ]
