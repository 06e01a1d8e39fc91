"""The versions of this library, of what it speaks and of what it is built on."""

import platform
from typing import NamedTuple

import zmq

from discoagent import __version__
from discoagent.api import API_VERSION
from discoagent.wire import WIRE_VERSION


class Versions(NamedTuple):
    """As `discoctl version -o json` shows them; `wire` and `api` are numbers of protocols."""

    version: str
    wire: int
    api: int
    python: str
    zmq: str
    pyzmq: str


def versions() -> Versions:
    """Return the versions that are installed here."""
    return Versions(
        version=__version__,
        wire=WIRE_VERSION,
        api=API_VERSION,
        python=platform.python_version(),
        zmq=zmq.zmq_version(),
        pyzmq=zmq.pyzmq_version(),
    )
