"""What an HTTP answer is: a task, a list of tasks, or a miss of one of five kinds.

The dialects of "no such task" are six and the envelopes of errors are four, often with HTTP 200; nothing here
ever reads an error as a task's failure.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus

import msgspec

from tracker.model import Miss, MissKind
from tracker.providers.midjourney.bodies import Parsed, Shape, parse
from tracker.providers.midjourney.complaints import (
    excerpt,
    has_code,
    kind_of,
    names_account,
    names_route,
    says_missing,
    says_nothing,
    says_unknown,
    words,
)
from tracker.providers.midjourney.objects import is_task
from tracker.vocabulary import miss_by_code

_OK, _MULTIPLE_CHOICES = int(HTTPStatus.OK), int(HTTPStatus.MULTIPLE_CHOICES)
"""As numbers: each answer is asked for them, and to look a member up costs more than to compare."""
BODY_LIMIT = 8 * 1024 * 1024
"""Bytes of an answer, inflated."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP answer, as far as it was read."""

    status: int
    headers: Mapping[str, str] = {}
    """By name, in lower case."""
    body: bytes = b""
    truncated: bool = False
    """It was longer than `BODY_LIMIT`."""
    broken: str | None = None
    """Why the body could not be read to its end."""
    retry_after: timedelta | None = None

    @property
    def content_type(self) -> str:
        """What the body is said to be; empty where nothing is said."""
        return self.headers.get("content-type", "")


def task_in(reply: Reply, asked: str) -> Mapping[str, object] | Miss:
    """The task object in the answer to a fetch call, out of its envelope if it has one."""
    problem = _unread(reply)
    if problem:
        return problem
    parsed = parse(reply.body, reply.content_type)
    if not _is_fine(reply):
        return _by_status(reply, parsed)
    if isinstance(parsed.value, dict):
        return _task_in_object(parsed.value, asked, reply.retry_after)
    # Three ways to say nothing: 204, 200 without a body, and `null`.
    if parsed.shape is Shape.EMPTY or parsed.text == "null":
        return Miss(kind=MissKind.UNKNOWN, detail="the upstream answers with nothing: it does not know this id")
    return _no_object(reply, parsed)


def tasks_in(reply: Reply) -> Sequence[object] | Miss:
    """The entries in the answer to a list call, out of their envelope if they have one; never UNKNOWN."""
    problem = _unread(reply)
    if problem:
        return problem
    parsed = parse(reply.body, reply.content_type)
    if _is_fine(reply) and parsed.shape is Shape.JSON:
        if isinstance(parsed.value, list):
            return parsed.value
        if isinstance(parsed.value, dict):
            return _tasks_in_object(parsed.value, reply.retry_after)
    if _is_fine(reply):
        return _no_object(reply, parsed)
    miss = _by_status(reply, parsed)
    # An unknown address of the list call says nothing about the ids that were asked for.
    return _unusable(miss.detail) if miss.kind is MissKind.UNKNOWN else miss


def is_upstream_wide(reply: Reply, miss: Miss) -> bool:
    """Whether a miss is about the upstream as a whole, so that asking for other tasks now is in vain."""
    if miss.kind is MissKind.UNKNOWN:
        return False
    if miss.kind is not MissKind.UNUSABLE:
        return True
    misdirected = HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.BAD_REQUEST
    if misdirected or reply.status == HTTPStatus.METHOD_NOT_ALLOWED:
        return True
    parsed = parse(reply.body, reply.content_type)
    return parsed.shape is Shape.HTML or _lacks_route(reply, parsed) or _concerns_account(parsed)


def is_about_account(reply: Reply, miss: Miss) -> bool:
    """Whether a complaint without a telling code is about the account: it holds for every way to ask."""
    return miss.kind is MissKind.UNUSABLE and _concerns_account(parse(reply.body, reply.content_type))


def _concerns_account(parsed: Parsed) -> bool:
    return isinstance(parsed.value, dict) and names_account(words(parsed))


def _lacks_route(reply: Reply, parsed: Parsed) -> bool:
    if not isinstance(parsed.value, dict):
        return reply.status == HTTPStatus.NOT_FOUND
    says_404 = reply.status == HTTPStatus.NOT_FOUND or has_code(parsed.value, HTTPStatus.NOT_FOUND)
    return says_404 and names_route(parsed.value)


def is_whole(reply: Reply) -> bool:
    """Whether it is one of success, and was read to its end."""
    return _OK <= reply.status < _MULTIPLE_CHOICES and not reply.broken and not reply.truncated


def _is_fine(reply: Reply) -> bool:
    return _OK <= reply.status < _MULTIPLE_CHOICES


def _unusable(detail: str) -> Miss:
    return Miss(kind=MissKind.UNUSABLE, detail=detail)


def _unread(reply: Reply) -> Miss | None:
    """A fine answer that was not read to its end; of any other the code says enough."""
    if not _is_fine(reply):
        return None
    if reply.broken:
        return Miss(kind=MissKind.TRANSIENT, detail=f"the answer broke off: {excerpt(reply.broken)}")
    if reply.truncated:
        return _unusable(f"the answer is larger than {BODY_LIMIT // 1024 // 1024} MB")
    return None


