"""What went wrong, as a page; or as a problem document, for programs that lost their way."""

from collections.abc import Callable
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from tracker.errors import RefusedError, ThrottledError, TrackerError, UnavailableError
from tracker.web.routes import identified, visit_of
from tracker.web.visit import Visit
from tracker.web.words import N_


async def tell(request: Request, error: Exception) -> Response:
    """The answer to a request that ended with this error."""
    status, headers = _status_of(error), {}
    if isinstance(error, ThrottledError):
        headers["Retry-After"] = str(error.retry_after)
    if "text/html" not in request.headers.get("accept", ""):
        return _document(status, _detail(error) or _title(status), headers)
    visit = await _visit(request)
    title, detail = visit.language.gettext(_title(status)), _detail(error, visit.language.problem)
    answer = visit.render("problem.html", status=status, code=status, title=title, detail=detail)
    answer.headers.update(headers)
    return answer


HANDLED = (TrackerError, HTTPException, ClientDisconnect)


async def _visit(request: Request) -> Visit:
    try:
        return await identified(request)
    except UnavailableError:
        return visit_of(request)


def _status_of(error: Exception) -> int:
    match error:
        case RefusedError():
            return error.status
        case TrackerError():
            return error.http_status
        case HTTPException():
            return error.status_code
        case _:
            return HTTPStatus.BAD_REQUEST


def _detail(error: Exception, told: Callable[[TrackerError], str] = str) -> str | None:
    # That of a database may name hosts and files, which are nobody's business but the operator's.
    return told(error) if isinstance(error, TrackerError) and not isinstance(error, UnavailableError) else None


_OTHERWISE = N_("This did not work")
_TITLES = {
    401: N_("Sign in first"),
    403: N_("This is not allowed"),
    404: N_("There is no such page"),
    405: N_("This page does not do that"),
    409: N_("This does not go just now"),
    422: N_("Something in this form cannot be used"),
    429: N_("Too many at once"),
    503: N_("The database is out of reach"),
}


def _title(status: int) -> str:
    return _TITLES.get(status, _OTHERWISE)


def _document(status: int, detail: str, headers: dict[str, str]) -> Response:
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, "errors": []}
    return JSONResponse(told, status_code=status, media_type="application/problem+json", headers=headers)
