"""httpx's transport interface over an aiohttp session: what is asked of a connection, and nothing else.

httpx's own pool costs twenty times the CPU at a hundred connections, and httpx-aiohttp's transport hands its headers
over one look-up at a time, which costs as much as the exchange itself. The mapping of errors and the reading of
answers are the library's.
"""

import aiohttp
import httpx
from httpx_aiohttp.transport import AiohttpResponseStream, map_aiohttp_exceptions
from yarl import URL

_NO_TIMEOUTS = aiohttp.ClientTimeout(total=None)
_VERSION = {"http_version": b"HTTP/1.1"}


class SessionTransport(httpx.AsyncBaseTransport):
    """Sends requests through a session, which it owns; timeouts are the caller's."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request; its answer's body is still to be read. Raises httpx's errors."""
        with map_aiohttp_exceptions():
            answer = await self._session.request(
                request.method,
                _url(request),
                headers=[(name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers.raw],
                data=request.content or None,
                allow_redirects=False,
                auto_decompress=False,
                timeout=_NO_TIMEOUTS,
            )
        return httpx.Response(
            status_code=answer.status,
            headers=answer.raw_headers,
            stream=AiohttpResponseStream(answer),
            request=request,
            extensions=_VERSION,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.close()


def _url(request: httpx.Request) -> URL:
    """Where to call, and the request's `target` untouched; the host is httpx's, which is also what the guard judges."""
    target: bytes = request.extensions.get("target", request.url.raw_path)
    origin = URL(f"{request.url.scheme}://{request.url.netloc.decode('ascii')}")
    # As a path, with its query: one that is empty would be lost.
    return origin.with_path(target.decode("ascii"), encoded=True)
