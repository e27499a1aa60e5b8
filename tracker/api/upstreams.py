"""How the upstreams are doing."""

from fastapi import APIRouter, Response

from tracker.api.answer import Answer
from tracker.api.auth import Reader
from tracker.api.openapi import answers
from tracker.api.ports import Ports
from tracker.api.shapes import UpstreamAnswer, Upstreams
from tracker.api.telling import maybe
from tracker.config import UpstreamSettings
from tracker.store import upstreams
from tracker.store.database import Connection
from tracker.store.upstreams import Health

router = APIRouter(prefix="/v1/upstreams", tags=["upstreams"], default_response_class=Answer)


@router.get("", summary="List the configured upstreams", responses=answers(Upstreams))
async def list_upstreams(ports: Ports, _caller: Reader) -> Response:
    """Health, pace, pause and its reason, last error."""
    configured = ports.settings.upstreams

    def work(connection: Connection) -> Upstreams:
        known, live = upstreams.read(connection), upstreams.live_tasks(connection)
        return {
            "upstreams": [
                _tell(settings, known.get(name, Health(name=name)), live.get(name, 0))
                for name, settings in configured.items()
            ]
        }

    return Answer(await ports.database.read(work))


def _tell(settings: UpstreamSettings, health: Health, live_tasks: int) -> UpstreamAnswer:
    return {
        "name": health.name,
        "base_url": settings.base_url,
        "dialect": settings.dialect,
        "state": "paused" if health.state == "paused" else "ok",
        "reason": health.reason,
        "paused_until": maybe(health.paused_until),
        "last_error": health.last_error,
        "last_error_at": maybe(health.last_error_at),
        "last_ok_at": maybe(health.last_ok_at),
        "look_size": health.look_size,
        "live_tasks": live_tasks,
        "poll_interval_seconds": settings.poll_interval.total_seconds(),
    }
