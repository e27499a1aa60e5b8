"""The outermost layer: what nobody expected is logged, and told without its details."""

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = structlog.get_logger()


class Fence:
    """Answers with an apology for exceptions that nobody handled."""

    def __init__(self, app: ASGIApp, *, apology: ASGIApp) -> None:
        self._app = app
        self._apology = apology

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def watched(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            _log.exception("request_failed", method=scope["method"], path=scope["path"])
            if has_started:
                raise
            await self._apology(scope, receive, send)
