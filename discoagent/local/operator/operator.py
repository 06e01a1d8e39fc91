"""What an operator asks of the agent: its log, what is wrong with its set-up, other nodes."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from discoagent import logs
from discoagent.core.effects import Effect
from discoagent.core.messages import Message
from discoagent.core.replica import Replica
from discoagent.local.host.clock import Clock
from discoagent.local.host.privileges import Privileges
from discoagent.local.operator.about import About
from discoagent.local.operator.examiner import Examiner
from discoagent.local.operator.monitors import Monitors
from discoagent.local.operator.nodes import Nodes
from discoagent.local.requests import operations
from discoagent.local.requests.desk import Caller, Desk
from discoagent.store import Store


class Operator:
    """Does what operators ask."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        privileges: Privileges,
        replica: Replica,
        about: About,
        store: Store,
        send_here: Callable[[bytes, bytes], bool],
        send_peers: Callable[[Iterable[str], Message], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        perform: Callable[[list[Effect]], None],
        clock: Clock,
        settings: Callable[[], Mapping[str, Any]],
        service_problems: Callable[[], Iterable[object]],
    ) -> None:
        """`privileges`: who may; `send_here` answers on the local socket.

        `perform` runs effects.
        """
        self._privileges = privileges
        self._spawn = spawn
        self._settings = settings
        self._nodes = Nodes(replica, perform, clock, privileges)
        self.monitors = Monitors(loop=loop, send=send_here, listen=logs.listen)
        self.examiner = Examiner(
            replica=replica,
            about=about,
            store=store,
            send=send_peers,
            clock=clock,
            service_problems=service_problems,
        )

    def handlers(self, desk: Desk) -> Mapping[type, Callable[[Caller, Any], None]]:
        """Return what does each operation."""

        def log_level(caller: Caller, call: operations.LogLevel) -> None:
            if call.level is not None:
                self._privileges.check_operator(caller.asker, "log-level")
            desk.answer(caller, {"level": logs.changed(call.level)})

        def monitor(caller: Caller, call: operations.Monitor) -> None:
            self._privileges.check_operator(caller.asker, "monitor")
            self.monitors.open(caller.name, caller.number, call.level)

        def settings(caller: Caller, _: operations.Settings) -> None:
            self._privileges.check_operator(caller.asker, "settings")
            desk.answer(caller, {"settings": self._settings()})

        async def examined(caller: Caller) -> None:
            desk.answer(caller, {"diagnoses": await self.examiner.examine()})

        def examine(caller: Caller, _: operations.Examine) -> None:
            self._spawn(examined(caller))

        return {
            **self._nodes.handlers(desk),
            operations.LogLevel: log_level,
            operations.Monitor: monitor,
            operations.Examine: examine,
            operations.Settings: settings,
        }
