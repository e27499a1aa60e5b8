"""What went wrong, told in one shape: `application/problem+json`."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from tracker.api.answer import Answer
from tracker.api.shapes import FieldProblem, Problem
from tracker.errors import (
    ConflictError,
    InputError,
    NotFoundError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from tracker.intake import explain

MOST_ERRORS = 100
_LONGEST_TEXT = 500
# Python's own words for these two changed between its versions.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


class ProblemAnswer(Answer):
    """A problem as a response."""

    media_type = "application/problem+json"


def problem(
    status: int, detail: str, *, errors: Sequence[InputError] = (), headers: Mapping[str, str] | None = None
) -> ProblemAnswer:
    """The answer to a call that did not work."""
    told: Problem = {
        "type": "about:blank",
        "title": title_of(status),
        "status": status,
        "detail": _short(detail),
        "errors": [_field_problem(error) for error in errors[:MOST_ERRORS]],
    }
    return ProblemAnswer(told, status_code=status, headers=headers)


def title_of(status: int) -> str:
    """The name of a status."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def unusable(errors: Sequence[InputError]) -> ProblemAnswer:
    """The answer to a call whose input cannot be used, naming each field."""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return problem(422, f"{_short(str(errors[0]))}{more}", errors=errors)


def install(app: FastAPI) -> None:
    """Have every expected error end as a problem."""
    for kind in (
        InputError,
        NotFoundError,
        RefusedError,
        ConflictError,
        ThrottledError,
        UnavailableError,
        RequestValidationError,
        HTTPException,
        ClientDisconnect,
    ):
        app.add_exception_handler(kind, tell)


async def tell(request: Request, error: Exception) -> Response:
    """The answer to a call that ended with this error."""
    match error:
        case InputError():
            answer = unusable([error])
        case RequestValidationError():
            answer = unusable([explain(found) for found in error.errors()[:MOST_ERRORS]])
        case RefusedError():
            answer = problem(error.status, str(error), headers=_CHALLENGES.get(error.status))
        case NotFoundError() | ConflictError():
            answer = problem(error.http_status, str(error))
        case ThrottledError():
            answer = problem(error.http_status, str(error), headers={"Retry-After": str(error.retry_after)})
        case UnavailableError():
            # Its own text may name hosts and files, which are nobody's business but the operator's.
            answer = problem(503, "the database is out of reach; try again in a second", headers={"Retry-After": "1"})
        case HTTPException():
            detail = _DETAILS.get(error.status_code, error.detail)
            headers = {"Allow": _allowed(request)} if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else None
            answer = problem(error.status_code, detail, headers=headers or error.headers)
        case _:  # whoever sent it has gone
            answer = problem(400, "the request ended before its body did")
    return answer


def _allowed(request: Request) -> str:
    """Every method of a path; the framework names those of the first route that it finds there."""
    return ", ".join(method for method in _METHODS if _takes(request, method))


def _takes(request: Request, method: str) -> bool:
    asked = {**request.scope, "method": method}
    return any(route.matches(asked)[0] is Match.FULL for route in request.app.routes)


_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


_CHALLENGES = {401: {"WWW-Authenticate": "Bearer"}}
_DETAILS = {
    404: "there is no such path; /openapi.json lists those that exist",
    405: "this path does not take this method; /openapi.json lists those that it takes",
}


def _field_problem(error: InputError) -> FieldProblem:
    return {"field": _short(error.field), "problem": _short(error.problem), "fix": _short(error.fix)}


def _short(text: str) -> str:
    """What people sent comes back in problems: not all of it."""
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


APOLOGY = problem(500, "something went wrong here; the log has the details")
"""To whoever met a fault of ours."""
