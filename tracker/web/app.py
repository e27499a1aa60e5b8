"""Puts the pages together."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from tracker.desk import Desk, Ports
from tracker.desk.fence import Fence
from tracker.web import live, problems
from tracker.web.layers import Careful, OurName
from tracker.web.pages import (
    deliveries,
    delivery,
    endpoint,
    endpoints,
    overview,
    registering,
    secrets,
    signing,
    task,
    tasks,
    tokens,
    trials,
    upstreams,
)
from tracker.web.rendering import STATIC, Renderer
from tracker.web.routes import action, open_action, open_page, page

_APOLOGY = PlainTextResponse("Something went wrong here; the log has the details.\n", status_code=500)


def create_pages(ports: Ports, desk: Desk) -> ASGIApp:
    """The pages as an ASGI app."""
    app = Starlette(
        routes=[*_routes(), Mount("/static", GZipMiddleware(_Kept(directory=STATIC)))],
        middleware=[
            Middleware(Careful),
            Middleware(Fence, apology=_APOLOGY),
            Middleware(OurName, ports.settings.web.hosts),
        ],
        exception_handlers=dict.fromkeys(problems.HANDLED, problems.tell),
    )
    app.state.ports = ports
    app.state.desk = desk
    app.state.renderer = Renderer()
    return app


def _routes() -> list[Route]:
    return [
        open_page("/sign-in", signing.show),
        open_action("/sign-in", signing.sign_in),
        open_action("/preferences", signing.prefer),
        action("/sign-out", signing.sign_out, needs="read"),
        page("/live", live.stream),
        page("/", overview.show),
        page("/tasks", tasks.show),
        action("/tasks/act", tasks.act),
        page("/tasks/{id}", task.show),
        action("/tasks/{id}/refresh", task.refresh),
        action("/tasks/{id}/drop", task.drop),
        action("/tasks/{id}/redeliver", task.redeliver),
        action("/tasks/{id}/callbacks", task.add_callback),
        page("/register", registering.show, needs="write"),
        action("/register", registering.register),
        *_of_messages(),
    ]


def _of_messages() -> list[Route]:
    return [
        page("/deliveries", deliveries.show),
        action("/deliveries/redeliver", deliveries.redeliver),
        page("/deliveries/{id}", delivery.show),
        action("/deliveries/{id}/redeliver", delivery.redeliver),
        page("/endpoints", endpoints.show),
        page("/endpoints/{id}", endpoint.show),
        action("/endpoints/{id}/redeliver", endpoint.redeliver),
        action("/endpoints/{id}/enable", endpoints.enable, needs="admin"),
        action("/endpoints/{id}/disable", endpoints.disable, needs="admin"),
        page("/upstreams", upstreams.show),
        page("/test", trials.show, needs="write"),
        action("/test", trials.act),
        page("/tokens", tokens.show, needs="admin"),
        action("/tokens", tokens.create, needs="admin"),
        action("/tokens/{id}/revoke", tokens.revoke, needs="admin"),
        page("/secrets", secrets.show, needs="write"),
        action("/secrets", secrets.rotate),
    ]


class _Kept(StaticFiles):
    """Files whose addresses name their content: a browser asks for each once.

    They travel compressed, and pages do not: how well one is compressed would tell something of what is secret in it.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["cache-control"] = "public, max-age=31536000, immutable"
        return answer
