"""When a server wants to be asked again: the Retry-After header (RFC 9110, 10.2.3)."""

import re
from datetime import datetime, timedelta

from tracker.http.dates import parse_http_date

LONGEST = timedelta(hours=24)
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """How long to wait, at most 24 h; None for no value, nonsense, or a moment that has passed.

    Seconds may have a fraction, which no standard allows and some servers send.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return timedelta(seconds=min(float(text), LONGEST.total_seconds()))
    moment = parse_http_date(text)
    if moment is None or moment < now:
        return None
    return min(moment - now, LONGEST)
