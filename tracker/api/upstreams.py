"""How the upstreams are doing."""

from fastapi import APIRouter, Response

from tracker.api.answer import Answer
from tracker.api.auth import Reader
from tracker.api.openapi import answers
from tracker.api.ports import Ports
from tracker.api.shapes import Upstreams
from tracker.store.database import Connection
from tracker.telling import told_upstreams

router = APIRouter(prefix="/v1/upstreams", tags=["upstreams"], default_response_class=Answer)


@router.get("", summary="List the upstreams", responses=answers(Upstreams))
async def list_upstreams(ports: Ports, caller: Reader) -> Response:
    """Health, pace, pause and its reason, last error; `live_tasks` counts those that the caller may see.

    `unknown` is one that nobody has asked yet, `not_configured` one that only live tasks name.
    """

    def work(connection: Connection) -> Upstreams:
        return {"upstreams": told_upstreams(connection, ports.settings.upstreams, owner=caller.only_owner)}

    return Answer(await ports.database.ask(work))
