"""An agent whose host's clock was set back by a year: `python -m tests.agent.year_ago FLAGS...`."""

from discoagent import agent
from discoagent.clock import Clock
from discoagent.daemon import main

YEAR_US = 365 * 24 * 3600 * 1_000_000


class YearAgo(Clock):
    """The clock that was set back."""

    def wall_us(self) -> int:
        """Return microseconds since the epoch, as of a year ago."""
        return super().wall_us() - YEAR_US

    def wall_ms(self) -> int:
        """Return milliseconds since the epoch, as of a year ago."""
        return self.wall_us() // 1_000


if __name__ == "__main__":
    vars(agent)["Clock"] = YearAgo  # by which an agent reads time
    main()
