"""Reading what a server sends without ever holding more of it than was asked for."""

import zlib

from tracker.http.transport import Response

_GZIP_OR_ZLIB = 47
_RAW_DEFLATE = -15
_WINDOWS = {"gzip": (_GZIP_OR_ZLIB,), "x-gzip": (_GZIP_OR_ZLIB,), "deflate": (_GZIP_OR_ZLIB, _RAW_DEFLATE)}
"""What to try in turn: some servers call raw deflate data `deflate`, where the standard means zlib's format."""


async def read_into(body: list[bytes], response: Response, max_bytes: int) -> bool:
    """Add the raw body, at most `max_bytes`; whether there was more. What came before a fault stays in `body`."""
    room = max_bytes
    while True:
        # Where all of it is there, one read gives it: a second would only find the end.
        rest = response.rest()
        chunk = await response.read() if rest is None else rest
        if chunk:
            body.append(chunk[:room])
            room -= len(chunk)
        if room < 0:
            return True
        if rest is not None or not chunk:
            return False


def inflate(body: bytes, encoding: str, max_bytes: int) -> tuple[bytes, bool]:
    """The body without its content encoding, at most `max_bytes`, and whether something is missing at its end.

    Raises ValueError for an encoding that is not gzip or deflate, and for data that is not what it claims to be.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body[:max_bytes], len(body) > max_bytes
    if name not in _WINDOWS:
        raise ValueError("unknown content encoding")
    for window in _WINDOWS[name]:
        try:
            return _inflate(body, window, max_bytes)
        except zlib.error:
            continue
    raise ValueError(f"the body is not {name} data")


def _inflate(body: bytes, window: int, max_bytes: int) -> tuple[bytes, bool]:
    whole = bytearray()
    rest = body
    while rest:
        # A gzip body may be several streams one after another.
        stream = zlib.decompressobj(window)
        # max_length=0 would mean no bound at all; the byte too much tells that there is more.
        whole += stream.decompress(rest, max_bytes + 1 - len(whole))
        if len(whole) > max_bytes:
            return bytes(whole[:max_bytes]), True
        if not stream.eof:
            return bytes(whole), True
        rest = stream.unused_data
    return bytes(whole), False
