"""When a server wants to be asked again: the Retry-After header (RFC 9110, 10.2.3)."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LONGEST = timedelta(hours=24)
_SECONDS = re.compile(r"[0-9]{1,32}(\.[0-9]{1,32})?")
_LONGEST_VALUE = 64


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """How long to wait, at most 24 h; None for no value, nonsense, or a moment that has passed.

    Seconds may have a fraction, which no standard allows and some servers send.
    """
    text = (value or "").strip()
    if not text or len(text) > _LONGEST_VALUE:
        return None
    if _SECONDS.fullmatch(text):
        return timedelta(seconds=min(float(text), LONGEST.total_seconds()))
    try:
        moment = parsedate_to_datetime(text)
        # A date in "-0000" is parsed without its zone; HTTP knows only UTC.
        delay = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(delay, LONGEST) if delay >= timedelta(0) else None
