"""The same registrations read straight from their bytes, where nothing is wrong with them.

It takes only what `RegistrationRequest` takes too, and means the same by it. What it does not take says nothing: the
model is asked then, which has the words for what is wrong.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from pydantic_core import PydanticCustomError

from tracker.intake.requests import (
    LARGEST_BATCH,
    LARGEST_METADATA,
    LONGEST_TASK_ID,
    LONGEST_UPSTREAM,
    LONGEST_URL,
    check_clean,
    check_words,
    compact,
)

_MOST_BRACKETS = 100
"""Of metadata: with more of them it may be nested deeper than is taken."""

_SURELY_SMALL = LARGEST_METADATA // 4
"""Bytes of JSON that is not larger than allowed, in whichever of its spellings."""


class PlainRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A registration of which the shape is right."""

    task_id: Annotated[str, Meta(min_length=1, max_length=LONGEST_TASK_ID)]
    callback_url: Annotated[str, Meta(max_length=LONGEST_URL)] | None = None
    upstream: Annotated[str, Meta(max_length=LONGEST_UPSTREAM)] | None = None
    events: list[str] | None = None
    format: Literal["standard", "upstream"] | None = None
    metadata: Any = None


_Rows = Annotated[list[PlainRequest], Meta(min_length=1, max_length=LARGEST_BATCH)]


class _Wrapped(Struct, forbid_unknown_fields=True):
    tasks: _Rows


_ONE = msgspec.json.Decoder(PlainRequest)
_MANY = msgspec.json.Decoder(_Rows)
_WRAPPED = msgspec.json.Decoder(_Wrapped)
_UNUSUAL = (msgspec.MsgspecError, PydanticCustomError, ValueError, RecursionError)


def read_one(body: bytes) -> PlainRequest | None:
    """A registration; None for anything that has to be looked at more closely."""
    try:
        return _checked(_ONE.decode(body))
    except _UNUSUAL:
        return None


def read_many(body: bytes) -> list[PlainRequest] | None:
    """The registrations of a batch; None where one of them has to be looked at more closely."""
    try:
        found = _WRAPPED.decode(body).tasks if body.lstrip()[:1] == b"{" else _MANY.decode(body)
        return [_checked(request) for request in found]
    except _UNUSUAL:
        return None


def _checked(request: PlainRequest) -> PlainRequest:
    check_clean(request.task_id)
    if request.callback_url is not None:
        check_clean(request.callback_url)
    if request.metadata is not None:
        _check_metadata(request.metadata)
    if request.events is None:
        return request
    return msgspec.structs.replace(request, events=check_words(request.events))


def _check_metadata(value: object) -> None:
    text = msgspec.json.encode(value)
    if text.count(b"[") + text.count(b"{") > _MOST_BRACKETS:
        raise ValueError("this may be nested too deep")
    if len(text) > _SURELY_SMALL or b"\\u0000" in text:
        compact(value)
