"""Puts the API together."""

from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from tracker import __version__
from tracker.api import deliveries, endpoints, events, health, links, problems, registering, tasks, trials, upstreams
from tracker.api.answer import Answer
from tracker.api.auth import Reader
from tracker.api.openapi import DESCRIPTION, SCHEMAS, operation_id
from tracker.api.ports import Ports
from tracker.api.shortcut import Shortcut
from tracker.desk import Desk
from tracker.desk.fence import Fence


class Api(FastAPI):
    """An app with a shortcut, whose document also knows the shapes that the framework does not see."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        shortcut: Shortcut = self.state.shortcut
        await (shortcut if shortcut.leads_to(scope) else super().__call__)(scope, receive, send)

    def openapi(self) -> dict[str, object]:
        """The OpenAPI document."""
        document = super().openapi()
        document["components"]["schemas"].update(SCHEMAS)
        return document


def create_app(ports: Ports, desk: Desk | None = None) -> FastAPI:
    """The API as an ASGI app; with a desk of its own where nobody shares one with it."""
    desk = desk or Desk.of(ports)
    app = Api(
        title="tracker",
        version=__version__,
        description=DESCRIPTION,
        # The documentation pages load scripts from other people's servers.
        docs_url=None,
        redoc_url=None,
        # Our own call tells the document, to those with a token.
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
        # Left on, it would export requests, tokens included, to whatever the environment names.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.ports = ports
    app.state.desk = desk
    problems.install(app)
    app.state.shortcut = Shortcut(ports, desk, long_way=super(Api, app).__call__)
    app.add_middleware(Fence, apology=problems.APOLOGY)
    for calls in (registering, tasks, events, deliveries, endpoints, trials, upstreams, links, health):
        app.include_router(calls.router)
    app.add_api_route("/openapi.json", _tell_document, include_in_schema=False)
    return app


async def _tell_document(request: Request, _caller: Reader) -> Response:
    return Answer(request.app.openapi())
