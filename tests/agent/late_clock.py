"""An agent whose clock is ten minutes late: `python -m tests.agent.late_clock FLAGS...`."""

from discoagent import agent
from discoagent.clock import Clock
from discoagent.daemon import main

LATE_US = 600 * 1_000_000


class LateClock(Clock):
    """The clock that is late."""

    def wall_us(self) -> int:
        """Return microseconds since the epoch, of ten minutes ago."""
        return super().wall_us() - LATE_US

    def wall_ms(self) -> int:
        """Return milliseconds since the epoch, of ten minutes ago."""
        return self.wall_us() // 1_000


if __name__ == "__main__":
    vars(agent)["Clock"] = LateClock  # by which an agent reads time
    main()
