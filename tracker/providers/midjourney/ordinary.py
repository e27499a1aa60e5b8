"""Objects that may be kept as they are, which most are: told from their text, without a look at every value."""

import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from tracker.providers.midjourney.cleaning import LARGEST, LARGEST_INTEGER, LONGEST_BLOB, judge

_SMALL = LARGEST // 8
"""Bytes as an upstream sent them: an object of so few is never too large, in whatever way its numbers are written."""
_Plain = (
    Annotated[str, msgspec.Meta(max_length=LONGEST_BLOB)]
    | Annotated[int, msgspec.Meta(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
    | float
    | bool
    | None
)
WELL_KNOWN = (
    *("id", "action", "status", "progress", "submitTime", "startTime", "finishTime", "failReason", "state"),
    *("prompt", "promptEn", "promptFull", "description", "imageUrl", "imageUrls", "videoUrl", "videoUrls"),
    *("imageWidth", "imageHeight", "url", "thumbnail", "buttons", "customId", "emoji", "label", "type", "style"),
    *("properties", "finalPrompt", "finalZhPrompt", "botType", "mode", "speed", "seed"),
)
"""What upstreams call most of what they tell; it is kept under its name, whatever that holds."""
_MASK = "maskBase64"
"""Many an object has this too, mostly empty."""


def _decoder(names: Any, names_below: Any) -> Callable[[bytes], dict[str, Any]]:  # noqa: ANN401 - types
    flat = _Plain | list[_Plain] | dict[names_below, _Plain]
    nested = _Plain | list[flat] | dict[names_below, flat]
    return msgspec.json.Decoder(dict[names, _Plain | list[nested] | dict[names_below, nested]]).decode


_decode = _decoder(str, str)
_decode_well_known = _decoder(Literal[(*WELL_KNOWN, _MASK)], Literal[WELL_KNOWN])
_NESTED = frozenset({dict, list})
_REFUSED = (msgspec.MsgspecError, ValueError, RecursionError)


def ordinary(text: bytes) -> dict[str, Any] | None:
    """The object, where cleaning it would change nothing; None where that takes a closer look."""
    if len(text) > _SMALL or (b"\\" in text and b"\\u0000" in text):
        return None
    try:
        # Names that are compared as they are read need no second look: the object of every other step is one of these.
        found = _decode_well_known(text)
        return None if type(found.get(_MASK)) in _NESTED else found
    except _REFUSED:
        pass
    try:
        found = _decode(text)
    except _REFUSED:
        return None
    return found if _is_harmless(found) else None


def _is_harmless(found: dict[str, Any]) -> bool:
    """Whether every field at every depth is kept under its name."""
    waiting: list[Any] = [found]
    for one in waiting:
        values = one
        if type(one) is dict:
            pictures = _pictures(tuple(one))
            if pictures is None or (pictures and any(type(one[name]) in _NESTED for name in pictures)):
                return False
            values = one.values()
        # The list grows while it is gone through: a call for each would take twice as long.
        waiting += [value for value in values if type(value) in _NESTED]
    return True


@functools.lru_cache(maxsize=256)
def _pictures(names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Those that promise base64, which may be a few words; None where one is not kept at all.

    The same few objects come again and again, with the same names in the same order.
    """
    judged = [judge(name) for name in names]
    if any(is_secret or stored != name for name, (is_secret, _, stored) in zip(names, judged, strict=True)):
        return None
    return tuple(name for name, (_, is_base64, _) in zip(names, judged, strict=True) if is_base64)