def _no_object(reply: Reply, parsed: Parsed) -> Miss:
    match parsed.shape:
        case Shape.HTML:
            return _unusable("the upstream answers with a web page: base_url leads to the wrong path")
        case Shape.EMPTY:
            return _unusable(f"the upstream answers HTTP {reply.status} with an empty body")
        case Shape.BROKEN:
            return _unusable(f"the upstream answers with broken JSON: {excerpt(parsed.text)}")
        case Shape.JSON:
            return _unusable(f"the upstream answers with JSON of the wrong shape: {excerpt(parsed.text)}")


def _by_status(reply: Reply, parsed: Parsed) -> Miss:
    """What an HTTP code other than 2xx says, with the words of its body."""
    code = reply.status
    said = words(parsed)
    detail = f"HTTP {code}: {said}" if said else f"HTTP {code}"
    if HTTPStatus.MULTIPLE_CHOICES <= code < HTTPStatus.BAD_REQUEST:
        return _unusable(f"the upstream redirects (HTTP {code}), which is not followed: correct base_url")
    kind = miss_by_code(code)
    if kind is MissKind.UNUSABLE:
        kind = kind_of(parsed.value) or kind
        if kind in (MissKind.UNKNOWN, MissKind.UNUSABLE) and code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            kind, detail = _not_found(parsed, detail)
        elif says_unknown(said):
            kind = MissKind.UNKNOWN
    return Miss(kind=kind, detail=detail, retry_after=reply.retry_after)


def _not_found(parsed: Parsed, detail: str) -> tuple[MissKind, str]:
    """404 is an unknown id where an API says so or says nothing, and a wrong path where a router speaks."""
    if parsed.shape is Shape.EMPTY or parsed.text == "null" or says_unknown(words(parsed)):
        return MissKind.UNKNOWN, detail
    if not isinstance(parsed.value, dict) or names_route(parsed.value):
        return MissKind.UNUSABLE, f"{detail}; base_url leads to the wrong path"
    is_unknown = kind_of(parsed.value) is MissKind.UNKNOWN or says_nothing(parsed.value)
    return (MissKind.UNKNOWN if is_unknown else MissKind.UNUSABLE), detail


def _task_in_object(
    found: Mapping[str, object], asked: str, retry_after: timedelta | None
) -> Mapping[str, object] | Miss:
    if is_task(found, asked) and found.get("success") is not False:
        return found
    inner = found.get("data")
    if isinstance(inner, dict) and is_success(found) and "id" in inner and is_task(inner, asked):
        return inner
    return _complaint(found, retry_after)


def _tasks_in_object(found: Mapping[str, object], retry_after: timedelta | None) -> Sequence[object] | Miss:
    inner = found.get("data")
    if isinstance(inner, list) and is_success(found):
        return inner
    miss = _complaint(found, retry_after)
    return _unusable(miss.detail) if miss.kind is MissKind.UNKNOWN else miss


def is_success(envelope: Mapping[str, object]) -> bool:
    """Whether an envelope says that what is in it is what was asked for."""
    code = envelope.get("code", "success")
    if isinstance(code, str):
        code = code.strip().lower()
    return envelope.get("success") is not False and code in (0, 1, 200, "0", "1", "200", "success", "ok")


def _complaint(found: Mapping[str, object], retry_after: timedelta | None) -> Miss:
    """An object that is no task, answered with 200."""
    said = words(Parsed(shape=Shape.JSON, value=found))
    if "result" in found and found.get("code") in (1, 21, 22, 23, 24):
        return _unusable("the upstream answers as a submit call does: base_url leads to the wrong path")
    kind = kind_of(found) or (MissKind.UNKNOWN if _is_empty_envelope(found) else MissKind.UNUSABLE)
    detail = f"the upstream answers an error: {said}" if said else "the upstream answers an object that is no task"
    if kind is MissKind.UNKNOWN and says_nothing(found) and not says_unknown(said):
        detail = "the upstream answers without data: it does not know this id"
    return Miss(kind=kind, detail=detail, retry_after=retry_after if kind is MissKind.THROTTLED else None)


def _is_empty_envelope(found: Mapping[str, object]) -> bool:
    """A numeric code that is no error's, or `success`, beside data that is null or empty and no other words."""
    if "data" not in found or found["data"] not in (None, {}, []) or found.get("success") is False:
        return False
    code = found.get("code")
    is_number = isinstance(code, int) and not isinstance(code, bool) and code >= 0
    if not is_number and not ("code" in found and is_success(found)):
        return False
    # A router that answers everything with 200 has no more to say than HTTP's 404 either.
    says_less = says_missing(words(Parsed(shape=Shape.JSON, value=found))) and code != HTTPStatus.NOT_FOUND
    return says_nothing(found) or says_less
