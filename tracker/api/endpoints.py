"""How the receivers are doing, and opening or closing one by hand."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import structlog
from fastapi import APIRouter, Path, Query, Response

from tracker.api.answer import Answer
from tracker.api.auth import Admin, Reader
from tracker.api.openapi import answers
from tracker.api.ports import Ports
from tracker.api.shapes import EndpointPage
from tracker.desk.queries import EndpointId, EndpointQuery, next_cursor, read_cursor
from tracker.store import endpoints, receivers
from tracker.store.database import Connection
from tracker.store.endpoints import Turn
from tracker.telling import EndpointAnswer, tell_endpoint

log = structlog.get_logger()
router = APIRouter(prefix="/v1/endpoints", tags=["endpoints"], default_response_class=Answer)
_Change = Callable[[Connection, int], Turn]


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
    told = await _change(ports, id_, partial(endpoints.enable, now=ports.clock()))
    log.info("endpoint_enabled", endpoint=told["endpoint"], by=caller.owner)
    ports.wake_courier()
    return Answer(told)


@router.post(
    "/{id}/disable", summary="Send nothing to an endpoint", responses=answers(EndpointAnswer, fails=(404, 422))
)
async def disable_endpoint(id_: Annotated[EndpointId, Path(alias="id")], ports: Ports, caller: Admin) -> Response:
    """Until somebody enables it; its messages are kept."""
    close = partial(endpoints.disable, reason=f"disabled by {caller.owner}", now=ports.clock())
    told = await _change(ports, id_, close)
    log.warning("endpoint_disabled", endpoint=told["endpoint"], reason=told["reason"])
    return Answer(told)


async def _change(ports: Ports, id_: str, change: _Change) -> EndpointAnswer:
    def work(connection: Connection) -> tuple[Turn, EndpointAnswer]:
        turn = change(connection, receivers.get(connection, id_, owner=None).key)
        return turn, tell_endpoint(receivers.get(connection, id_, owner=None))

    turn, told = await ports.database.write(work)
    if turn.is_new_state:
        ports.metrics.endpoint_turns.labels(told["state"]).inc()
    return told
