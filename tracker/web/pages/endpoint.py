"""One receiver: how it is doing, what was sent to it last, and sending again what it missed."""

from dataclasses import dataclass
from http import HTTPStatus

from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from tracker.desk.queries import Instant
from tracker.desk.redelivering import redeliver_all
from tracker.intake import explain
from tracker.store import receivers
from tracker.store.database import Connection
from tracker.store.receivers import Count, EndpointLine
from tracker.store.redelivery import Matching as Again
from tracker.store.searching_messages import Matching
from tracker.web.forms import Form
from tracker.web.pages.deliveries import Row, rows_of
from tracker.web.visit import Visit

_RECENT = 20
_INSTANT = TypeAdapter[Instant](Instant)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    line: EndpointLine
    waiting: Count
    dead: Count
    rows: list[Row]


async def show(visit: Visit) -> Response:
    """Its state, how many of the caller's messages wait or are dead, and the newest."""
    return await _page(visit)


async def redeliver(visit: Visit, form: Form) -> Response:
    """Send all of the caller's messages to it again that are dead, and were made since a moment where one is given."""
    typed, since = form.text("since") or "", None
    if typed:
        try:
            since = _INSTANT.validate_python(typed)
        except ValidationError as error:
            text = visit.language.advice(explain(error.errors(include_url=False)[0]))
            return await _page(visit, since=typed, problem=text, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    id_, owner = visit.request.path_params["id"], visit.caller.only_owner

    def work(connection: Connection) -> EndpointLine:
        return receivers.get(connection, id_, owner=owner)

    line = await visit.ask(work)
    count = await redeliver_all(visit.ports, Again(endpoint_key=line.key, since=since), visit.caller)
    back = f"/endpoints/{line.id}"
    if not count:
        return visit.back(back, visit.language.gettext("No message that could be sent again matches."), "problem")
    text = visit.language.ngettext("%(num)s message will be sent again.", "%(num)s messages will be sent again.", count)
    return visit.back(back, text % {"num": count})


async def _page(visit: Visit, *, since: str = "", problem: str | None = None, status: int = 200) -> Response:
    id_, owner = visit.request.path_params["id"], visit.caller.only_owner

    def work(connection: Connection) -> _Seen:
        line = receivers.get(connection, id_, owner=owner)
        _, rows = rows_of(connection, Matching(endpoint_key=line.key, limit=_RECENT), owner=owner)
        return _Seen(
            line=line,
            waiting=receivers.waiting(connection, line.key, owner=owner),
            dead=receivers.dead(connection, line.key, owner=owner),
            rows=rows,
        )

    seen = await visit.ask(work)
    return visit.render(
        "endpoint.html",
        status=status,
        one=seen.line,
        waiting=seen.waiting,
        dead=seen.dead,
        rows=seen.rows,
        since=since,
        problems={"since": problem} if problem else {},
    )
