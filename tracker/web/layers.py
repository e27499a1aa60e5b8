"""What every answer passes: by which name we were called, and what a browser may do with what it gets."""

from collections.abc import Collection

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracker.web.hosts import is_ours

_log = structlog.get_logger()
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'{images}; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
POLICY = _POLICY.format(images="")
"""Nothing but what we serve ourselves, nothing written into a page, and no page of ours in one of somebody else's."""
POLICY_WITH_IMAGES = _POLICY.format(images=" https: http:")
"""The same, and pictures from wherever an upstream keeps them."""
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": POLICY,
}


class Careful:
    """Adds what keeps a page safe in a browser, where an answer does not say it itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class OurName:
    """Answers only those who call us by a name of ours."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        host = Headers(scope=scope).get("host", "")
        if is_ours(host, self._hosts):
            await self._app(scope, receive, send)
            return
        _log.warning("page_asked_by_another_name", host=host[:200])
        text = "These pages are not served by this name. If it is meant to be theirs, add it to web.hosts.\n"
        await PlainTextResponse(text, status_code=421)(scope, receive, send)
