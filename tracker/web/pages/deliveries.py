"""Where the messages stand: looking for some, and sending those again that were ticked, or all that match."""

from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.responses import Response

from tracker.desk.queries import LARGEST_PAGE, cursor_below, read_cursor
from tracker.desk.redelivering import redeliver_all, redeliver_some
from tracker.errors import InputError, TrackerError
from tracker.model import DeliveryStatus, MessageType
from tracker.store import searching_messages
from tracker.store.database import Connection
from tracker.store.messages import DeliveryLine
from tracker.store.searching_messages import Look, Matching
from tracker.telling import DeliveryAnswer, told_deliveries
from tracker.web.delivery_filter import DeliveryFilter, read_filter, typed_in
from tracker.web.forms import Form
from tracker.web.visit import Visit

PAGE = 50
_TOLD_TYPES = tuple(kind for kind in MessageType if kind is not MessageType.TEST)


class Row(NamedTuple):
    """A delivery in a list."""

    line: DeliveryLine
    told: DeliveryAnswer


def rows_of(connection: Connection, matching: Matching, *, owner: str | None) -> tuple[Look[DeliveryLine], list[Row]]:
    """The newest deliveries that match, each with its last attempt; and how far back was looked for them."""
    look = searching_messages.look(connection, matching, owner=owner)
    told = told_deliveries(connection, look.found)
    return look, [Row(line, one) for line, one in zip(look.found, told, strict=True)]


async def show(visit: Visit) -> Response:
    """The newest messages for the caller's callbacks that match what the address says."""
    typed, owner = typed_in(visit.request.query_params), visit.caller.only_owner
    before = read_cursor("d", visit.request.query_params.get("cursor"))

    def work(connection: Connection) -> tuple[DeliveryFilter, Look[DeliveryLine] | None, list[Row]]:
        wanted = read_filter(connection, typed, owner=owner)
        if wanted.matching is None:
            return wanted, None, []
        return wanted, *rows_of(connection, replace(wanted.matching, before=before, limit=PAGE), owner=owner)

    wanted, look, rows = await visit.ask(work)
    goes_on = look is not None and look.before is not None
    return visit.render(
        "deliveries.html",
        status=422 if wanted.problems else 200,
        wanted=wanted,
        problems={name: _advice(visit, error) for name, error in wanted.problems.items()},
        rows=rows,
        look=look,
        older=visit.link(cursor=cursor_below("d", look.before)) if look and goes_on and look.before else None,
        is_first=before is None,
        statuses=list(DeliveryStatus),
        types=_TOLD_TYPES,
    )


def _advice(visit: Visit, error: TrackerError) -> str:
    return visit.language.advice(error) if isinstance(error, InputError) else visit.language.problem(error)


async def redeliver(visit: Visit, form: Form) -> Response:
    """Send again what was ticked, or all that match the conditions that were looked for."""
    typed = typed_in({name: given[0] for name, given in form.fields.items() if given})
    back = f"/deliveries?{urlencode(typed)}" if typed else "/deliveries"
    if form.text("all"):
        return await _redeliver_matching(visit, typed, back)
    ids = form.all("id")[:LARGEST_PAGE]
    if not ids:
        return visit.back(back, visit.language.gettext("No message was ticked."), "problem")
    again = await redeliver_some(visit.ports, ids, visit.caller)
    return visit.back(back, _sent(visit, again.sent, again.refused), "done" if again.sent else "problem")


async def _redeliver_matching(visit: Visit, typed: dict[str, str], back: str) -> Response:
    def work(connection: Connection) -> DeliveryFilter:
        return read_filter(connection, typed, owner=visit.caller.only_owner)

    wanted = await visit.ask(work)
    if wanted.problems:
        return visit.back(back, " ".join(map(visit.language.problem, wanted.problems.values())), "problem")
    if wanted.again is None:
        text = visit.language.gettext("Choose first whether those that are dead, or those that were delivered.")
        return visit.back(back, text, "problem")
    count = await redeliver_all(visit.ports, wanted.again, visit.caller)
    return visit.back(back, _sent(visit, count, []), "done" if count else "problem")


def _sent(visit: Visit, count: int, refused: list[str]) -> str:
    ngettext = visit.language.ngettext
    told = []
    if count:
        text = ngettext("%(num)s message will be sent again.", "%(num)s messages will be sent again.", count)
        told.append(text % {"num": count})
    if refused:
        text = ngettext(
            "%(num)s message is not sent again: %(why)s",
            "%(num)s messages are not sent again; the first one: %(why)s",
            len(refused),
        )
        told.append(text % {"num": len(refused), "why": visit.language.said(refused[0])})
    return " ".join(told) or visit.language.gettext("No message that could be sent again matches.")
