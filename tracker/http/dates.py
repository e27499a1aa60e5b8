"""Dates as HTTP writes them (RFC 9110, 5.6.7)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_VALUE = 64


def parse_http_date(value: str | None) -> datetime | None:
    """The moment that a header names; None for no value or nonsense."""
    text = (value or "").strip()
    if not text or len(text) > _LONGEST_VALUE:
        return None
    try:
        moment = parsedate_to_datetime(text)
        # A date in "-0000" is parsed without its zone; HTTP knows only UTC.
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
