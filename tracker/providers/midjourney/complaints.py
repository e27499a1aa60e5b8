"""What the error envelopes of upstreams say: their words for people, and the kind of miss they amount to.

Envelopes: `{description, type, code}` and `{error: {message, type, code}}` of the new-api family,
`{success, code, message}` of trueai, `{code, message, data}` of the gateways in front of them.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus

from tracker.model import MissKind
from tracker.providers.midjourney.bodies import Parsed
from tracker.providers.midjourney.cleaning import clean_text
from tracker.vocabulary import miss_by_code

LONGEST_EXCERPT = 200
_LONGEST_SEARCH = 2000
_NOT_FOUND, _INVALID, _SATURATED = 3, 4, 30
"""Codes of the proxies: no such task, a bad request (the new-api family's word for no such task), too busy."""
_FIRST_OWN_CODE = 600
"""Codes below are HTTP's, repeated in the body; from here on gateways number their own."""

_UNKNOWN_ID = re.compile(
    r"(?<![a-z])(?:task|job|mj_id)[\s_-]*(?:id[\s_-]+)?(?:is[\s_-]+|does[\s_-]+|was[\s_-]+)?(?:no|not)[\s_-]*(?:found|exist)"
    r"|(?<![a-z])task(?:[\s_]+id)?[\s:]+\S{0,64}\d\S{0,64}[\s_]+(?:was[\s_]+)?(?:not found|does not exist)"
    r"|(?:no[\s_]+such|unknown)[\s_]+(?:task|job)(?![a-z])"
    r"|任务不存在|找不到任务|未找到任务|任务未找到|不存在的任务",
    re.IGNORECASE,
)
_OTHER_FAULT = re.compile(r"模式|mode\b", re.IGNORECASE)
"""one-hub answers a wrong mode prefix with the code of an unknown id."""


def excerpt(text: str) -> str:
    """The beginning of a text, in one line that can be shown and stored."""
    line = " ".join("".join(c if c.isprintable() else " " for c in clean_text(text[: LONGEST_EXCERPT * 4])).split())
    return line if len(line) <= LONGEST_EXCERPT else f"{line[: LONGEST_EXCERPT - 1]}…"


def words(parsed: Parsed) -> str:
    """What the body of an error tells people; empty where it is a web page or tells nothing."""
    if isinstance(parsed.value, dict):
        return excerpt(_message(parsed.value))
    return "" if parsed.text.startswith("<") else excerpt(parsed.text)


def says_unknown(said: str) -> bool:
    """Whether the words mean that there is no such task."""
    return _UNKNOWN_ID.search(said[:_LONGEST_SEARCH]) is not None


def kind_of(value: object) -> MissKind | None:
    """What an error object amounts to, where its code or its words tell; None where they do not."""
    if not isinstance(value, dict):
        return None
    said = _message(value)
    if any(says_unknown(text) for text in (said, value.get("code"), value.get("status")) if isinstance(text, str)):
        return MissKind.UNKNOWN
    return _kind_of_code(_code(value), said, is_failure=value.get("success") is False)


def _kind_of_code(code: int | None, said: str, *, is_failure: bool) -> MissKind | None:
    if code == _SATURATED:
        return MissKind.THROTTLED
    if code is not None and code != HTTPStatus.NOT_FOUND and code in range(HTTPStatus.BAD_REQUEST, _FIRST_OWN_CODE):
        return miss_by_code(code)
    if is_failure:
        return MissKind.UNUSABLE
    if code == _NOT_FOUND or (code == _INVALID and not _OTHER_FAULT.search(said)):
        return MissKind.UNKNOWN
    return None


def _code(value: Mapping[str, object]) -> int | None:
    """The number in `code`, or in `error.code`, also where it is written as text."""
    inner = value.get("error")
    code = value.get("code", inner.get("code") if isinstance(inner, dict) else None)
    if isinstance(code, str) and code.strip().isdecimal() and len(code) <= LONGEST_EXCERPT:
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _message(value: Mapping[str, object]) -> str:
    inner = value.get("error")
    candidates = [value.get(name) for name in ("description", "message", "msg", "detail")]
    if isinstance(inner, dict):
        candidates += [inner.get("message"), inner.get("code"), inner.get("type")]
    candidates += [inner, value.get("code")]
    return next((text for text in candidates if isinstance(text, str) and text.strip()), "")
