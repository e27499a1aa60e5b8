"""Where messages stand: one with every attempt, or many."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from tracker.api.answer import Answer
from tracker.api.auth import Reader, Writer
from tracker.api.bodies import read_json
from tracker.api.openapi import ONE_REDELIVERY, answers
from tracker.api.ports import Ports
from tracker.api.shapes import DeliveryPage, Redelivered, WholeDelivery
from tracker.desk import redelivering
from tracker.desk.queries import DeliveryId, DeliveryQuery, next_cursor, read_cursor, read_redelivery
from tracker.errors import NotFoundError
from tracker.intake import Caller
from tracker.model import DeliveryStatus
from tracker.store import messages, receivers
from tracker.store.database import Connection
from tracker.store.redelivery import Matching, redeliver
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
    return Answer(await ports.database.ask(partial(_told, id_=id_, caller=caller)))


def _told(connection: Connection, id_: str, caller: Caller) -> WholeDelivery:
    line = messages.get(connection, id_, owner=caller.only_owner)
    if line is None:
        raise NotFoundError(f"there is no delivery {id_!r}")
    (told,) = told_with_attempts(connection, [line])
    return {**told, "body": line.body}


@router.post(
    "/{id}/redeliver",
    summary="Send a message again",
    status_code=202,
    responses=answers(WholeDelivery, 202, description="It will be sent.", fails=(404, 409, 422)),
)
async def redeliver_one(id_: Annotated[DeliveryId, Path(alias="id")], ports: Ports, caller: Writer) -> Response:
    """One that was delivered or is dead: the same id and body, and the schedule of attempts from its beginning.

    One that waits for its next attempt is sent now. A conflict while an attempt is under way, or its endpoint rests.
    """

    def work(connection: Connection) -> WholeDelivery:
        redeliver(connection, id_, owner=caller.only_owner, now=ports.clock())
        return _told(connection, id_, caller)

    told = await ports.database.write(work)
    ports.wake_courier()
    return Answer(told, status_code=202)


@router.post(
    "/redeliver",
    summary="Send all messages again that match",
    responses=answers(Redelivered, fails=(404, 413, 422)),
    openapi_extra=ONE_REDELIVERY,
)
async def redeliver_all(request: Request, ports: Ports, caller: Writer) -> Response:
    """Messages for the caller's callbacks, dead ones unless it says otherwise.

    Those whose body was tidied away, or whose callback is gone, are left out, and so is progress that a later message
    has overtaken.
    """
    wanted = read_redelivery(await read_json(request))
    owner, key = caller.only_owner, None
    if wanted.endpoint is not None:
        look = partial(receivers.get, given=wanted.endpoint, owner=owner)
        key = (await ports.database.ask(look)).key
    status = DeliveryStatus(wanted.status)
    matching = Matching(endpoint_key=key, status=status, since=wanted.since, until=wanted.until)
    count = await redelivering.redeliver_all(ports, matching, caller)
    told: Redelivered = {"redelivered": count}
    return Answer(told)
