"""All time that the agent reads, but for the loop's own timers."""

import time


class Clock:
    """All time that the agent reads, but for the loop's own timers."""

    def now(self) -> float:
        """Return seconds since the boot, also those in which the host was suspended."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_us(self) -> int:
        """Return microseconds since the epoch."""
        return time.time_ns() // 1_000

    def wall_ms(self) -> int:
        """Return milliseconds since the epoch."""
        return time.time_ns() // 1_000_000
