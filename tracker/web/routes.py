"""What stands between an address and its page: who may come in, and from where a form must come."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tracker.web.forms import Form, csrf_of, must_be_ours, read_form
from tracker.web.languages import choose
from tracker.web.sessions import caller_of, presented_by
from tracker.web.visit import Visit

Show = Callable[[Visit], Awaitable[Response]]
Act = Callable[[Visit, Form], Awaitable[Response]]


def page(path: str, show: Show, *, needs: str = "read") -> Route:
    """A page for those who are signed in with this scope; others sign in first."""

    async def serve(request: Request) -> Response:
        visit = await identified(request)
        if visit.signed_in is None:
            return _to_sign_in(visit)
        visit.caller.must_be(needs)
        _must_name_something(request)
        return await show(visit)

    return Route(path, serve, methods=["GET"])


def action(path: str, act: Act, *, needs: str = "write") -> Route:
    """What a form of a page does, for those who are signed in with this scope."""

    async def serve(request: Request) -> Response:
        visit = await identified(request)
        if visit.signed_in is None:
            return _to_sign_in(visit)
        form = await read_form(request)
        must_be_ours(request, form, presented_by(request) or "")
        visit.caller.must_be(needs)
        _must_name_something(request)
        return await act(visit, form)

    return Route(path, serve, methods=["POST"])


def _must_name_something(request: Request) -> None:
    """Nothing is called by what no database can even be asked for."""
    if not all(str(value).isprintable() for value in request.path_params.values()):
        raise HTTPException(HTTPStatus.NOT_FOUND)


def open_page(path: str, show: Show) -> Route:
    """A page for everybody."""

    async def serve(request: Request) -> Response:
        return await show(await identified(request))

    return Route(path, serve, methods=["GET"])


def open_action(path: str, act: Act) -> Route:
    """A form for everybody; whoever takes it looks where it comes from."""

    async def serve(request: Request) -> Response:
        return await act(await identified(request), await read_form(request))

    return Route(path, serve, methods=["POST"])


def visit_of(request: Request) -> Visit:
    """A visit of somebody whom nobody has asked who they are."""
    state = request.app.state
    return Visit(
        request=request,
        ports=state.ports,
        desk=state.desk,
        renderer=state.renderer,
        language=choose(request.cookies.get("language"), request.headers.get("accept-language")),
        now=state.ports.clock(),
    )


async def identified(request: Request) -> Visit:
    """A visit of whoever shows the session that the request comes with."""
    visit = visit_of(request)
    presented = presented_by(request)
    if presented is None:
        return visit
    caller = await caller_of(visit.ports, presented)
    return replace(visit, signed_in=caller, csrf=csrf_of(presented) if caller else "")


def _to_sign_in(visit: Visit) -> Response:
    wanted = visit.here if visit.request.method == "GET" and not visit.is_part else "/"
    address = "/sign-in" if wanted == "/" else f"/sign-in?next={quote(wanted, safe='')}"
    if visit.is_part:
        # A redirect would be followed, and the form put in the middle of the page.
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": address})
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)
