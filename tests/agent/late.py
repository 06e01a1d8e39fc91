"""An agent whose clock is late, for programs that tests start."""

from discoagent.daemon import agent
from discoagent.daemon.command import main
from discoagent.local.host.clock import Clock


def run(seconds: int) -> None:
    """Be the daemon on a host whose wall clock is so many seconds late."""

    class LateClock(Clock):
        """The clock that is late."""

        def wall_us(self) -> int:
            """Return microseconds since the epoch, of back then."""
            return super().wall_us() - seconds * 1_000_000

        def wall_ms(self) -> int:
            """Return milliseconds since the epoch, of back then."""
            return self.wall_us() // 1_000

    vars(agent)["Clock"] = LateClock  # by which an agent reads time
    main()
