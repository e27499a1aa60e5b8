"""Where messages stand: one with every attempt, or many."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from tracker.api.answer import Answer
from tracker.api.auth import Reader
from tracker.api.openapi import answers
from tracker.api.ports import Ports
from tracker.api.queries import DeliveryId, DeliveryQuery, next_cursor, read_cursor
from tracker.api.shapes import DeliveryPage, WholeDelivery
from tracker.errors import NotFoundError
from tracker.store import messages
from tracker.store.database import Connection
from tracker.telling import told_deliveries, told_with_attempts

router = APIRouter(prefix="/v1/deliveries", tags=["deliveries"], default_response_class=Answer)


@router.get("", summary="List deliveries, newest first", responses=answers(DeliveryPage, fails=(422,)))
async def list_deliveries(query: Annotated[DeliveryQuery, Query()], ports: Ports, caller: Reader) -> Response:
    """The messages for the caller's callbacks, each with its last attempt only."""
    before = read_cursor("d", query.cursor)

    def work(connection: Connection) -> DeliveryPage:
        found = messages.page(
            connection, owner=caller.only_owner, status=query.status, before=before, limit=query.limit + 1
        )
        return {
            "deliveries": told_deliveries(connection, found[: query.limit]),
            "next_cursor": next_cursor("d", [line.key for line in found], query.limit),
        }

    return Answer(await ports.database.ask(work))


@router.get("/{id}", summary="Show a delivery", responses=answers(WholeDelivery, fails=(404, 422)))
async def show_delivery(id_: Annotated[DeliveryId, Path(alias="id")], ports: Ports, caller: Reader) -> Response:
    """With every attempt, and the body that is sent."""

    def work(connection: Connection) -> WholeDelivery:
        line = messages.get(connection, id_, owner=caller.only_owner)
        if line is None:
            raise NotFoundError(f"there is no delivery {id_!r}")
        (told,) = told_with_attempts(connection, [line])
        return {**told, "body": line.body}

    return Answer(await ports.database.ask(work))
