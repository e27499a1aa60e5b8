"""One address, two doors: programs are led to the API, people to the pages."""

from starlette.types import ASGIApp, Receive, Scope, Send

_FOR_PROGRAMS = frozenset({"v1", "healthz", "readyz", "metrics", "openapi.json"})
"""First parts of the paths that the API answers."""


class Entrance:
    """Leads each request to its door."""

    def __init__(self, *, api: ASGIApp, pages: ASGIApp) -> None:
        self._api = api
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        door = self._api if scope["type"] != "http" or _first_part(scope["path"]) in _FOR_PROGRAMS else self._pages
        await door(scope, receive, send)


def _first_part(path: str) -> str:
    return path[1:].partition("/")[0]
