"""The agent: lives on this host from its start to its end, nearly always in one life.

There is a second life in one process only where the cluster remembers a higher incarnation of this
node than the host's clock gives.
"""

import contextlib
import gc
import resource

from discoagent import endpoints
from discoagent.clock import Clock
from discoagent.config import Config
from discoagent.core.messages import Parting
from discoagent.errors import InvalidRequest
from discoagent.life import Life

COLLECT_AFTER = (50_000, 20, 100)  # objects made until a collection: bulk work makes no cycles


class Agent:
    """This host's agent."""

    def __init__(self, config: Config, *, clock: Clock | None = None) -> None:
        self.config = config
        self._clock = clock or Clock()
        self._life: Life | None = None
        self._stop: Parting | None = None

    async def run(self) -> int:
        """Run until asked to stop; return the exit code.

        Raises DiscoError: Conflict if a port, the socket or the node's name is taken, Refused if
        something may not be had, InvalidRequest if the configuration cannot be used.
        """
        _prepare_process()
        bind = endpoints.parse(self.config.bind, field="bind", any_port=True)
        host = await self._advertised_host(bind)
        incarnation = self._clock.wall_us()
        while True:
            life = self._life = Life(self.config, self._clock, incarnation, bind, host)
            try:
                life.start()
                if self._stop is not None:  # it was asked for while the name was looked up
                    life.stop(self._stop)
                outranked_by = await life.ended
            finally:
                life.close()
            if outranked_by is None:
                return 0
            incarnation = max(outranked_by + 1, self._clock.wall_us())
            bind = life.bound

    def request_stop(self, *, leave: bool) -> None:
        """End: with `leave` the node's entries are gone at once, else the peers hold them a while.

        Before the agent runs, and again while it ends: no effect but that.
        """
        self._stop = Parting.LEAVE if leave else Parting.RESTART
        if self._life is not None:
            self._life.stop(self._stop)

    def reconfigure(self, config: Config) -> None:
        """Take over what may change while the agent runs: labels and seeds."""
        self.config = config
        if self._life is not None:
            self._life.reconfigure(config)

    async def _advertised_host(self, bind: endpoints.Endpoint) -> str:
        """Return the host by which peers reach this one."""
        try:
            seeds = [endpoints.parse(seed, field="join") for seed in self.config.join]
            return (await endpoints.advertised(bind, seeds)).host
        except ValueError as error:
            raise InvalidRequest(str(error), field="advertise") from None


def _prepare_process() -> None:
    """Allow as many descriptors as the system does, and let the collector leave bulk work alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
