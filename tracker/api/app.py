"""Puts the API together."""

from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from tracker import __version__
from tracker.api import deliveries, endpoints, events, health, problems, registering, tasks, trials, upstreams
from tracker.api.allowance import Allowance
from tracker.api.answer import Answer
from tracker.api.auth import Reader, TokenBook
from tracker.api.fence import Fence
from tracker.api.limits import Limits
from tracker.api.news import News
from tracker.api.openapi import DESCRIPTION, SCHEMAS, operation_id
from tracker.api.ports import ApiPorts
from tracker.api.registrar import Registrar
from tracker.api.shortcut import Shortcut


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


def create_app(ports: ApiPorts) -> FastAPI:
    """The API as an ASGI app."""
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
    app.state.tokens = TokenBook(ports.database, ports.clock, ports.timer)
    app.state.trials = Allowance(trials.MOST_A_MINUTE, "tests a minute", ports.timer)
    limits = Limits(ports.settings.limits, ports.database, ports.timer)
    app.state.registrar = Registrar(ports.database, ports.intake, limits, ports.watching)
    app.state.news = News(ports.database, ports.stopping)
    problems.install(app)
    app.state.shortcut = Shortcut(ports, app.state.tokens, app.state.registrar, long_way=super(Api, app).__call__)
    app.add_middleware(Fence)
    for calls in (registering, tasks, events, deliveries, endpoints, trials, upstreams, health):
        app.include_router(calls.router)
    app.add_api_route("/openapi.json", _tell_document, include_in_schema=False)
    return app


async def _tell_document(request: Request, _caller: Reader) -> Response:
    return Answer(request.app.openapi())
