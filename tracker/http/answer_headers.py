"""The headers of an answer, by names in lower case."""

import functools
from collections.abc import Iterable, Iterator, Mapping

from aiohttp.http import RawResponseMessage


class AnswerHeaders(Mapping[str, str]):
    """Put together when somebody reads them: of most answers nobody asks but whether a header is there."""

    __slots__ = ("_joined", "_message")

    def __init__(self, message: RawResponseMessage) -> None:
        self._message = message
        self._joined: dict[str, str] | None = None

    def __contains__(self, name: object) -> bool:
        return name in self._message.headers

    def __getitem__(self, name: str) -> str:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def _all(self) -> dict[str, str]:
        if self._joined is None:
            self._joined = _joined(self._message.raw_headers)
        return self._joined


@functools.lru_cache(maxsize=256)
def _lowered(name: bytes) -> str:
    """The same few names come with every answer."""
    return name.decode("latin-1").lower()


def _joined(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name = _lowered(raw_name)
        try:
            value = raw_value.decode()
        except UnicodeDecodeError:
            value = raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
