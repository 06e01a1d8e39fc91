"""Moments as users write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from discoagent.client.moments import milliseconds_at
from discoagent.errors import InvalidRequest

NOW = 1_790_000_000_000


@pytest.mark.parametrize(
    ("moment", "ms"),
    [
        ("-10m", NOW - 600_000),
        ("-1.5s", NOW - 1_500),
        ("-0", NOW),
        ("2026-09-21T14:13:20Z", NOW),
        ("2026-09-21T14:13:20.123Z", NOW + 123),
        ("2026-09-21T16:13:20+02:00", NOW),
        ("1969-12-31T23:59:59Z", 0),
        (datetime.fromtimestamp(NOW / 1000, UTC), NOW),
        (datetime.fromtimestamp(NOW / 1000, timezone(timedelta(hours=2))), NOW),
    ],
)
def test_a_moment(moment: "str | datetime", ms: int) -> None:
    assert milliseconds_at(moment, NOW) == ms


@pytest.mark.parametrize(
    "moment", ["yesterday", "", "-", "-10", "-10d", "10m", "2026-13-01T00:00:00Z", 7, None]
)
def test_what_is_no_moment(moment: str) -> None:
    """It is told how one is written."""
    with pytest.raises(InvalidRequest, match="-10m for ten minutes ago") as caught:
        milliseconds_at(moment, NOW)
    assert caught.value.field == "time"


@pytest.mark.parametrize(
    "moment",
    ["2026-09-21T14:13:20", "2026-09-21", datetime(2026, 9, 21)],  # noqa: DTZ001 - as users may
)
def test_a_moment_of_an_unknown_zone(moment: "str | datetime") -> None:
    """Nobody guesses it."""
    with pytest.raises(InvalidRequest, match="does not say its offset from UTC"):
        milliseconds_at(moment, NOW)
