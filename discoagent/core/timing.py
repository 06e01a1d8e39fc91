"""The protocol's durations, in seconds, and the relations that must hold between them."""

from dataclasses import dataclass

CONNECT_TIMEOUT = 1.0  # how long one TCP connect may take before it is tried again
TICK = 0.25  # how often the shell drains heartbeats and calls `Replica.tick`


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in seconds; `problems()` says which relations do not hold."""

    heartbeat_interval: float = 1.0
    suspect_after: float = 2.0
    down_after: float = 4.0
    restart_grace: float = 15.0
    isolation_grace: float = 15.0
    forget_after: float = 3600.0
    settle_after: float = 3.0

    def problems(self) -> list[str]:
        """Name every relation that does not hold, as sentences; none: the timing is usable."""
        found = []
        if self.heartbeat_interval < 0.05:
            found.append("timing.heartbeat_interval must be at least 50ms")
        if self.suspect_after < 2 * self.heartbeat_interval:
            found.append("timing.suspect_after must be at least 2 x timing.heartbeat_interval")
        if self.down_after < self.suspect_after + self.heartbeat_interval + CONNECT_TIMEOUT:
            found.append(
                "timing.down_after must be at least timing.suspect_after + "
                "timing.heartbeat_interval + 1s, the time a connect may take"
            )
        if self.restart_grace != 0 and self.restart_grace <= self.down_after:
            found.append("timing.restart_grace must be 0 or more than timing.down_after")
        if self.isolation_grace < 0:
            found.append("timing.isolation_grace must not be negative")
        if self.forget_after <= self.down_after + self.restart_grace:
            found.append(
                "timing.forget_after must be more than timing.down_after + timing.restart_grace"
            )
        return found
