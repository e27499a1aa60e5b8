"""What a daemon and its sending processes say to each other: frames of MessagePack, each with its length before it.

Both ends are the same program in the same version, so nothing here has to be compatible with anything.
"""

import struct
from collections.abc import Iterator
from datetime import timedelta

import msgspec

from tracker.model import Outcome

_LENGTH = struct.Struct("!I")


class Equipment(msgspec.Struct, kw_only=True, frozen=True):
    """What a sending process has to know; the first frame it gets, alone."""

    version: str
    timeout: timedelta
    max_connections: int
    max_per_endpoint: int
    allow_networks: tuple[str, ...]
    require_https: bool
    log_format: str
    log_level: str
    journal: bool


class Order(msgspec.Struct, array_like=True, frozen=True):
    """One attempt to make, and a message as the sender knows them; later frames are lists of these."""

    number: int
    id: str
    url: str
    body: str
    secrets: tuple[str, ...]


class Report(msgspec.Struct, array_like=True, frozen=True):
    """What came of the order of this number; the frames that come back are lists of these."""

    number: int
    outcome: Outcome


def framed(content: bytes) -> bytes:
    """One frame."""
    return _LENGTH.pack(len(content)) + content


class Frames:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        self._arrived = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The content of each frame that is complete by now."""
        self._arrived += data
        while len(self._arrived) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._arrived)
            end = _LENGTH.size + length
            if len(self._arrived) < end:
                return
            content = bytes(self._arrived[_LENGTH.size : end])
            del self._arrived[:end]
            yield content
