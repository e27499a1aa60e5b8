"""Durations as people write them: a whole number with a unit, like `"20s"` or `"7d"`."""

import re
from datetime import timedelta

UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
EXAMPLES = '"250ms", "20s", "5m", "2h", "7d"'
LONGEST = timedelta(days=3650)
"""Ten years: added to any moment of our time it is still a date that every database can store."""

_DURATION = re.compile(r"(\d{1,12})\s*(ms|s|m|h|d)", re.ASCII)
_FEWEST_DAYS = timedelta(days=2)


def parse_duration(text: str) -> timedelta:
    """The duration that a text like `"250ms"` stands for; ValueError where it stands for none, or for too much."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a whole number with a unit: {EXAMPLES}")
    number, unit = int(match[1]), UNITS[match[2]]
    if number > LONGEST // unit:
        raise ValueError(f"longer than {format_duration(LONGEST)}")
    return number * unit


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as the same duration, to the millisecond.

    Days are counted from two on: 24 hours read better as `"24h"`.
    """
    if not duration:
        return "0s"
    for name in ("d", "h", "m", "s"):
        if duration % UNITS[name] == timedelta(0) and not (name == "d" and duration < _FEWEST_DAYS):
            return f"{duration // UNITS[name]}{name}"
    return f"{duration // UNITS['ms']}ms"
