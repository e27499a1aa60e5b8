"""How the upstreams are doing."""

from datetime import timedelta

from starlette.responses import Response

from tracker.store.database import Connection
from tracker.telling import UpstreamAnswer, told_upstreams
from tracker.web.visit import Visit


async def show(visit: Visit) -> Response:
    """Health, pace, pause and its reason, last error; also of those that only live tasks name."""
    configured, owner = visit.ports.settings.upstreams, visit.caller.only_owner

    def work(connection: Connection) -> list[UpstreamAnswer]:
        return told_upstreams(connection, configured, owner=owner)

    found = await visit.ask(work)
    intervals = {one["name"]: _interval(one) for one in found}
    return visit.render("upstreams.html", upstreams=found, intervals=intervals)


def _interval(one: UpstreamAnswer) -> timedelta | None:
    seconds = one["poll_interval_seconds"]
    return None if seconds is None else timedelta(seconds=seconds)
