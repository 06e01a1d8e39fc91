"""What all parts of a `Disco` share."""

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from discoagent.client.lasting import milliseconds
from discoagent.client.pool import Pool
from discoagent.sockets import client_paths

if TYPE_CHECKING:  # loaded when used: half of what would be loaded for `discoctl list`
    from discoagent.client.keeper import Keeper
    from discoagent.client.watch import Following


class Base:
    """The connections, the watches, and what holds the registrations."""

    def __init__(self, socket: str | None = None, *, timeout: str | float = 2.0) -> None:
        path = None if socket is None else client_paths(socket)[0]
        self.timeout = milliseconds(timeout, "timeout") / 1000
        self._pool = Pool(path, self.timeout)
        self._kept: Keeper | None = None
        self._over = False
        self._lock = threading.Lock()
        self._watches: WeakSet[Following[Any]] = WeakSet()
