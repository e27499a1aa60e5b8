"""How the receivers are doing, and opening or closing one by hand."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from tracker.api.answer import Answer
from tracker.api.auth import Admin, Reader
from tracker.api.openapi import answers
from tracker.api.ports import Ports
from tracker.api.shapes import EndpointPage
from tracker.desk import turns
from tracker.desk.queries import EndpointId, EndpointQuery, next_cursor, read_cursor
from tracker.store import receivers
from tracker.store.database import Connection
from tracker.telling import EndpointAnswer, tell_endpoint

router = APIRouter(prefix="/v1/endpoints", tags=["endpoints"], default_response_class=Answer)


@router.get("", summary="List endpoints, newest first", responses=answers(EndpointPage, fails=(422,)))
async def list_endpoints(query: Annotated[EndpointQuery, Query()], ports: Ports, caller: Reader) -> Response:
    """The receivers of messages for the caller's callbacks; `waiting` counts the caller's messages."""
    before = read_cursor("e", query.cursor)

    def work(connection: Connection) -> EndpointPage:
        found = receivers.page(connection, owner=caller.only_owner, before=before, limit=query.limit + 1)
        return {
            "endpoints": [tell_endpoint(line) for line in found[: query.limit]],
            "next_cursor": next_cursor("e", [line.key for line in found], query.limit),
        }

    return Answer(await ports.database.ask(work))


@router.post("/{id}/enable", summary="Send to an endpoint again", responses=answers(EndpointAnswer, fails=(404, 422)))
async def enable_endpoint(id_: Annotated[EndpointId, Path(alias="id")], ports: Ports, caller: Admin) -> Response:
    """Everything that waits for it is due at once, a few at a time."""
    return Answer(await turns.enable(ports, id_, caller))


@router.post(
    "/{id}/disable", summary="Send nothing to an endpoint", responses=answers(EndpointAnswer, fails=(404, 422))
)
async def disable_endpoint(id_: Annotated[EndpointId, Path(alias="id")], ports: Ports, caller: Admin) -> Response:
    """Until somebody enables it; its messages are kept."""
    return Answer(await turns.disable(ports, id_, caller))
