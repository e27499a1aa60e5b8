"""Everything that changed: page by page for those who were away, live for those who listen."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from tracker.api.answer import Answer
from tracker.api.auth import Reader
from tracker.api.openapi import FEED, answers
from tracker.api.ports import Ports, desk_of
from tracker.api.shapes import Feed
from tracker.api.streams import EventStream
from tracker.desk.queries import NOW, FeedQuery, feed_cursor, read_feed_cursor
from tracker.errors import InputError
from tracker.store import feed
from tracker.store.database import Connection
from tracker.store.feed import Position
from tracker.telling import tell_line

router = APIRouter(prefix="/v1/events", tags=["events"], default_response_class=Answer)
LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="Where a stream goes on; goes before `cursor`.")
]


@router.get("", summary="Tell everything that changed", responses=answers(Feed, fails=(422,)), openapi_extra=FEED)
async def list_events(
    request: Request,
    query: Annotated[FeedQuery, Query()],
    ports: Ports,
    caller: Reader,
    last_event_id: LastEventId = None,
) -> Response:
    """Of the caller's tasks, first to last; with `Accept: text/event-stream` live, from now on by default."""
    if _wants_stream(request):
        field, cursor = ("Last-Event-ID", last_event_id) if last_event_id else ("cursor", query.cursor or NOW)
        start = await _start(ports, field, cursor)
        news = desk_of(request).news
        return EventStream(request, ports, news, caller, start)
    start = await _start(ports, "cursor", query.cursor)

    def work(connection: Connection) -> Feed:
        lines, position = feed.page(connection, start, owner=caller.only_owner, limit=query.limit)
        events = [tell_line(line, feed_cursor(line.position)) for line in lines]
        return {"events": events, "next_cursor": feed_cursor(position)}

    return Answer(await ports.database.ask(work))


def _wants_stream(request: Request) -> bool:
    accepted = ",".join(request.headers.getlist("accept")).lower().split(",")
    return any(kind.partition(";")[0].strip() == EventStream.media_type for kind in accepted)


async def _start(ports: Ports, field: str, cursor: str | None) -> Position:
    position = read_feed_cursor(field, cursor)

    def work(connection: Connection) -> Position:
        if position is None:
            return feed.end(connection)
        if feed.is_ahead(connection, position):
            fix = "start without one where the database was restored or replaced"
            raise InputError(field, "is from another database, or from later than this one's backup", fix)
        return position

    return await ports.database.ask(work)
