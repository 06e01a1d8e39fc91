"""OpenSSL is loaded when it is needed: asyncio would do so at once, 4 MiB and part of each start.

Agents speak no TLS to each other; health checks may. The standard library's asyncio does without
`ssl` on systems that have none, and here is made to believe that this is one, until `enable`.
"""

import importlib
import sys


def postpone() -> None:
    """Import asyncio without OpenSSL. No effect where either was imported before."""
    if {"ssl", "asyncio"} & sys.modules.keys():
        return
    sys.modules["ssl"] = None  # type: ignore[assignment] # an import of it fails, by definition
    try:
        importlib.import_module("asyncio")
    finally:
        del sys.modules["ssl"]


def enable() -> None:
    """Let asyncio have TLS, in any thread."""
    import ssl

    for name, module in list(sys.modules.items()):
        if name.startswith("asyncio.") and getattr(module, "ssl", ssl) is None:
            if name == "asyncio.sslproto":
                importlib.reload(module)  # it works with ssl's names right at its import
            else:
                vars(module)["ssl"] = ssl
