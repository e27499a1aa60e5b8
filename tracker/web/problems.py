"""What went wrong, as a page; or as a problem document, for programs that lost their way."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from tracker.errors import RefusedError, ThrottledError, TrackerError, UnavailableError
from tracker.web.routes import visit_of


async def tell(request: Request, error: Exception) -> Response:
    """The answer to a request that ended with this error."""
    status, headers = _status_of(error), {}
    if isinstance(error, ThrottledError):
        headers["Retry-After"] = str(error.retry_after)
    if "text/html" not in request.headers.get("accept", ""):
        return _document(status, _english(status, error), headers)
    visit = visit_of(request)
    answer = visit.render("problem.html", status=status, title=_title(status, visit.language.gettext), detail=_detail(error))
    answer.headers.update(headers)
    return answer


HANDLED = (TrackerError, HTTPException, ClientDisconnect)


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


def _detail(error: Exception) -> str | None:
    # That of a database may name hosts and files, which are nobody's business but the operator's.
    return str(error) if isinstance(error, TrackerError) and not isinstance(error, UnavailableError) else None


def _english(status: int, error: Exception) -> str:
    return _detail(error) or _title(status, str)


def _title(status: int, _: object) -> str:
    gettext = _ if callable(_) else str
    return str(gettext(_TITLES.get(status, "This did not work")))


_TITLES = {
    401: "Sign in first",
    403: "This is not allowed",
    404: "There is no such page",
    405: "This page does not do that",
    409: "This does not go just now",
    422: "Something in this form cannot be used",
    429: "Too many at once",
    503: "The database is out of reach",
}


def _document(status: int, detail: str, headers: dict[str, str]) -> Response:
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, "errors": []}
    return JSONResponse(told, status_code=status, media_type="application/problem+json", headers=headers)
