"""Moments as JSON has them."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import overload


@overload
def rfc3339(moment: datetime) -> str: ...
@overload
def rfc3339(moment: None) -> None: ...
@overload
def rfc3339(moment: datetime | None) -> str | None: ...
def rfc3339(moment: datetime | None) -> str | None:
    """A moment in UTC, to the millisecond; one that is missing stays missing."""
    return None if moment is None else _written(moment)


@lru_cache(maxsize=16)
def _written(moment: datetime) -> str:
    """What is told by the thousand has one moment."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
