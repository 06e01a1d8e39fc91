"""Moments as users name them: RFC 3339, or so long ago. Pure."""

from datetime import datetime

from discoagent import durations
from discoagent.errors import InvalidRequest, shorten

RULE = "a time such as 2026-01-31T12:00:00Z, or -10m for ten minutes ago"


def milliseconds_at(moment: str | datetime, now_ms: int, field: str = "time") -> int:
    """Return a moment in milliseconds since the epoch; `now_ms` is the present.

    A text is `-10m` or RFC 3339. Raises InvalidRequest that names `field` for anything else, and
    for a time without its offset from UTC.
    """
    if isinstance(moment, str) and moment.startswith("-"):
        try:
            return now_ms - round(durations.parse(moment[1:]) * 1000)
        except ValueError:
            raise _none(moment, field) from None
    try:
        found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        if found.tzinfo is None:
            raise InvalidRequest(
                f"{field}: {shorten(str(moment))} does not say its offset from UTC, such as Z",
                field=field,
            )
        return max(round(found.timestamp() * 1000), 0)
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise _none(moment, field) from None


def _none(moment: object, field: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {shorten(moment)} is not {RULE}", field=field)
