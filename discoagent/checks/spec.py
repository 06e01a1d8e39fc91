"""What a check is, and the map of it that the local API and an entry hold. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from discoagent import durations
from discoagent.errors import InvalidRequest

PASSING, WARNING, PENDING, CRITICAL = "passing", "warning", "pending", "critical"
RANK = {PASSING: 0, WARNING: 1, PENDING: 2, CRITICAL: 3}  # of several, the highest counts
WORDS = {"pass": PASSING, "warn": WARNING, "fail": CRITICAL}  # what a `ttl` check is told
PORT = "port"  # that an instance's process listens on its port: made by the agent alone
TTL_FALL = 1  # its owner says itself that it fails

Json = dict[str, Any]


class Check(NamedTuple):
    """What is checked, how often, and how many outcomes in a row change its state.

    Make one with `http`, `tcp`, `exec` or `ttl`; durations are texts as "5s", or seconds.
    """

    kind: str
    target: str | None = None
    command: tuple[str, ...] = ()
    interval_ms: int = 5_000
    timeout_ms: int = 2_000
    rise: int = 1
    fall: int = 2
    match: str | None = None

    @classmethod
    def http(  # noqa: PLR0917 - the order that users were promised
        cls,
        path_or_url: str,
        interval: str | float = "5s",
        timeout: str | float = "2s",
        rise: int = 1,
        fall: int = 2,
        match: str | None = None,
    ) -> "Check":
        """GET this path of the instance, or this URL: 2xx passes, 429 warns, all else fails.

        `match`: a text that the first 64 KiB of the answer must hold. Certificates are verified.
        """
        target = f"http:{path_or_url}" if path_or_url.startswith("/") else path_or_url
        return _timed("http", interval, timeout, rise, fall, target=target, match=match)

    @classmethod
    def tcp(
        cls,
        host_port: str | None = None,
        interval: str | float = "5s",
        timeout: str | float = "2s",
        rise: int = 1,
        fall: int = 2,
    ) -> "Check":
        """Connect to the instance's own address and port, or to `HOST:PORT`."""
        return _timed("tcp", interval, timeout, rise, fall, target=host_port)

    @classmethod
    def exec(
        cls,
        command: Sequence[str],
        interval: str | float = "5s",
        timeout: str | float = "2s",
        rise: int = 1,
        fall: int = 2,
    ) -> "Check":
        """Run a command as the owner of the entry, never in a shell: 0 passes, 1 warns, all else
        fails."""
        if isinstance(command, str):
            raise InvalidRequest(
                f'check: a list of words such as ["pg_isready", "-q"], not {command!r}',
                field="check",
            )
        return _timed("exec", interval, timeout, rise, fall, command=tuple(command))

    @classmethod
    def ttl(cls, interval: str | float) -> "Check":
        """Fail unless the owner says `ttl pass` (or `warn`) again within this time."""
        return _timed("ttl", interval, "2s", 1, TTL_FALL)

    def packed(self) -> Json:
        """Return the map of the local API, which `read` takes."""
        packed: Json = {"kind": self.kind}
        if self.kind == "exec":
            packed["command"] = list(self.command)
        elif self.kind != "ttl":
            packed["target"] = self.target
        packed["interval_ms"] = self.interval_ms
        if self.kind != "ttl":
            packed |= {"timeout_ms": self.timeout_ms, "rise": self.rise, "fall": self.fall}
        if self.match is not None:
            packed["match"] = self.match
        return packed

    @property
    def same_thing(self) -> tuple[object, ...]:
        """What is checked, however often: a check of the same thing keeps its state."""
        return (self.kind, self.target, self.command, self.match)

    @property
    def needs_port(self) -> bool:
        """Is the instance's own port asked at?"""
        own_url = self.kind == "http" and "://" not in str(self.target)
        return own_url or (self.kind == "tcp" and self.target is None)

    def __str__(self) -> str:
        if self.kind == "exec":
            from shlex import join  # which `discoctl list` has no use for

            return f"exec:{join(self.command)}"
        if self.kind == "http":
            return str(self.target)
        return self.kind if self.target is None else f"{self.kind}:{self.target}"


def _timed(
    kind: str, interval: str | float, timeout: str | float, rise: int, fall: int, **what: Any
) -> Check:
    return Check(
        kind,
        interval_ms=_milliseconds(interval, "interval"),
        timeout_ms=_milliseconds(timeout, "timeout"),
        rise=rise,
        fall=fall,
        **what,
    )


def _milliseconds(value: str | float, name: str) -> int:
    try:
        seconds = durations.parse(value) if isinstance(value, str) else float(value)
        return round(seconds * 1000)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidRequest(f"check: {name} {error}", field="check") from None


def of(held: Mapping[str, Any]) -> Check:
    """Return the check of an entry's map; its state is left out."""
    known = {name: held[name] for name in Check._fields if name in held}
    if "command" in known:
        known["command"] = tuple(known["command"])
    if known["kind"] == "ttl":
        known["fall"] = TTL_FALL
    return Check(**known)


def held(check: Check, state: str = PENDING, *, flapping: bool = False) -> Json:
    """Return the map that an entry holds."""
    return {**check.packed(), "state": state, "flapping": flapping}


def carried(wanted: Iterable[Check], before: Sequence[Json]) -> tuple[Json, ...]:
    """Return what an entry holds of the wanted checks: those of the same thing keep their state."""
    states = {of(each).same_thing: each for each in before}
    maps = []
    for check in wanted:
        known = states.get(check.same_thing, {})
        maps.append(held(check, known.get("state", PENDING), flapping=known.get("flapping", False)))
    return tuple(maps)


def worst(held_checks: Iterable[Json]) -> str:
    """Return the state of an instance with these checks; without any it is passing."""
    states = [str(each["state"]) for each in held_checks]
    return max(states, key=lambda state: RANK.get(state, 0), default=PASSING)
