"""What the OpenAPI document says beyond what the framework finds out by itself."""

from typing import Any

from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from tracker.api.problems import title_of
from tracker.api.shapes import Problem
from tracker.desk.queries import RedeliveryRequest
from tracker.intake import LARGEST_BATCH, RegistrationRequest, TrialRequest

Responses = dict[int | str, dict[str, Any]]

DESCRIPTION = (
    "Register the tasks of image and video gateways with a callback URL, and be told when they end. "
    "An owner sees what it registered, an admin sees all. Errors are `application/problem+json`."
)
_PLACE = "#/components/schemas/{model}"


def _schemas() -> dict[str, Any]:
    """The shapes that calls read or answer by hand."""
    _, document = TypeAdapter.json_schemas(
        [
            ("problem", "serialization", TypeAdapter(Problem)),
            ("registration", "validation", TypeAdapter(RegistrationRequest)),
            ("trial", "validation", TypeAdapter(TrialRequest)),
            ("redelivery", "validation", TypeAdapter(RedeliveryRequest)),
        ],
        ref_template=_PLACE,
    )
    return dict(document["$defs"])


SCHEMAS = _schemas()
_RETRY_AFTER = {"Retry-After": {"description": "In how many seconds to try again.", "schema": {"type": "integer"}}}
_REGISTRATION = {"$ref": _PLACE.format(model="RegistrationRequest")}
_REGISTRATIONS = {"type": "array", "items": _REGISTRATION, "minItems": 1, "maxItems": LARGEST_BATCH}


def operation_id(route: APIRoute) -> str:
    """The name of a call: that of the function that answers it."""
    return route.name


def answers(
    shape: Any,  # noqa: ANN401 - a TypedDict is no type
    status: int = 200,
    *,
    description: str = "Done.",
    headers: dict[str, Any] | None = None,
    fails: tuple[int, ...] = (),
) -> Responses:
    """A call's answer, and the problems that every call with a token can have, with those of its own."""
    return {status: answer_in(shape, description, headers=headers), **problems(401, 403, *fails, 500, 503)}


def answer_in(shape: Any, description: str, *, headers: dict[str, Any] | None = None) -> dict[str, Any]:  # noqa: ANN401
    """An answer in a shape."""
    return {"model": shape, "description": description, "headers": headers or {}}


def problems(*statuses: int) -> Responses:
    """Answers in the shape of a problem."""
    content = {"application/problem+json": {"schema": {"$ref": _PLACE.format(model="Problem")}}}
    told: Responses = {status: {"description": title_of(status), "content": content} for status in sorted(statuses)}
    if 429 in told:  # noqa: PLR2004 - HTTP
        told[429]["headers"] = _RETRY_AFTER
    return told


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


ONE_REDELIVERY = _body({"$ref": _PLACE.format(model="RedeliveryRequest")})
ONE_REGISTRATION = _body(_REGISTRATION)
ONE_TRIAL = _body({"$ref": _PLACE.format(model="TrialRequest")})
MANY_REGISTRATIONS = _body(
    {
        "anyOf": [
            _REGISTRATIONS,
            {
                "type": "object",
                "properties": {"tasks": _REGISTRATIONS},
                "required": ["tasks"],
                "additionalProperties": False,
            },
        ]
    }
)

FEED = {
    "responses": {
        "200": {
            "content": {
                "text/event-stream": {
                    "schema": {
                        "type": "string",
                        "description": "Server-sent events: `id` is the cursor, `event` the kind, "
                        "`data` one element of `events`.",
                    }
                }
            }
        }
    }
}
