"""The body of an answer as a JSON value, however it is dressed."""

import json
from dataclasses import dataclass
from enum import Enum, auto

import msgspec


class Shape(Enum):
    """What a body is made of."""

    EMPTY = auto()
    HTML = auto()
    BROKEN = auto()
    """Neither of the others: plain text, half a document, nesting beyond reason."""
    JSON = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A body, read as far as it can be."""

    shape: Shape
    value: object = None
    text: str = ""


def parse(body: bytes, content_type: str) -> Parsed:
    """Read a body; never raises.

    Bytes that are no UTF-8 become U+FFFD, raw control characters in texts pass, `NaN` and `Infinity` become
    null, of equal keys the last one counts.
    """
    text = body.decode("utf-8", "replace").lstrip("\ufeff").strip()
    if not text:
        return Parsed(shape=Shape.EMPTY)
    if text.startswith("<"):
        return Parsed(shape=Shape.HTML, text=text)
    try:
        value = _value(text)
    except (ValueError, RecursionError):
        # Last, because some gateways label their JSON as text/html.
        shape = Shape.HTML if "html" in content_type.lower() else Shape.BROKEN
        return Parsed(shape=shape, text=text)
    return Parsed(shape=Shape.JSON, value=value, text=text)


def _value(text: str) -> object:
    try:
        return _strictly(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # Three times as slow, and reads what is no JSON to the letter.
        return json.loads(text, strict=False, parse_constant=_null)


_strictly = msgspec.json.Decoder().decode


def _null(_word: str) -> None:
    """Stand in for a number that is none."""
