"""Durations as users write them: `200ms`, `5s`, `2m`, `1h`, or `0`."""

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h)", re.ASCII)


def parse(text: str) -> float:
    """Return the seconds of a duration, never negative; ValueError for anything else."""
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f'must be a duration such as "200ms", "5s", "2m" or "1h", not {text!r}')
    return float(match[1]) * _UNITS[match[2]]
