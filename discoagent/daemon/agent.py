"""The agent: lives on this host from its start to its end, nearly always in one life.

There is a second life in one process only where the cluster remembers a higher incarnation of this
node than the host's clock gives.
"""

import asyncio
import contextlib
import gc
import logging
import resource
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from discoagent import endpoints, logs
from discoagent.core.messages import Parting
from discoagent.daemon.config import Config
from discoagent.daemon.life import Life
from discoagent.daemon.reloading import Load, look
from discoagent.daemon.systemd import Manager, host_stops
from discoagent.errors import InvalidRequest
from discoagent.instance import Json
from discoagent.local.host import capabilities
from discoagent.local.host.clock import Clock
from discoagent.store import Identity, Store
from discoagent.store.directory import StateDirectory

SIGN_INTERVAL = 0.25  # seconds between two looks at what the service manager should be told
COLLECT_AFTER = (50_000, 20, 100)  # objects made until a collection: bulk work makes no cycles

_log = logging.getLogger("discoagent")


class Agent:
    """This host's agent."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        manager: Manager | None = None,
        load: Load | None = None,
    ) -> None:
        """`manager` is told how the agent is; nobody, if there is none.

        `load` reads the configuration anew, for a reload.
        """
        self.config = config
        self._load = load
        self._clock = clock or Clock()
        self._manager = manager or Manager({})
        self._life: Life | None = None
        self._stop: Parting | None = None
        self._terminating: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Run until asked to stop; return the exit code.

        Raises DiscoError: Conflict if a port, the socket, the state directory or the node's name
        is taken, Refused if something may not be had, InvalidRequest if the configuration cannot
        be used.
        """
        _prepare_process()
        bind = endpoints.parse(self.config.bind, field="bind", any_port=True)
        host = await self._advertised_host(bind)
        directory = StateDirectory(self.config.state_dir)
        try:
            store = self._open_store(directory.path)
            try:
                await self._live(bind, host, store)
            finally:
                store.close()
        finally:
            directory.release()
        return 0

    def _open_store(self, directory: Path | None) -> Store:
        """Open the store; what its thread says is heard in the loop, as long as there is one."""
        loop = asyncio.get_running_loop()

        def tell(method: Callable[..., None], *arguments: int) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(method, *arguments)

        return Store(
            directory,
            Identity(self.config.node, self.config.cluster),
            wall_ms=self._clock.wall_ms,
            bounds=self.config.history,
            on_written=lambda number: tell(self._written, number),
            on_returned=lambda: tell(self._store_returned),
        )

    async def _live(self, bind: endpoints.Endpoint, host: str, store: Store) -> None:
        """Live until asked to stop, one life after another."""
        former = store.recalled
        while True:
            incarnation = max(former.incarnation + 1, self._clock.wall_us())
            life = self._life = Life(
                self.config,
                self._clock,
                incarnation,
                bind=bind,
                host=host,
                store=store,
                former=former,
                reload=self._reload,
            )
            try:
                life.start()
                if self._stop is not None:  # it was asked for while the name was looked up
                    life.stop(self._stop)
                async with self._attended(life):
                    outranked_by = await life.ended
                if outranked_by is None:
                    self._manager.stopping("stopping")
                former = replace(life.legacy(), incarnation=outranked_by or 0)
            finally:
                life.close()
            if outranked_by is None:
                return
            bind = life.bound

    @contextlib.asynccontextmanager
    async def _attended(self, life: Life) -> AsyncIterator[None]:
        """Let the service manager know that this life serves, how, and that its loop turns."""

        async def attend() -> None:
            while self._manager.listens:
                self._manager.tick(life.about.line)
                await asyncio.sleep(SIGN_INTERVAL)

        life.about.when_ready(lambda: self._manager.ready(life.about.line()))
        signs = asyncio.ensure_future(attend())
        try:
            yield
        finally:
            signs.cancel()

    def _written(self, number: int) -> None:
        if self._life is not None:
            self._life.keeping.written(number)

    def _store_returned(self) -> None:
        if self._life is not None:
            self._life.store_returned()

    def request_stop(self, *, leave: bool) -> None:
        """End: with `leave` the node's entries are gone at once, else the peers hold them a while.

        Before the agent runs, and again while it ends: no effect but that.
        """
        self._stop = Parting.LEAVE if leave else Parting.RESTART
        if self._life is not None:
            self._life.stop(self._stop)

    def terminate(self) -> None:
        """End as the service manager wants it: with the host leave, else stop for a while."""
        if not self._manager.listens:
            self.request_stop(leave=False)
        elif self._terminating is None:
            self._terminating = asyncio.ensure_future(self._terminate())

    async def _terminate(self) -> None:
        leave = await asyncio.to_thread(host_stops)
        if leave:
            _log.info("this host is shut down: leaving")
        self.request_stop(leave=leave)

    def reload(self) -> None:
        """Read configuration and service files again, and apply what can change meanwhile."""
        if self._life is not None:
            self._reload(dry_run=False, actor=b"")

    def _reload(self, *, dry_run: bool, actor: bytes) -> Json:
        """Reload, or only see what that would change; `actor` wants it."""
        life = self._life
        assert life is not None
        found = look(self.config, self._load)
        if not dry_run:
            self._manager.reloading()
            found.tell()
            self.config = found.config
            logs.set_level(self.config.log_level)
            life.reconfigure(self.config)
        services: Json = {"services": [], "problems": []}
        if not found.problems:
            services = life.own.services.apply(dry_run=dry_run, actor=actor).to_json()
        if not dry_run:
            life.about.when_ready(lambda: self._manager.ready(life.about.line()))
        return {
            "dry_run": dry_run,
            "config": {"changed": found.changed, "restart": found.restart},
            "services": services["services"],
            "problems": [_problem(each) for each in found.problems] + services["problems"],
        }

    async def _advertised_host(self, bind: endpoints.Endpoint) -> str:
        """Return the host by which peers reach this one."""
        try:
            seeds = [endpoints.parse(seed, field="join") for seed in self.config.join]
            return (await endpoints.advertised(bind, seeds)).host
        except ValueError as error:
            raise InvalidRequest(str(error), field="advertise") from None


def _problem(message: str) -> Json:
    return {"file": None, "line": None, "field": None, "message": message}


def _prepare_process() -> None:
    """Allow as many descriptors as the system does, and let the collector leave bulk work alone.

    What this process may do beyond its user's rights is not for the commands that it starts.
    """
    capabilities.keep_to_ourselves()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
