"""What upstreams mean by their words, numbers and times, and by their HTTP codes: tables and pure functions.

Sources: the status vocabularies and number formats of novicezk/midjourney-proxy, trueai-org/midjourney-proxy,
the new-api family and the resellers in front of them.
"""

import functools
import math
import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from tracker.model import MissKind, Status

STATUS_WORDS: dict[str, Status] = {
    **dict.fromkeys(
        ("not_start", "submitted", "pending", "queued", "queueing", "in_queue", "created", "waiting", "starting"),
        Status.QUEUED,
    ),
    **dict.fromkeys(("in_progress", "running", "processing", "progress", "started", "generating"), Status.RUNNING),
    **dict.fromkeys(("modal", "needs_input"), Status.NEEDS_INPUT),
    **dict.fromkeys(
        ("success", "succeed", "succeeded", "successful", "completed", "complete", "done", "finished"),
        Status.SUCCEEDED,
    ),
    **dict.fromkeys(("failure", "failed", "fail", "error"), Status.FAILED),
    **dict.fromkeys(("cancel", "cancelled", "canceled", "aborted"), Status.CANCELLED),
}
"""Folded upstream words; what is not here (`unknown`, empty, new words) never ends a task."""


_LONGEST_REMEMBERED = 32
"""Characters."""


def parse_status(value: object) -> Status | None:
    """The status an upstream's word stands for; None for anything that is not a known word."""
    if not isinstance(value, str):
        return None
    return _known_status(value) if len(value) <= _LONGEST_REMEMBERED else _status(value)


def _status(word: str) -> Status | None:
    return STATUS_WORDS.get(re.sub(r"[\s_-]+", "_", word.strip().lower()))


_known_status = functools.lru_cache(maxsize=256)(_status)
"""The same few words come with every object, as do the same steps of progress."""


_NUMBER = re.compile(r"\s*([+-]?\d{1,9}(?:\.\d{1,18})?)\s*(%?)\s*", re.ASCII)


def parse_progress(value: object) -> int | None:
    """Percent as a whole number from 0 to 100, or None where the value says nothing.

    Text with or without a percent sign, numbers, and fractions below 1 are read; words, emptiness,
    negative numbers and anything not finite are not. A bare `1` is one percent: the dialect counts to 100.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return min(value, 100) if value >= 0 else None
    if isinstance(value, float):
        return _percent(value, is_percent=False)
    if isinstance(value, str):
        return _known_percent(value) if len(value) <= _LONGEST_REMEMBERED else _percent_in(value)
    return None


def _percent_in(text: str) -> int | None:
    match = _NUMBER.fullmatch(text)
    return _percent(float(match[1]), is_percent=bool(match[2])) if match else None


_known_percent = functools.lru_cache(maxsize=256)(_percent_in)


def _percent(number: float, *, is_percent: bool) -> int | None:
    if not math.isfinite(number) or number < 0:
        return None
    if 0 < number < 1 and not is_percent:
        # 0.29 * 100 is a hair below 29 in binary.
        number = round(number * 100, 9)
    return int(min(number, 100))


_DIGITS = re.compile(r"\s*\d{1,18}\s*", re.ASCII)
_FIRST_MILLISECOND_VALUE = 100_000_000_000
_LAST_MILLISECOND = 253_402_300_799_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_EXACT = 4_000_000_000_000
"""Milliseconds up to which a fraction of seconds is not rounded to the wrong one."""


def parse_time(value: object) -> datetime | None:
    """A moment from epoch milliseconds (or seconds, where too small for those); None for "not yet" and nonsense."""
    if type(value) is int and _FIRST_MILLISECOND_VALUE <= value <= _LAST_EXACT:
        # As almost all are written; the way below takes three times as long.
        return datetime.fromtimestamp(value / 1000, UTC)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Compared before it is reckoned with: JSON carries whole numbers that no float can hold.
    if not 0 < value <= _LAST_MILLISECOND:
        return None
    return _EPOCH + timedelta(milliseconds=round(value if value >= _FIRST_MILLISECOND_VALUE else value * 1000))


_MISS_BY_CODE: dict[int, MissKind] = {
    HTTPStatus.UNAUTHORIZED: MissKind.REFUSED,
    HTTPStatus.FORBIDDEN: MissKind.REFUSED,
    HTTPStatus.PAYMENT_REQUIRED: MissKind.REFUSED,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: MissKind.REFUSED,
    HTTPStatus.TOO_MANY_REQUESTS: MissKind.THROTTLED,
    HTTPStatus.REQUEST_TIMEOUT: MissKind.TRANSIENT,
    HTTPStatus.TOO_EARLY: MissKind.TRANSIENT,
}


def miss_by_code(code: int) -> MissKind:
    """What an HTTP code other than 2xx says when its body says nothing more precise."""
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return MissKind.TRANSIENT
    return _MISS_BY_CODE.get(code, MissKind.UNUSABLE)
