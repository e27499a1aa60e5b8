"""How the receivers are doing, and opening or closing one by hand."""

from starlette.responses import Response

from tracker.desk import turns
from tracker.desk.queries import next_cursor, read_cursor
from tracker.store import receivers
from tracker.store.database import Connection
from tracker.store.receivers import EndpointLine
from tracker.web.forms import Form
from tracker.web.visit import Visit

PAGE = 50


async def show(visit: Visit) -> Response:
    """The receivers of messages for the caller's callbacks, newest first."""
    before = read_cursor("e", visit.request.query_params.get("cursor"))

    def work(connection: Connection) -> list[EndpointLine]:
        return receivers.page(connection, owner=visit.caller.only_owner, before=before, limit=PAGE + 1)

    found = await visit.ask(work)
    cursor = next_cursor("e", [line.key for line in found], PAGE)
    older = visit.link(cursor=cursor) if cursor else None
    return visit.render("endpoints.html", endpoints=found[:PAGE], older=older, is_first=before is None)


async def enable(visit: Visit, _form: Form) -> Response:
    """Send to an endpoint again, beginning with what waits for it."""
    id_ = visit.request.path_params["id"]
    told = await turns.enable(visit.ports, id_, visit.caller)
    text = visit.language.gettext("%(endpoint)s is sent to again; what waited for it goes out now.")
    return visit.back(f"/endpoints/{told['id']}", text % {"endpoint": told["endpoint"]})


async def disable(visit: Visit, _form: Form) -> Response:
    """Send nothing to an endpoint until somebody enables it."""
    id_ = visit.request.path_params["id"]
    told = await turns.disable(visit.ports, id_, visit.caller)
    text = visit.language.gettext("Nothing is sent to %(endpoint)s until somebody enables it; its messages are kept.")
    return visit.back(f"/endpoints/{told['id']}", text % {"endpoint": told["endpoint"]})
